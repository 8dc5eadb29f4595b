// A model with a LoRA adapter: the architecture wrapped so that its linear layers carry low-rank factors, which are
// parameters like the others, under PEFT's names. Training, evaluation and generation work on it unchanged. Its files are
// in adapter-files.ts.

import { peftPrefix } from "../checkpoint/peft.ts";
import { Graph, toOnnx } from "../graph/index.ts";
import { dequantizeBlocks } from "../nn/block-quantization.ts";
import { loraNames, mergedWeight, withLora } from "../nn/lora.ts";
import { Session, Tensor } from "../runtime/index.ts";
import { closest, UserError } from "../util/errors.ts";
import type { Rng } from "../util/rng.ts";
import type { ParameterSpec } from "./architecture.ts";
import type { AnyArchitecture } from "./architectures.ts";
import { type Model, sizeOf } from "./model.ts";
import { withNewRows } from "./new-tokens.ts";

export interface LoraSettings {
	readonly rank: number;
	readonly alpha: number;
	/** Ends of the names of the layers that get an adapter, as PEFT matches them: "c_attn", "mlp.c_proj", "h.0.attn.c_attn". */
	readonly targets: readonly string[];
	readonly dropout: number;
	/** Scale by alpha / sqrt(rank) (Kalajdzievski, 2023) instead of alpha / rank. */
	readonly rsLora: boolean;
	/** Train the lengths of the weights' columns, too. */
	readonly dora: boolean;
}

/** A model whose architecture and parameters include an adapter. */
export interface AdaptedModel extends Model {
	readonly adapter: LoraSettings;
	/** The architecture without the adapter. */
	readonly baseArchitecture: AnyArchitecture;
}

export const isAdapted = (model: Model): model is AdaptedModel => "adapter" in model;

export const loraScale = ({ rank, alpha, rsLora }: LoraSettings) => alpha / (rsLora ? Math.sqrt(rank) : rank);

/**
 * An adapter that does nothing yet: A is uniform as in PEFT (Kaiming, a = sqrt 5), B zero. The base's tensors are used as
 * they are, not copied. Tokens that the base lacked become part of the adapter. Throws UserError for unknown targets.
 */
export function createAdapter(base: Model, { rng, ...settings }: LoraSettings & { rng: Rng }): AdaptedModel {
	const grown = withNewRows(base);
	const adapted = adaptedArchitecture(grown.architecture, { settings, layers: targetLayers(base, settings.targets) });
	const parameters = new Map(grown.parameters);
	for (const spec of adaptedSpecs(adapted, grown)) {
		const data = new Float32Array(sizeOf(spec));
		if (spec.name.endsWith(".lora_A.weight")) {
			const bound = 1 / Math.sqrt(spec.shape[1] as number);
			for (let i = 0; i < data.length; i++) data[i] = (2 * rng.uniform() - 1) * bound;
		} else if (spec.name.endsWith(".lora_magnitude_vector")) {
			setColumnLengths(data, matrixOf(base, spec.name.replace(/lora_magnitude_vector$/, "weight")));
		}
		parameters.set(spec.name, data);
	}
	return { ...grown, architecture: adapted, baseArchitecture: base.architecture, adapter: settings, parameters };
}

/** The base with an adapter of given tensors, by our names (PEFT's without the prefix and `transformer.`). */
export function attachAdapter(
	base: Model,
	{ settings, tensors }: { settings: LoraSettings; tensors: ReadonlyMap<string, Float32Array> },
): AdaptedModel {
	const layers = base.architecture.linearLayers(base.config).filter((name) => tensors.has(loraNames(name).a));
	const architecture = adaptedArchitecture(base.architecture, { settings, layers: new Set(layers) });
	const parameters = new Map([...base.parameters, ...tensors]);
	return { ...base, architecture, baseArchitecture: base.architecture, adapter: settings, parameters };
}

/** Names of what is trained and saved: the low-rank factors and the rows of new tokens. */
export function adapterParameters({ architecture, baseArchitecture, config }: AdaptedModel): Set<string> {
	const base = new Set(baseArchitecture.parameters(config).map(({ name }) => name));
	return new Set(architecture.parameters(config).flatMap(({ name }) => (base.has(name) ? [] : [name])));
}

/**
 * The model without an adapter that computes the same. The base's matrices are overwritten: the adapted model must not be
 * used any more.
 */
export async function mergeAdapter(model: AdaptedModel): Promise<Model> {
	const { adapter, baseArchitecture: architecture, config, parameters, tokenizer, template, firstNewToken } = model;
	if (model.quantized) throw new Error("an adapter is merged into weights in float32");
	const graph = new Graph();
	const inputs = {
		w: graph.input("w", "float32", ["I", "O"]),
		a: graph.input("a", "float32", [adapter.rank, "I"]),
		b: graph.input("b", "float32", ["O", adapter.rank]),
		...(adapter.dora && { magnitude: graph.input("magnitude", "float32", ["O"]) }),
	};
	graph.output("merged", mergedWeight({ ...inputs, scale: loraScale(adapter) }));
	const session = await Session.create(toOnnx(graph), { name: "merge" });
	const specs = new Map(model.architecture.parameters(config).map((spec) => [spec.name, spec]));
	const tensor = (name: string) => Tensor.from(parameters.get(name) as Float32Array, specs.get(name)?.shape ?? []);
	try {
		for (const layer of architecture.linearLayers(config)) {
			const names = loraNames(layer);
			if (!parameters.has(names.a)) continue;
			const w = tensor(`${layer}.weight`);
			const feeds = { w, a: tensor(names.a), b: tensor(names.b) };
			await session.run(
				{ ...feeds, ...(adapter.dora && { magnitude: tensor(names.magnitude) }) },
				// Computed whole before it is written over the weight that it was computed from.
				{ merged: w },
			);
		}
	} finally {
		session.dispose();
	}
	const kept = new Set(architecture.parameters(config).map(({ name }) => name));
	const merged = new Map([...parameters].filter(([name]) => kept.has(name)));
	return { architecture, config, tokenizer, template, parameters: merged, firstNewToken };
}

function adaptedArchitecture(
	base: AnyArchitecture,
	{ settings, layers }: { settings: LoraSettings; layers: ReadonlySet<string> },
): AnyArchitecture {
	const { rank, dropout, dora } = settings;
	const scale = loraScale(settings);
	const lora = { scale, dropout, dora, adapts: (name: string) => layers.has(name) };
	return {
		...base,
		parameters(config) {
			const specs = base.parameters(config);
			const weights = new Map(specs.map((spec) => [spec.name, spec]));
			return [
				...specs,
				...[...layers].flatMap((name) => layerSpecs(weights.get(`${name}.weight`), { name, rank, dora })),
			];
		},
		fileName: (name) => (isOfAdapter(name) ? `${peftPrefix}${base.fileName(name)}` : base.fileName(name)),
		hiddenStates: (context, config, input) => base.hiddenStates(withLora(context, lora), config, input),
	};
}

const isOfAdapter = (name: string) => /\.(lora_(A|B)\.weight|lora_magnitude_vector|trainable_tokens_delta)$/.test(name);

function layerSpecs(
	weight: ParameterSpec | undefined,
	{ name, rank, dora }: { name: string; rank: number; dora: boolean },
): ParameterSpec[] {
	if (!weight) throw new Error(`there is no layer "${name}"`);
	const { layer } = weight;
	const [inputs, outputs] = weight.shape as [number, number];
	const names = loraNames(name);
	// A uniform distribution of this deviation ends at 1 / sqrt(inputs).
	const deviation = 1 / Math.sqrt(3 * inputs);
	const specs: ParameterSpec[] = [
		{ name: names.a, shape: [rank, inputs], kind: "matrix", layer, initial: { deviation } },
		{ name: names.b, shape: [outputs, rank], kind: "matrix", layer, initial: { constant: 0 } },
	];
	if (dora) specs.push({ name: names.magnitude, shape: [outputs], kind: "norm", layer, initial: { constant: 1 } });
	return specs;
}

function adaptedSpecs(adapted: AnyArchitecture, { architecture, config }: Model): ParameterSpec[] {
	const before = new Set(architecture.parameters(config).map(({ name }) => name));
	return adapted.parameters(config).filter(({ name }) => !before.has(name));
}

/** The layers whose names end with one of the targets, at a dot. */
function targetLayers({ architecture, config }: Model, targets: readonly string[]): Set<string> {
	const all = architecture.linearLayers(config);
	const found = new Set<string>();
	for (const target of targets) {
		const matching = all.filter((name) => name === target || name.endsWith(`.${target}`));
		if (matching.length === 0) {
			const ends = new Set(all.flatMap((name) => [name, name.split(".").slice(-2).join("."), name.split(".").at(-1)]));
			const near = closest(target, ends as Set<string>);
			throw new UserError("LORA_TARGET_UNKNOWN", `No linear layer's name ends with "${target}".`, {
				where: "--lora-targets",
				expected: `ends of names such as ${all.slice(0, 4).join(", ")}`,
				found: target,
				...(near !== undefined && { hint: `Did you mean ${near}?` }),
			});
		}
		for (const name of matching) found.add(name);
	}
	return found;
}

/** The names by which all linear layers are targets: their last parts. */
export function allTargets({ architecture, config }: Pick<Model, "architecture" | "config">): string[] {
	const ends = architecture.linearLayers(config).map((name) => name.split(".").at(-1) as string);
	return [...new Set(ends)].sort();
}

function matrixOf({ parameters, quantized }: Model, name: string): Float32Array {
	const matrix = quantized?.get(name);
	return matrix ? dequantizeBlocks(matrix) : (parameters.get(name) as Float32Array);
}

/** lengths: [out], matrix: [in, out]. */
function setColumnLengths(lengths: Float32Array, matrix: Float32Array): void {
	const squares = new Float64Array(lengths.length);
	for (let i = 0; i < matrix.length; i++) {
		const column = i % lengths.length;
		squares[column] = (squares[column] as number) + (matrix[i] as number) ** 2;
	}
	lengths.set(squares.map(Math.sqrt));
}

// A model in memory: architecture, sizes, weights and the tokenizer that belongs to them. Read from and written to a
// directory in the Hugging Face layout.

import { openModelDirectory, writeModelDirectory } from "../checkpoint/model-directory.ts";
import type { WeightsReader } from "../checkpoint/safetensors.ts";
import type { TensorEntry } from "../checkpoint/safetensors-write.ts";
import type { QuantizedMatrix } from "../nn/block-quantization.ts";
import type { ChatTemplate } from "../tokenizer/chat-template.ts";
import { chatTemplateFor } from "../tokenizer/chat-template.ts";
import { checkTokenizerMatches, loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { UserError } from "../util/errors.ts";
import type { Rng } from "../util/rng.ts";
import type { ParameterSpec } from "./architecture.ts";
import { type AnyArchitecture, architectureFor } from "./architectures.ts";
import { inFewBits, quantizeAs } from "./few-bits.ts";
import type { ParameterData } from "./parameters.ts";

export interface Model {
	readonly architecture: AnyArchitecture;
	readonly config: unknown;
	readonly tokenizer: Tokenizer;
	readonly template: ChatTemplate;
	/** The tensors of `architecture.parameters(config)`, by name. */
	readonly parameters: ReadonlyMap<string, Float32Array>;
	/** Frozen matrices that are held in few bits; they are then not in `parameters`. */
	readonly quantized?: ReadonlyMap<string, QuantizedMatrix>;
	/** First row of the embedding that was not in the base: the tokens of the chat template. */
	readonly firstNewToken: number;
}

/** Elements of a tensor. */
export const sizeOf = ({ shape }: Pick<ParameterSpec, "shape">) => shape.reduce((product, size) => product * size, 1);

/** Parameters in all. */
export function parameterCount(architecture: AnyArchitecture, config: unknown): number {
	return architecture.parameters(config).reduce((sum, spec) => sum + (spec.rowsOf ? 0 : sizeOf(spec)), 0);
}

/** A model of random weights. The vocabulary follows from the tokenizer, with the tokens of the chat template added. */
export function createModel(
	architecture: AnyArchitecture,
	{ config, tokenizer: base, rng }: { config: unknown; tokenizer: Tokenizer; rng: Rng },
): Model {
	const { tokenizer, template } = chatTemplateFor(base);
	const sized = architecture.withVocabulary(config, tokenizer.size);
	const parameters = new Map<string, Float32Array>();
	for (const spec of architecture.parameters(sized)) {
		const data = new Float32Array(sizeOf(spec));
		if ("constant" in spec.initial) data.fill(spec.initial.constant);
		else for (let i = 0; i < data.length; i++) data[i] = spec.initial.deviation * rng.normal();
		parameters.set(spec.name, data);
	}
	return { architecture, config: sized, tokenizer, template, parameters, firstNewToken: tokenizer.size };
}

/**
 * Reads a model directory (or the model of a run directory). Tokens that the chat template needs and the base lacks get
 * embedding rows that start at the mean of the others. Throws UserError when something is missing, malformed or does not
 * match. With `bits`, linear layers are rounded as they are read.
 */
export async function readModel(path: string, { bits }: { bits?: 4 | 8 } = {}): Promise<Model> {
	const directory = await openModelDirectory(path);
	try {
		const plain = architectureFor(directory.config);
		const architecture = bits ? inFewBits(plain, bits) : plain;
		const baseConfig = architecture.parseConfig(directory.config);
		const base = await loadTokenizer(directory.path);
		const { vocabulary } = architecture.sizes(baseConfig);
		checkTokenizerMatches(base, vocabulary);
		const { tokenizer, template } = chatTemplateFor(base);
		const config = tokenizer.size > vocabulary ? architecture.withVocabulary(baseConfig, tokenizer.size) : baseConfig;
		const where = directory.path;
		const data = await readParameters(directory.weights, { architecture, baseConfig, config, where });
		const { parameters } = data;
		const firstNewToken = base.size;
		if (firstNewToken < tokenizer.size) {
			startAtMean(parameters.get(architecture.embedding) as Float32Array, {
				channels: architecture.sizes(config).channels,
				firstNewToken,
			});
		}
		return { architecture, config, tokenizer, template, ...data, firstNewToken };
	} finally {
		await directory.close();
	}
}

/** What config.json calls the number formats of weights. */
export const torchTypes = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;

/** Writes a model directory that Hugging Face Transformers loads unchanged. `as`: the number format of the weights. */
export async function saveModel(
	path: string,
	model: Model,
	{ as = "F32" }: { as?: "F32" | "F16" | "BF16" } = {},
): Promise<void> {
	const { architecture, config, tokenizer, template, parameters } = model;
	const end = tokenizer.endOfTextId;
	// Rows of a table are no tensor of their own in a whole model.
	const views = new Set(architecture.parameters(config).flatMap(({ name, rowsOf }) => (rowsOf ? [name] : [])));
	const whole = new Map([...parameters].filter(([name]) => !views.has(name)));
	const named = { bos_token_id: end, eos_token_id: end };
	await writeModelDirectory(path, {
		files: {
			"config.json": { ...architecture.configJson(config), ...named, torch_dtype: torchTypes[as] },
			"generation_config.json": { _from_model_config: false, ...named, eos_token_id: [...template.stopIds] },
			...tokenizer.files(template.jinja),
		},
		weights: parameterEntries(architecture, { config, parameters: whole, as }),
	});
}

/** The parameters as tensors of a safetensors file, under the names they are saved with. */
export function parameterEntries(
	architecture: AnyArchitecture,
	{
		config,
		parameters,
		as = "F32",
	}: { config: unknown; parameters: ReadonlyMap<string, Float32Array>; as?: "F32" | "F16" | "BF16" },
): TensorEntry[] {
	return architecture.parameters(config).flatMap(({ name, shape }) => {
		const data = parameters.get(name);
		return data ? [{ name: architecture.fileName(name), shape, data, as }] : [];
	});
}

async function readParameters(
	reader: WeightsReader,
	{
		architecture,
		baseConfig,
		config,
		where,
	}: { architecture: AnyArchitecture; baseConfig: unknown; config: unknown; where: string },
): Promise<ParameterData> {
	const fileNames = new Map<string, string>();
	for (const fileName of reader.tensors.keys()) {
		const name = architecture.canonicalName(fileName);
		if (name !== undefined) fileNames.set(name, fileName);
	}
	const parameters = new Map<string, Float32Array>();
	const quantized = new Map<string, QuantizedMatrix>();
	const grown = new Map(architecture.parameters(config).map((spec) => [spec.name, sizeOf(spec)]));
	const hint = "Check that config.json and the weights belong together.";
	const specs = architecture.parameters(baseConfig);
	// Matrices that will be rounded are read one after the other into the same memory.
	const largest = specs.reduce((most, spec) => (spec.format ? Math.max(most, sizeOf(spec)) : most), 0);
	let scratch: Float32Array | undefined;
	for (const spec of specs) {
		const fileName = fileNames.get(spec.name);
		if (fileName === undefined) {
			throw new UserError("WEIGHT_MISSING", `The weights lack the tensor ${spec.name}.`, {
				where,
				expected: `${specs.length} tensors of a ${architecture.name} model`,
				found: `${fileNames.size} tensors`,
				hint,
			});
		}
		const { shape } = reader.tensors.get(fileName) as { shape: readonly number[] };
		if (shape.join() !== spec.shape.join()) {
			const message = `The tensor ${fileName} has another shape than config.json says.`;
			throw new UserError("WEIGHT_SHAPE", message, { where, expected: `[${spec.shape}]`, found: `[${shape}]`, hint });
		}
		if (spec.format) scratch ??= new Float32Array(largest);
		const data = spec.format ? (scratch as Float32Array) : new Float32Array(grown.get(spec.name) as number);
		const whole = data.subarray(0, sizeOf(spec));
		await reader.readInto(fileName, whole);
		const matrix = quantizeAs(spec, whole);
		if (matrix) quantized.set(spec.name, matrix);
		else parameters.set(spec.name, data);
	}
	return quantized.size > 0 ? { parameters, quantized } : { parameters };
}

/** Sets the rows from `firstNewToken` on to the mean of those before. */
export function startAtMean(
	embedding: Float32Array,
	{ channels, firstNewToken }: { channels: number; firstNewToken: number },
): void {
	const mean = new Float64Array(channels);
	for (let row = 0; row < firstNewToken; row++) {
		for (let c = 0; c < channels; c++) mean[c] = (mean[c] as number) + (embedding[row * channels + c] as number);
	}
	for (let c = 0; c < channels; c++) mean[c] = (mean[c] as number) / firstNewToken;
	for (let at = firstNewToken * channels; at < embedding.length; at += channels) embedding.set(mean, at);
}

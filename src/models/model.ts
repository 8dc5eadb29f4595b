// A model in memory: architecture, sizes, weights and the tokenizer that belongs to them. Read from and written to a
// directory in the Hugging Face layout.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { namesIn, notAModel, openWeights } from "../checkpoint/weights.ts";
import type { ChatTemplate } from "../tokenizer/chat-template.ts";
import { chatTemplateFor } from "../tokenizer/chat-template.ts";
import { checkTokenizerMatches, loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { UserError } from "../util/errors.ts";
import type { Rng } from "../util/rng.ts";
import type { ParameterSpec } from "./architecture.ts";
import { type AnyArchitecture, architectureFor } from "./architectures.ts";

export interface Model {
	readonly architecture: AnyArchitecture;
	readonly config: unknown;
	readonly tokenizer: Tokenizer;
	readonly template: ChatTemplate;
	/** Every tensor of `architecture.parameters(config)`, by name. */
	readonly parameters: ReadonlyMap<string, Float32Array>;
	/** First row of the embedding that was not in the base: the tokens of the chat template. */
	readonly firstNewToken: number;
}

/** Elements of a tensor. */
export const sizeOf = ({ shape }: Pick<ParameterSpec, "shape">) => shape.reduce((product, size) => product * size, 1);

/** Parameters in all. */
export function parameterCount(architecture: AnyArchitecture, config: unknown): number {
	return architecture.parameters(config).reduce((sum, spec) => sum + sizeOf(spec), 0);
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
 * Reads config.json, the weights and the tokenizer. Tokens that the chat template needs and the base lacks get embedding
 * rows that start at the mean of the others. Throws UserError when something is missing, malformed or does not match.
 */
export async function loadModel(directory: string): Promise<Model> {
	const names = await namesIn(directory);
	if (!names.includes("config.json")) {
		throw notAModel(directory, {
			lookedFor: "config.json",
			found: names.slice(0, 10).join(", ") || "an empty directory",
		});
	}
	const json = parseJson(await readFile(join(directory, "config.json"), "utf8"), join(directory, "config.json"));
	const architecture = architectureFor(json);
	const baseConfig = architecture.parseConfig(json);
	const base = await loadTokenizer(directory);
	const { vocabulary } = architecture.sizes(baseConfig);
	checkTokenizerMatches(base, vocabulary);
	const { tokenizer, template } = chatTemplateFor(base);
	const config = tokenizer.size > vocabulary ? architecture.withVocabulary(baseConfig, tokenizer.size) : baseConfig;
	const parameters = await readParameters(directory, { architecture, baseConfig, config });
	const firstNewToken = template.addedTokens.length > 0 ? base.size : tokenizer.size;
	if (firstNewToken < tokenizer.size)
		startAtMean(parameters.get(architecture.embedding) as Float32Array, { architecture, config, firstNewToken });
	return { architecture, config, tokenizer, template, parameters, firstNewToken };
}

async function readParameters(
	directory: string,
	{ architecture, baseConfig, config }: { architecture: AnyArchitecture; baseConfig: unknown; config: unknown },
): Promise<Map<string, Float32Array>> {
	const reader = await openWeights(directory);
	try {
		const fileNames = new Map<string, string>();
		for (const fileName of reader.tensors.keys()) {
			const name = architecture.canonicalName(fileName);
			if (name !== undefined) fileNames.set(name, fileName);
		}
		const parameters = new Map<string, Float32Array>();
		const grown = new Map(architecture.parameters(config).map((spec) => [spec.name, sizeOf(spec)]));
		for (const spec of architecture.parameters(baseConfig)) {
			const fileName = fileNames.get(spec.name);
			if (fileName === undefined) {
				throw new UserError("WEIGHT_MISSING", `The weights lack the tensor ${spec.name}.`, {
					where: reader.path,
					expected: `${architecture.parameters(baseConfig).length} tensors of a ${architecture.name} model`,
					found: `${fileNames.size} tensors`,
					hint: "Check that config.json and the weights belong together.",
				});
			}
			const { shape } = reader.tensors.get(fileName) as { shape: readonly number[] };
			if (shape.join() !== spec.shape.join()) {
				throw new UserError("WEIGHT_SHAPE", `The tensor ${fileName} has another shape than config.json says.`, {
					where: reader.path,
					expected: `[${spec.shape}]`,
					found: `[${shape}]`,
					hint: "Check that config.json and the weights belong together.",
				});
			}
			const data = new Float32Array(grown.get(spec.name) as number);
			await reader.readInto(fileName, data.subarray(0, sizeOf(spec)));
			parameters.set(spec.name, data);
		}
		return parameters;
	} finally {
		await reader.close();
	}
}

/** Sets the rows from `firstNewToken` on to the mean of those before. */
function startAtMean(
	embedding: Float32Array,
	{ architecture, config, firstNewToken }: { architecture: AnyArchitecture; config: unknown; firstNewToken: number },
): void {
	const { channels } = architecture.sizes(config);
	const mean = new Float64Array(channels);
	for (let row = 0; row < firstNewToken; row++) {
		for (let c = 0; c < channels; c++) mean[c] = (mean[c] as number) + (embedding[row * channels + c] as number);
	}
	for (let c = 0; c < channels; c++) mean[c] = (mean[c] as number) / firstNewToken;
	for (let at = firstNewToken * channels; at < embedding.length; at += channels) embedding.set(mean, at);
}

function parseJson(text: string, where: string): unknown {
	try {
		return JSON.parse(text);
	} catch (error) {
		throw new UserError("MODEL_CONFIG", "The file is not valid JSON.", {
			where,
			found: (error as Error).message,
			cause: error,
		});
	}
}

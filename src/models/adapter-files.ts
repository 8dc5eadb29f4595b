// An adapter's files: read onto its base, written for PEFT. Beside the low-rank factors an adapter may bring rows of the
// embedding for tokens that the base lacks, whole tensors that replace the base's, and a tokenizer.

import { writeModelDirectory } from "../checkpoint/model-directory.ts";
import {
	type AdapterDirectory,
	adapterConfigFile,
	adapterWeightsFile,
	formatPeftConfig,
	type PeftConfig,
	peftPrefix,
} from "../checkpoint/peft.ts";
import { chatTemplateFor } from "../tokenizer/chat-template.ts";
import { checkTokenizerMatches, loadTokenizer } from "../tokenizer/tokenizer.ts";
import { UserError } from "../util/errors.ts";
import { type AdaptedModel, adapterParameters, attachAdapter } from "./adapter.ts";
import { type Model, parameterEntries, startAtMean } from "./model.ts";
import { newRowsName } from "./new-tokens.ts";

/** Where an adapter's base is found, as the adapter's config says it. */
export interface BaseReference {
	/** A hub id, an absolute path, or "builtin". */
	readonly name: string;
	readonly revision?: string;
}

/**
 * Writes an adapter as PEFT does. `PeftModel.from_pretrained` loads it onto its base; when it has rows of new tokens, the
 * base's embedding must have been resized to the tokenizer that is written beside it.
 */
export async function saveAdapter(
	path: string,
	model: AdaptedModel,
	{ base, as = "F32" }: { base: BaseReference; as?: "F32" | "F16" | "BF16" },
): Promise<void> {
	const { architecture, config, tokenizer, template, parameters } = model;
	const names = adapterParameters(model);
	const own = new Map([...parameters].filter(([name]) => names.has(name)));
	const peft = peftConfig(model, base);
	await writeModelDirectory(path, {
		files: {
			[adapterConfigFile]: formatPeftConfig(peft),
			"README.md": readme(peft, tokenizer.size),
			...tokenizer.files(template.jinja),
		},
		weights: parameterEntries(architecture, { config, parameters: own, as }),
		weightsName: adapterWeightsFile,
	});
}

/** What adapter_config.json says of an adapter. */
export function peftConfig(model: AdaptedModel, base: BaseReference): PeftConfig {
	const { adapter, architecture, parameters, tokenizer, firstNewToken } = model;
	const newRows = parameters.has(newRowsName(architecture)) ? tokenizer.size - firstNewToken : 0;
	return {
		...adapter,
		base: base.name,
		...(base.revision !== undefined && { revision: base.revision }),
		tokens: Array.from({ length: newRows }, (_, i) => firstNewToken + i),
	};
}

/**
 * The base with the adapter of a directory. The base's embedding is changed in place when the adapter has rows of it, and
 * its tensors are used, not copied. Throws UserError when the two do not belong together.
 */
export async function readAdapter(directory: AdapterDirectory, base: Model): Promise<AdaptedModel> {
	const { config: peft } = directory;
	const tensors = await readTensors(directory, base);
	const grown = await withTokenizer(directory, { base, rows: (tensors.table?.length ?? 0) / channelsOf(base) });
	const table = grown.parameters.get(grown.architecture.embedding) as Float32Array;
	if (tensors.table) table.set(tensors.table);
	const channels = channelsOf(base);
	peft.tokens.forEach((token, i) => {
		const row = tensors.rows?.subarray(i * channels, (i + 1) * channels);
		if (row?.length !== channels || (token + 1) * channels > table.length) {
			throw mismatch(directory, {
				what: "The rows of the adapter's tokens do not fit the base.",
				expected: `${peft.tokens.length} rows for tokens below ${table.length / channels}`,
				found: `token ${token}, ${(tensors.rows?.length ?? 0) / channels} rows`,
			});
		}
		table.set(row, token * channels);
	});
	const parameters = new Map([...grown.parameters, ...tensors.replaced]);
	return attachAdapter({ ...grown, parameters }, { settings: peft, tensors: tensors.factors });
}

interface AdapterTensors {
	/** By our names. */
	factors: Map<string, Float32Array>;
	/** Rows of `tokens`. */
	rows?: Float32Array;
	/** The whole embedding, which may be longer than the base's. */
	table?: Float32Array;
	/** Other whole tensors. */
	replaced: Map<string, Float32Array>;
}

async function readTensors(directory: AdapterDirectory, base: Model): Promise<AdapterTensors> {
	const { architecture, config } = base;
	const { weights, config: peft } = directory;
	const specs = new Map(architecture.parameters(config).map((spec) => [spec.name, spec]));
	const layers = new Set(architecture.linearLayers(config));
	const result: AdapterTensors = { factors: new Map(), replaced: new Map() };
	const read = async (fileName: string, shape: readonly (number | "any")[]) => {
		const found = weights.tensors.get(fileName)?.shape ?? [];
		if (found.length !== shape.length || shape.some((size, i) => size !== "any" && size !== found[i])) {
			throw mismatch(directory, {
				what: `The adapter's tensor ${fileName} does not fit the base.`,
				expected: `[${shape}]`,
				found: `[${found}]`,
			});
		}
		const data = new Float32Array(found.reduce((product, size) => product * size, 1));
		await weights.readInto(fileName, data);
		return data;
	};
	for (const fileName of weights.tensors.keys()) {
		const [, module, part] = /^base_model\.model\.(.+?)\.((?:lora_|token_adapter\.).+)$/.exec(fileName) ?? [];
		const whole = (name: string) => architecture.canonicalName(name.slice(peftPrefix.length));
		const name = module === undefined ? undefined : architecture.canonicalName(`${module}.weight`);
		const layer = name?.replace(/\.weight$/, "");
		const isTable = name === architecture.embedding;
		const shape = specs.get(name ?? "")?.shape ?? [];
		if (layer !== undefined && layers.has(layer) && part !== undefined) {
			const [inputs, outputs] = shape as [number, number];
			const shapes: Record<string, number[]> = {
				"lora_A.weight": [peft.rank, inputs],
				"lora_B.weight": [outputs, peft.rank],
				...(peft.dora && { lora_magnitude_vector: [outputs] }),
			};
			const expected = shapes[part];
			if (!expected) throw unknown(directory, fileName);
			result.factors.set(`${layer}.${part}`, await read(fileName, expected));
		} else if (part === "token_adapter.trainable_tokens_delta" && isTable) {
			result.rows = await read(fileName, ["any", channelsOf(base)]);
		} else if (part === "token_adapter.base_layer.weight" && isTable) {
			result.table = await read(fileName, ["any", channelsOf(base)]);
		} else if (isTiedHead(fileName)) {
			await checkTied(directory, { fileName, architecture });
		} else if (part === undefined && fileName.startsWith(peftPrefix)) {
			const target = specs.get(whole(fileName) ?? "");
			if (!target) throw unknown(directory, fileName);
			if (target.name === architecture.embedding) result.table = await read(fileName, ["any", channelsOf(base)]);
			else result.replaced.set(target.name, await read(fileName, target.shape));
		} else {
			throw unknown(directory, fileName);
		}
	}
	const perLayer = peft.dora ? 3 : 2;
	if (result.factors.size === 0 || result.factors.size % perLayer !== 0) {
		throw mismatch(directory, {
			what: "The adapter is not complete.",
			expected: `${perLayer} tensors for each of its layers`,
			found: `${result.factors.size} tensors`,
		});
	}
	return result;
}

/** The head of a tied model is the embedding, which PEFT saves a second time. */
const isTiedHead = (fileName: string) => fileName.startsWith(`${peftPrefix}lm_head.`);

async function checkTied(
	{ weights, path }: AdapterDirectory,
	{ fileName, architecture }: { fileName: string; architecture: Model["architecture"] },
): Promise<void> {
	const table = architecture.fileName(architecture.embedding).replace(/\.weight$/, "");
	const twin = fileName.replace(`${peftPrefix}lm_head`, `${peftPrefix}${table}`);
	const same = weights.tensors.has(twin) ? Buffer.from((await weights.read(twin)).buffer) : undefined;
	if (same?.equals(Buffer.from((await weights.read(fileName)).buffer))) return;
	throw new UserError("ADAPTER_UNSUPPORTED", "The adapter trains the output head apart from the embedding.", {
		where: path,
		expected: "a head that is the embedding, as in the base",
		found: fileName,
	});
}

/** The base with the tokenizer that stands beside the adapter, if one does, and an embedding of as many rows. */
async function withTokenizer(
	{ path, files }: AdapterDirectory,
	{ base, rows }: { base: Model; rows: number },
): Promise<Model> {
	const { architecture, config, parameters } = base;
	const given = files.includes("tokenizer.json") ? await loadTokenizer(path) : undefined;
	const { tokenizer, template } = given ? chatTemplateFor(given) : base;
	const firstNewToken = given?.size ?? base.firstNewToken;
	const before = architecture.sizes(config).vocabulary;
	const vocabulary = Math.max(before, tokenizer.size, rows);
	if (vocabulary === before) return { ...base, tokenizer, template, firstNewToken };
	const channels = channelsOf(base);
	const table = new Float32Array(vocabulary * channels);
	table.set(parameters.get(architecture.embedding) as Float32Array);
	startAtMean(table, { channels, firstNewToken: before });
	const grown = architecture.withVocabulary(config, vocabulary);
	if (given) checkTokenizerMatches(tokenizer, vocabulary);
	const withTable = new Map([...parameters, [architecture.embedding, table]]);
	return { ...base, tokenizer, template, firstNewToken, config: grown, parameters: withTable };
}

const channelsOf = ({ architecture, config }: Model) => architecture.sizes(config).channels;

function mismatch(
	{ path, config }: AdapterDirectory,
	{ what, expected, found }: { what: string; expected: string; found: string },
): UserError {
	const hint = `The adapter was trained on ${config.base} (base_model_name_or_path in ${adapterConfigFile}).`;
	return new UserError("ADAPTER_MISMATCH", what, { where: path, expected, found, hint });
}

function unknown({ path }: AdapterDirectory, fileName: string): UserError {
	return new UserError("ADAPTER_UNSUPPORTED", `The adapter has a tensor of an unknown kind, ${fileName}.`, {
		where: path,
		expected: "lora_A, lora_B and lora_magnitude_vector of linear layers, rows of tokens, whole tensors of the base",
		found: fileName,
		hint: "With PEFT, merge_and_unload() and save_pretrained() make a plain model of any adapter.",
	});
}

function readme({ base, tokens }: PeftConfig, vocabulary: number): string {
	const resize =
		tokens.length > 0
			? [
					"# The adapter brings the embedding rows of new tokens: the base needs room for them.",
					`base.resize_token_embeddings(${vocabulary})`,
				]
			: [];
	return [
		"---",
		"library_name: peft",
		`base_model: ${base}`,
		"---",
		"",
		"An adapter trained with attune. `attune chat .` loads it with its base; `attune export . --merge --output DIR` makes",
		"a plain model of the two. With PEFT:",
		"",
		"```python",
		"from peft import PeftModel",
		"from transformers import AutoModelForCausalLM, AutoTokenizer",
		"",
		`base = AutoModelForCausalLM.from_pretrained(${JSON.stringify(base)})`,
		...resize,
		'model = PeftModel.from_pretrained(base, ".")',
		'tokenizer = AutoTokenizer.from_pretrained(".")',
		"```",
		"",
	].join("\n");
}

// An adapter in PEFT's layout: adapter_config.json and adapter_model.safetensors, beside the tokenizer's files. What the
// config says is read and checked here; what its tensors mean is the business of the layers above.
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { resolveInside } from "./inside.ts";
import { modelFolder } from "./model-directory.ts";
import { isPickleName, pickleError } from "./pickle.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
import { namesIn } from "./weights.ts";

export const adapterConfigFile = "adapter_config.json";
export const adapterWeightsFile = "adapter_model.safetensors";
/** Before the name that a tensor has in the base model's own file. */
export const peftPrefix = "base_model.model.";

/** What adapter_config.json says, as far as the computation depends on it. */
export interface PeftConfig {
	/** base_model_name_or_path: a hub id, a directory, or "builtin". */
	readonly base: string;
	/** Of the base, when it is a model of the hub and not its main one. */
	readonly revision?: string;
	readonly rank: number;
	readonly alpha: number;
	readonly dropout: number;
	readonly rsLora: boolean;
	readonly dora: boolean;
	/** Ends of the names of the layers that carry an adapter; for writing: on reading the tensors tell. */
	readonly targets: readonly string[];
	/** Tokens whose embedding rows belong to the adapter, in the order of the saved rows. */
	readonly tokens: readonly number[];
}

const absent = z.union([z.null(), z.literal(false), z.array(z.never()), z.record(z.string(), z.never())]).optional();
const schema = z.looseObject({
	peft_type: z.literal("LORA"),
	base_model_name_or_path: z.string().min(1),
	revision: z.string().nullish(),
	r: z.int().positive(),
	lora_alpha: z.number().positive(),
	lora_dropout: z.number().min(0).lt(1).default(0),
	use_rslora: z.boolean().default(false),
	use_dora: z.boolean().default(false),
	bias: z.literal("none").default("none"),
	target_modules: z.union([z.string(), z.array(z.string()), z.null()]).optional(),
	trainable_token_indices: z
		.union([z.array(z.int().min(0)), z.record(z.string(), z.array(z.int().min(0))), z.null()])
		.optional(),
	// Starts that change the base's weights: the adapter alone would not be the model that was trained.
	init_lora_weights: z.union([z.boolean(), z.enum(["gaussian", "eva", "orthogonal"])]).default(true),
	// What changes the computation and is not known here.
	rank_pattern: absent,
	alpha_pattern: absent,
	layer_replication: absent,
	lora_bias: absent,
	target_parameters: absent,
	use_qalora: absent,
	use_bdlora: absent,
	arrow_config: absent,
	alora_invocation_tokens: absent,
	kasa_config: absent,
	monteclora_config: absent,
});

/** Throws UserError for a kind of adapter that is not known, naming the field. `where`: the file. */
export function parsePeftConfig(json: unknown, { where }: { where: string }): PeftConfig {
	const parsed = schema.safeParse(json);
	if (!parsed.success) {
		const issue = parsed.error.issues[0] as z.core.$ZodIssue;
		throw new UserError("ADAPTER_UNSUPPORTED", "The adapter is not one that can be used.", {
			where: `${where}, field "${issue.path.join(".")}"`,
			expected: "LoRA, rsLoRA or DoRA with one rank and one alpha, as PEFT saves them",
			found: issue.message,
			hint: "With PEFT, merge_and_unload() and save_pretrained() make a plain model of any adapter.",
		});
	}
	const config = parsed.data;
	const indices = config.trainable_token_indices ?? [];
	const lists = Array.isArray(indices) ? [indices] : Object.values(indices);
	if (lists.length > 1) {
		throw new UserError("ADAPTER_UNSUPPORTED", "The adapter trains the tokens of more than one table.", {
			where: `${where}, field "trainable_token_indices"`,
			expected: "tokens of the embedding",
			found: Object.keys(indices).join(", "),
		});
	}
	const targets = config.target_modules ?? [];
	return {
		base: config.base_model_name_or_path,
		...(config.revision && { revision: config.revision }),
		rank: config.r,
		alpha: config.lora_alpha,
		dropout: config.lora_dropout,
		rsLora: config.use_rslora,
		dora: config.use_dora,
		targets: typeof targets === "string" ? [targets] : targets,
		tokens: lists[0] ?? [],
	};
}

/** What PEFT reads. Fields that are left out have PEFT's defaults. */
export function formatPeftConfig(config: PeftConfig): Record<string, unknown> {
	return {
		base_model_name_or_path: config.base,
		...(config.revision !== undefined && { revision: config.revision }),
		bias: "none",
		// GPT-2's layers keep their weights as [in, out].
		fan_in_fan_out: true,
		inference_mode: true,
		init_lora_weights: true,
		lora_alpha: config.alpha,
		lora_dropout: config.dropout,
		peft_type: "LORA",
		r: config.rank,
		target_modules: [...config.targets],
		task_type: "CAUSAL_LM",
		trainable_token_indices: config.tokens.length > 0 ? [...config.tokens] : null,
		use_dora: config.dora,
		use_rslora: config.rsLora,
	};
}

/** An opened adapter. The caller closes it, once. */
export interface AdapterDirectory {
	readonly path: string;
	readonly config: PeftConfig;
	readonly weights: SafetensorsFile;
	readonly files: readonly string[];
	/** The content of all text files, by name. */
	texts(): Promise<Record<string, string>>;
	close(): Promise<void>;
}

/** The path if it is the directory of an adapter, its model/ if it is the run directory of one; else undefined. */
export async function findAdapter(path: string): Promise<string | undefined> {
	const names = await namesIn(path);
	if (names.includes("config.json")) return undefined;
	if (names.includes(adapterConfigFile)) return path;
	if (!names.includes(modelFolder) || !names.includes("manifest.json")) return undefined;
	return findAdapter(join(path, modelFolder));
}

/** Throws UserError for files that are missing, malformed, pickled, or of an unknown kind of adapter. */
export async function openAdapter(path: string): Promise<AdapterDirectory> {
	const files = await namesIn(path);
	const file = await resolveInside(path, adapterConfigFile);
	let json: unknown;
	try {
		json = JSON.parse(await readFile(file, "utf8"));
	} catch (error) {
		if (!(error instanceof SyntaxError)) throw fileError(error, { doing: "read", path: file });
		throw new UserError("ADAPTER_MALFORMED", `${file} is not JSON: ${error.message}`, { where: file, cause: error });
	}
	const config = parsePeftConfig(json, { where: file });
	const pickle = files.find(isPickleName);
	if (!files.includes(adapterWeightsFile) && pickle !== undefined) throw pickleError(join(path, pickle));
	const weights = await openSafetensors(await resolveInside(path, adapterWeightsFile));
	const texts = async () => {
		const names = files.filter((name) => /\.(json|txt|jinja|md)$/.test(name));
		const read = async (name: string) => [name, await readFile(await resolveInside(path, name), "utf8")] as const;
		return Object.fromEntries(await Promise.all(names.map(read)));
	};
	return { path, config, weights, files, texts, close: () => weights.close() };
}

// What a fine-tuning run would cost on this machine, told before anything runs: from the model's config and the data
// alone. No weights are read, and for GPT-2's four sizes no file is needed.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { findInCache, hubCacheDirectory } from "../checkpoint/hub-cache.ts";
import { parseModelReference } from "../checkpoint/model-reference.ts";
import { BatchStream, prepareDialogues } from "../data/index.ts";
import { type AnyArchitecture, architectureFor } from "../models/architectures.ts";
import { inFewBits } from "../models/few-bits.ts";
import { sizeOf } from "../models/model.ts";
import { type ChatTemplate, chatTemplateFor } from "../tokenizer/chat-template.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { planTraining } from "../train/loop.ts";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { microBatchCut, mostSupervised } from "./finetune.ts";
import { adaptedShape, firstSteps, sampleSizes, type TrainingShape } from "./forecast.ts";
import { resolveModelReference } from "./model-reference.ts";
import { planOptions } from "./options/jobs.ts";
import type { Recipe, RecipeEvent } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";
import type { OptionsOf } from "./options/table.ts";
import { makePlan } from "./plan-summary.ts";

type Values = OptionsOf<typeof planOptions>;

const gpt2Config = (n_layer: number, n_head: number, n_embd: number) => ({
	model_type: "gpt2",
	n_layer,
	n_head,
	n_embd,
});
/** GPT-2 as OpenAI published it, by its names on the hub. */
const gpt2Sizes: Readonly<Record<string, Record<string, unknown>>> = {
	gpt2: gpt2Config(12, 12, 768),
	"gpt2-medium": gpt2Config(24, 16, 1024),
	"gpt2-large": gpt2Config(36, 20, 1280),
	"gpt2-xl": gpt2Config(48, 25, 1600),
};

/** Length of conversations when there are no data. */
const typicalLength = 256;

/** One `plan-made` event; `data-read` before it when there are data. */
export const plan: Recipe<typeof planOptions> = async function* (options, { origins, signal } = {}) {
	const { values } = resolveOptions(planOptions, { options, origins });
	const base = yield* readBase(values.model, signal ? { signal } : {});
	const { architecture, config } = base;
	const { context } = architecture.sizes(config);
	const maxLength = values.maxLength ?? context;
	if (maxLength > context) {
		throw new UserError("MAX_LENGTH", "The maximum length is above the model's context.", {
			where: "--max-length",
			expected: `at most ${context} tokens`,
			found: `${maxLength}`,
			hint: "Leave it out: the model's context is the default. Longer conversations are cut into several.",
		});
	}
	const known = values.data && base.template;
	if (values.data && !base.template) {
		yield {
			type: "warning",
			code: "PLAN_WITHOUT_TOKENIZER",
			message: `The tokenizer of ${values.model} is not on this machine, so the data cannot be counted.`,
			hint: "Give --model a folder that has it; what follows is for full batches.",
		};
	}
	const sample = known
		? yield* sampleData(values, { template: base.template as ChatTemplate, maxLength, signal })
		: syntheticSample(values, values.maxLength ?? Math.min(context, typicalLength));
	const shapeOf = (model: BareModel): TrainingShape => shapeFor(values, { model, sample });
	const others = Object.entries(gpt2Sizes).map(([model, json]) => ({ model, shape: shapeOf(bareModel(json)) }));
	const made = await makePlan({
		shape: shapeOf(base),
		...(known && { examplesPerEpoch: sample.examplesPerEpoch, steps: sample.steps }),
		...(values.threads !== undefined && { threads: values.threads }),
		alternatives: others,
	});
	yield { type: "plan-made", plan: made };
};

interface BareModel {
	architecture: AnyArchitecture;
	config: unknown;
	/** Absent when the tokenizer is not on this machine. */
	template?: ChatTemplate;
}

function bareModel(json: unknown): BareModel {
	const architecture = architectureFor(json);
	return { architecture, config: architecture.parseConfig(json) };
}

async function* readBase(
	reference: string,
	{ signal }: { signal?: AbortSignal },
): AsyncGenerator<RecipeEvent, BareModel> {
	const parsed = await parseModelReference(reference);
	const published = parsed.kind === "hub" ? gpt2Sizes[parsed.id.replace(/^openai-community\//, "")] : undefined;
	if (parsed.kind === "hub" && published) {
		const cached = await findInCache(hubCacheDirectory(process.env), parsed);
		if (!cached) return bareModel(published);
	}
	const path = yield* resolveModelReference(reference, signal ? { signal } : {});
	const inside = await readConfig(path).catch(() => undefined);
	const directory = inside === undefined ? join(path, "model") : path;
	const base = bareModel(inside ?? (await readConfig(directory)));
	const tokenizer = await loadTokenizer(directory);
	const { template, tokenizer: grown } = chatTemplateFor(tokenizer);
	const { architecture, config } = base;
	const needed = Math.max(grown.size, architecture.sizes(config).vocabulary);
	return { architecture, config: architecture.withVocabulary(config, needed), template };
}

async function readConfig(directory: string): Promise<unknown> {
	const path = join(directory, "config.json");
	const text = await readFile(path, "utf8").catch((error: unknown) => {
		throw fileError(error, { doing: "read", path });
	});
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new UserError("MODEL_CONFIG", "config.json is not JSON.", { where: path, cause });
	}
}

interface Sample extends Pick<TrainingShape, "microBatches" | "sampled" | "maxRows"> {
	examplesPerEpoch: number;
	steps: number;
	evaluates: boolean;
}

async function* sampleData(
	values: Values,
	{ template, maxLength, signal }: { template: ChatTemplate; maxLength: number; signal: AbortSignal | undefined },
): AsyncGenerator<RecipeEvent, Sample> {
	const heldOut = values.validation;
	const files = values.data ?? [];
	const { store, train, validation, report } = await prepareDialogues({
		files,
		template,
		maxLength: maxLength + 1,
		overflow: values.overflow,
		seed: 0,
		// What would be lost is the business of `data check`.
		maxLossOfRows: 1,
		...(values.columns && { columns: values.columns }),
		...(heldOut === 0
			? {}
			: { validation: typeof heldOut === "string" ? { files: [heldOut] } : { fraction: heldOut } }),
		...(signal && { signal }),
	});
	try {
		yield { type: "data-read", files, use: "training", ledger: report.ledger };
		const longest = train.reduce((most, index) => Math.max(most, store.timeOf(index)), 0);
		const cut = microBatchCut(values, longest);
		const stream = new BatchStream({ store, indices: train, seed: 0, groupSize: values.batchSize, ...cut });
		const batchSize = values.batchSize * values.accumulate;
		const { plan } = planTraining({
			stream,
			length: values.steps === undefined ? { epochs: values.epochs } : { steps: values.steps },
			batchSize,
			...(values.batchRamp && { batchRamp: { ramp: values.batchRamp, learningRate: values.rampLearningRate } }),
			schedule: { name: "constant", warmupSteps: 0 },
		});
		const { examplesPerEpoch } = stream;
		const maxRows = Math.min(cut.tokenBudget, mostSupervised(train, { store, count: batchSize }));
		const sizes = sampleSizes(firstSteps(stream, batchSize));
		return { ...sizes, maxRows, examplesPerEpoch, steps: plan.steps, evaluates: validation.length > 0 };
	} finally {
		store.dispose();
	}
}

/** One step of full batches, of which every position is labelled. */
function syntheticSample(values: Values, time: number): Sample {
	const examples = values.batchSize * values.accumulate;
	const { tokenBudget } = microBatchCut(values, time);
	const batch = Math.max(1, Math.floor(tokenBudget / time));
	const microBatches = Array.from({ length: Math.ceil(examples / batch) }, () => ({ batch, time, rows: batch * time }));
	return {
		microBatches,
		sampled: { steps: 1, examples },
		maxRows: batch * time,
		examplesPerEpoch: examples,
		steps: 1,
		evaluates: values.validation !== 0,
	};
}

function shapeFor(values: Values, { model, sample }: { model: BareModel; sample: Sample }): TrainingShape {
	const { config } = model;
	const architecture = values.baseBits
		? inFewBits(model.architecture, values.baseBits === "4" ? 4 : 8)
		: model.architecture;
	const specs = architecture.parameters(config).filter((spec) => sizeOf(spec) > 0 && !spec.rowsOf);
	const frozen = values.freeze ?? [];
	const trainable = specs.flatMap(({ name }) => (frozen.some((prefix) => name.startsWith(prefix)) ? [] : [name]));
	const { microBatches, sampled, maxRows, evaluates } = sample;
	const shape: TrainingShape = {
		architecture,
		config,
		trainable: new Set(trainable),
		optimizer: values.optimizer,
		momentum: 0,
		accumulate: true,
		recompute: values.recompute,
		evaluates,
		maxRows,
		microBatches,
		sampled,
	};
	if (!values.lora) return shape;
	return adaptedShape(shape, {
		rank: values.loraRank,
		alpha: values.loraAlpha,
		targets: values.loraTargets ?? [],
		dropout: values.loraDropout,
		rsLora: values.loraRs,
		dora: values.loraDora,
	});
}

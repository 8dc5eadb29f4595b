// Pretraining: a GPT-2 of random weights (or a model that is given) learns from plain text, and from dialogues, in
// windows of a fixed length.

import { hashFiles, type Manifest } from "../checkpoint/manifest.ts";
import { assertOutputFree } from "../checkpoint/run-directory.ts";
import { evaluationWindows, prepareTexts, WindowStream, type WindowStreamState } from "../data/index.ts";
import { architectureFor } from "../models/architectures.ts";
import { loadModel } from "../models/load-model.ts";
import { createModel, type Model } from "../models/model.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainBpe } from "../tokenizer/train-bpe.ts";
import { trainCharacters } from "../tokenizer/train-characters.ts";
import { UserError } from "../util/errors.ts";
import { Rng } from "../util/rng.ts";
import { resolveModelReference } from "./model-reference.ts";
import { pretrainOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import type { OptionRecord } from "./options/resolve.ts";
import { kebabCase, type OptionsOf } from "./options/table.ts";
import { changedFilesOf, placeIn, setUp } from "./setup.ts";
import { charactersOf, textsOf } from "./texts-of.ts";
import { allParameters, fullLearningRate, hashModel, runTraining } from "./training-run.ts";

type Values = OptionsOf<typeof pretrainOptions>;

/** Slots of a micro-batch unless --token-budget says otherwise. */
const defaultTokenBudget = 4096;

/** Trains from random weights and writes a run directory; see `attune pretrain --help` for the options. */
export const pretrain: Recipe<typeof pretrainOptions> = async function* (options, context = {}) {
	const setup = await setUp(pretrainOptions, { options, context });
	const { values, previous } = setup;
	const { signal } = context;
	if (!previous) await assertOutputFree(setup.directory, { overwrite: values.overwrite });
	const heldOut = values.validation;
	const data = await hashFiles(
		[...values.data, ...(typeof heldOut === "string" ? [heldOut] : [])],
		signal ? { signal } : {},
	);

	let base: Manifest["base"] = null;
	let model: Model;
	if (values.model === undefined) model = await newModel(values, signal);
	else {
		checkModelAlone(values, setup.record);
		const directory = yield* resolveModelReference(values.model, signal ? { signal } : {});
		model = await loadModel(directory);
		base = await hashModel(directory, values.model);
		checkBlockSize(values.blockSize, model);
	}
	const changedFiles = changedFilesOf(previous, { data, base, allowed: values.allowChange ?? [] });
	const { tokenizer, template } = model;
	const textOptions = {
		tokenizer,
		template,
		seed: values.seed,
		maxLossOfRows: values.maxLossOfRows,
		...(values.columns && { columns: values.columns }),
		...(signal && { signal }),
	};
	const fraction = typeof heldOut === "number" ? heldOut : 0;
	const texts = await prepareTexts({ files: values.data, validationFraction: fraction, ...textOptions });
	const separate = typeof heldOut === "string" ? await prepareTexts({ files: [heldOut], ...textOptions }) : undefined;
	const validation = separate?.train ?? texts.validation;
	try {
		yield {
			type: "text-read",
			files: values.data,
			documents: texts.report.documents,
			tokens: texts.report.tokens.train,
			heldOutTokens: validation.length,
		};
		if (texts.report.ledger.rows > 0)
			yield { type: "data-read", files: values.data, use: "training", ledger: texts.report.ledger };
		const tokenBudget = Math.max(values.blockSize, values.tokenBudget ?? defaultTokenBudget);
		const streamOptions = {
			tokens: texts.train,
			blockSize: values.blockSize,
			seed: values.seed,
			order: values.steps === undefined ? ("epoch" as const) : ("random" as const),
			tokenBudget: Math.min(tokenBudget, values.batchSize * values.blockSize),
		};
		yield* runTraining(
			{
				recipe: pretrainOptions.job,
				directory: setup.directory,
				model,
				trainable: allParameters(model),
				values,
				record: setup.record,
				defaultLearningRate: base ? fullLearningRate(model) : 1e-3,
				base,
				data,
				previous,
				changed: setup.changed,
				changedFiles,
				stream: new WindowStream(streamOptions),
				restoreStream: (state) =>
					WindowStream.restore(
						placeIn(new WindowStream(streamOptions).state, {
							state: state as WindowStreamState,
							changed: setup.changed.length + changedFiles.length > 0,
						}),
						streamOptions,
					),
				...(validation.length > 1 && {
					validation: evaluationWindows({ tokens: validation, blockSize: values.blockSize, tokenBudget }),
				}),
				maxRows: tokenBudget,
				accumulate: values.batchSize * values.accumulate * values.blockSize > streamOptions.tokenBudget,
				...(texts.report.ledger.rows > 0 && { ledger: texts.report.ledger }),
				questions: [],
				next: (directory) => [
					`attune generate ${directory} --prompt TEXT`,
					`attune finetune --model ${directory} --data FILE --output DIR`,
				],
			},
			context,
		);
	} finally {
		for (const archive of [texts.train, texts.validation, separate?.train, separate?.validation]) archive?.dispose();
	}
};

async function newModel(values: Values, signal: AbortSignal | undefined): Promise<Model> {
	if (values.channels % values.heads !== 0) {
		throw new UserError("MODEL_CONFIG", "The channels do not divide by the heads.", {
			where: "--channels",
			expected: `a multiple of ${values.heads}`,
			found: `${values.channels}`,
		});
	}
	const tokenizer = await tokenizerFor(values, signal);
	const architecture = architectureFor({ model_type: "gpt2" });
	const config = architecture.parseConfig({
		model_type: "gpt2",
		vocab_size: tokenizer.size,
		n_positions: values.blockSize,
		n_embd: values.channels,
		n_layer: values.layers,
		n_head: values.heads,
	});
	return createModel(architecture, { config, tokenizer, rng: new Rng([values.seed, "weights"]) });
}

async function tokenizerFor(values: Values, signal: AbortSignal | undefined): Promise<Tokenizer> {
	if (values.tokenizer !== "bpe" && values.tokenizer !== "characters") return loadTokenizer(values.tokenizer);
	const texts = textsOf(values.data, values.columns ? { columns: values.columns } : {});
	if (values.tokenizer === "characters") return trainCharacters([await charactersOf(texts)]);
	return trainBpe(texts, { vocabularySize: values.vocabularySize, ...(signal && { signal }) });
}

/** The sizes and the tokenizer of a model that is given are its own: asking for others would be ignored. */
function checkModelAlone(values: Values, record: OptionRecord): void {
	const ignored = (["tokenizer", "vocabularySize", "layers", "heads", "channels"] as const).filter(
		(name) => record[name]?.origin !== "default",
	);
	if (ignored.length === 0) return;
	throw new UserError("OPTION_CONFLICT", `--model ${values.model} brings its own sizes and tokenizer.`, {
		where: ignored.map((name) => `--${kebabCase(name)}`).join(", "),
		hint: "Leave these out, or train from random weights without --model.",
	});
}

function checkBlockSize(blockSize: number, model: Model): void {
	const { context } = model.architecture.sizes(model.config);
	if (blockSize <= context) return;
	throw new UserError("BLOCK_SIZE", "The block size is above the model's context.", {
		where: "--block-size",
		expected: `at most ${context} tokens`,
		found: `${blockSize}`,
	});
}

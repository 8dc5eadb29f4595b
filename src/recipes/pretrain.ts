// Pretraining: a GPT-2 of random weights learns from plain text (and dialogues) in windows of a fixed length.

import { hashFiles } from "../checkpoint/manifest.ts";
import { assertOutputFree } from "../checkpoint/run-directory.ts";
import { evaluationWindows, prepareTexts, WindowStream, type WindowStreamState } from "../data/index.ts";
import { architectureFor } from "../models/architectures.ts";
import { createModel } from "../models/model.ts";
import { chatTemplateFor } from "../tokenizer/chat-template.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainBpe } from "../tokenizer/train-bpe.ts";
import { trainCharacters } from "../tokenizer/train-characters.ts";
import { UserError } from "../util/errors.ts";
import { Rng } from "../util/rng.ts";
import { pretrainOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import type { OptionsOf } from "./options/table.ts";
import { assertSameFiles, setUp } from "./setup.ts";
import { charactersOf, textsOf } from "./texts-of.ts";
import { allParameters, runTraining } from "./training-run.ts";

/** Slots of a micro-batch unless --token-budget says otherwise. */
const defaultTokenBudget = 4096;

/** Trains from random weights and writes a run directory; see `attune pretrain --help` for the options. */
export const pretrain: Recipe<typeof pretrainOptions> = async function* (options, context = {}) {
	const setup = await setUp(pretrainOptions, { options, context });
	const { values, previous } = setup;
	const { signal } = context;
	if (!previous) await assertOutputFree(setup.directory, { overwrite: values.overwrite });
	if (values.channels % values.heads !== 0) {
		throw new UserError("MODEL_CONFIG", "The channels do not divide by the heads.", {
			where: "--channels",
			expected: `a multiple of ${values.heads}`,
			found: `${values.channels}`,
		});
	}
	const heldOut = values.validation;
	const data = await hashFiles(
		[...values.data, ...(typeof heldOut === "string" ? [heldOut] : [])],
		signal ? { signal } : {},
	);
	if (previous) assertSameFiles("data", { before: previous.data, now: data, allowed: values.allowChange ?? [] });

	const { tokenizer, template } = chatTemplateFor(await tokenizerFor(values, signal));
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
		const architecture = architectureFor({ model_type: "gpt2" });
		const config = architecture.parseConfig({
			model_type: "gpt2",
			vocab_size: tokenizer.size,
			n_positions: values.blockSize,
			n_embd: values.channels,
			n_layer: values.layers,
			n_head: values.heads,
		});
		const model = createModel(architecture, { config, tokenizer, rng: new Rng([values.seed, "weights"]) });
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
				defaultLearningRate: 1e-3,
				base: null,
				data,
				previous,
				changed: setup.changed,
				stream: new WindowStream(streamOptions),
				restoreStream: (state) => WindowStream.restore(state as WindowStreamState, streamOptions),
				...(validation.length > 1 && {
					validation: () => evaluationWindows({ tokens: validation, blockSize: values.blockSize, tokenBudget }),
				}),
				maxRows: tokenBudget,
				accumulate: values.batchSize * values.accumulate * values.blockSize > streamOptions.tokenBudget,
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

async function tokenizerFor(
	values: OptionsOf<typeof pretrainOptions>,
	signal: AbortSignal | undefined,
): Promise<Tokenizer> {
	if (values.tokenizer !== "bpe" && values.tokenizer !== "characters") return loadTokenizer(values.tokenizer);
	const texts = textsOf(values.data, values.columns ? { columns: values.columns } : {});
	if (values.tokenizer === "characters") return trainCharacters([await charactersOf(texts)]);
	return trainBpe(texts, { vocabularySize: values.vocabularySize, ...(signal && { signal }) });
}

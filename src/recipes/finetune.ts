// Fine-tuning: a pretrained model learns from dialogues.

import { hashFiles } from "../checkpoint/manifest.ts";
import { assertOutputFree } from "../checkpoint/run-directory.ts";
import {
	BatchStream,
	type BatchStreamState,
	type DialogueData,
	type DialogueReport,
	evaluationBatches,
	type HeldOut,
	prepareDialogues,
} from "../data/index.ts";
import type { Model } from "../models/model.ts";
import { UserError } from "../util/errors.ts";
import { loadWithBase, nameOfBase, resolveModelReference } from "./model-reference.ts";
import { finetuneOptions } from "./options/jobs.ts";
import type { Recipe, RecipeEvent } from "./options/recipe.ts";
import type { OptionsOf } from "./options/table.ts";
import { readQuestions } from "./questions.ts";
import { changedFilesOf, placeIn, setUp } from "./setup.ts";
import { trainedPart } from "./trained-part.ts";
import { hashModel, runTraining } from "./training-run.ts";

/** Slots of a micro-batch unless --token-budget says otherwise: larger ones are no faster, and take more memory. */
const defaultTokenBudget = 1024;
/** What one more micro-batch costs, in slots: it reads the weights and writes the gradients once more. */
const slotsPerMicroBatch = 96;

/** Trains on dialogues and writes a run directory; see `attune finetune --help` for the options. */
export const finetune: Recipe<typeof finetuneOptions> = async function* (options, context = {}) {
	const setup = await setUp(finetuneOptions, { options, context });
	const { values, previous } = setup;
	const { signal } = context;
	if (!previous) await assertOutputFree(setup.directory, { overwrite: values.overwrite });
	const modelDirectory = yield* resolveModelReference(values.model, signal ? { signal } : {});
	const bits = values.baseBits === undefined ? undefined : (Number(values.baseBits) as 4 | 8);
	const loaded = await loadWithBase(modelDirectory, { bits, ...(signal && { signal }) });
	const { model, trainable, defaultLearningRate } = trainedPart(loaded, values);
	const data = await hashFiles(dataFiles(values), signal ? { signal } : {});
	const base = await hashModel(modelDirectory, values.model);
	const changedFiles = changedFilesOf(previous, { data, base, allowed: values.allowChange ?? [] });
	const dialogues = await readDialogueData(values, model, signal ? { signal } : {});
	try {
		yield* dataEvents(dialogues.report, values);
		const parts = partsOfRun(values, dialogues);
		yield* runTraining(
			{
				recipe: finetuneOptions.job,
				directory: setup.directory,
				model,
				trainable,
				...(values.lora && { adapterBase: await nameOfBase(values.model) }),
				values,
				record: setup.record,
				defaultLearningRate,
				base,
				data,
				previous,
				changed: setup.changed,
				changedFiles,
				...parts,
				restoreStream: (state) =>
					parts.restoreStream(
						placeIn(parts.stream.state, {
							state: state as BatchStreamState,
							changed: setup.changed.length + changedFiles.length > 0,
						}),
					),
				ledger: dialogues.report.ledger,
				questions: await readQuestions(values.ask ?? []),
				next: (directory) => [
					`attune chat ${directory}`,
					...(values.lora ? [`attune export ${directory} --merge --output DIR`] : []),
				],
			},
			context,
		);
	} finally {
		dialogues.store.dispose();
	}
};

type DataValues = Pick<
	OptionsOf<typeof finetuneOptions>,
	"data" | "validation" | "test" | "maxLength" | "overflow" | "maxLossOfRows" | "seed" | "columns"
>;

/** All files that a run reads: those to train on, then those that are held out. */
export function dataFiles({ data, validation, test }: DataValues): string[] {
	return [...data, ...[validation, test].filter((source) => typeof source === "string")];
}

/** Reads, encodes and splits the dialogues. Dispose of the store when done. */
export async function readDialogueData(
	values: DataValues,
	model: Model,
	{ signal }: { signal?: AbortSignal } = {},
): Promise<DialogueData> {
	const heldOut = (source: number | string) =>
		typeof source === "string" ? { files: [source] } : { fraction: source };
	return prepareDialogues({
		files: values.data,
		template: model.template,
		// An example of maxLength + 1 ids has maxLength positions.
		maxLength: checkedMaxLength(values.maxLength, model) + 1,
		overflow: values.overflow,
		seed: values.seed,
		maxLossOfRows: values.maxLossOfRows,
		...(values.columns && { columns: values.columns }),
		...(values.validation !== 0 && { validation: heldOut(values.validation) }),
		...(values.test !== 0 && { test: heldOut(values.test) }),
		...(signal && { signal }),
	});
}

/** What a run makes of the dialogues: the steps to train, the held-out batches, and how large both may become. */
export function partsOfRun(
	values: Pick<OptionsOf<typeof finetuneOptions>, "batchSize" | "batchRamp" | "tokenBudget" | "accumulate" | "seed">,
	{ store, train, validation, test }: Pick<DialogueData, "store" | "train" | "validation" | "test">,
) {
	const longest = train.reduce((most, index) => Math.max(most, store.timeOf(index)), 0);
	const cut = microBatchCut(values, longest);
	const streamOptions = { store, indices: train, seed: values.seed, groupSize: values.batchSize, ...cut };
	const heldOut = (indices: Uint32Array): HeldOut => ({
		batches: () => evaluationBatches({ store, indices, ...cut }),
		supervisedTokens: indices.reduce((sum, index) => sum + store.supervisedTokensOf(index), 0),
	});
	return {
		stream: new BatchStream(streamOptions),
		restoreStream: (state: BatchStreamState) => BatchStream.restore(state, streamOptions),
		...(validation.length > 0 && { validation: heldOut(validation) }),
		...(test.length > 0 && { test: heldOut(test) }),
		maxRows: Math.min(cut.tokenBudget, mostSupervised(train, { store, count: values.batchSize * values.accumulate })),
		accumulate: true,
	};
}

function checkedMaxLength(asked: number | undefined, model: Model): number {
	const { context } = model.architecture.sizes(model.config);
	if (asked === undefined || asked <= context) return asked ?? context;
	throw new UserError("MAX_LENGTH", "The maximum length is above the model's context.", {
		where: "--max-length",
		expected: `at most ${context} tokens`,
		found: `${asked}`,
		hint: "Leave it out: the model's context is the default. Longer conversations are cut into several.",
	});
}

/** How steps are cut into micro-batches when the longest example has `longest` positions. */
export function microBatchCut(
	{
		batchSize,
		batchRamp,
		tokenBudget,
	}: Pick<OptionsOf<typeof finetuneOptions>, "batchSize" | "batchRamp" | "tokenBudget">,
	longest: number,
): { tokenBudget: number; slotsPerMicroBatch: number } {
	const perMicroStep = (batchRamp?.from ?? batchSize) * longest;
	return {
		tokenBudget: Math.max(longest, Math.min(tokenBudget ?? defaultTokenBudget, perMicroStep)),
		slotsPerMicroBatch,
	};
}

/** Bound on the supervised tokens of a step of `count` examples. */
export function mostSupervised(
	indices: Uint32Array,
	{ store, count }: { store: { supervisedTokensOf(index: number): number }; count: number },
): number {
	const counts = Array.from(indices, (index) => store.supervisedTokensOf(index)).sort((a, b) => b - a);
	return counts.slice(0, count).reduce((sum, tokens) => sum + tokens, 0);
}

/** What the data hold, and what a person should know of them. */
export function* dataEvents(
	report: DialogueReport,
	{ data, validation, test }: Pick<DataValues, "data" | "validation" | "test">,
): Generator<RecipeEvent> {
	yield { type: "data-read", files: data, use: "training", ledger: report.ledger };
	for (const [use, source] of Object.entries({ validation, test }) as ["validation" | "test", number | string][]) {
		const ledger = report.heldOutLedgers[use];
		if (ledger && typeof source === "string") yield { type: "data-read", files: [source], use, ledger };
	}
	const { duplicates, leaks, sides } = report;
	if (duplicates.rows > 0) {
		yield {
			type: "warning",
			code: "DUPLICATE_ROWS",
			message: `${counted(duplicates.rows, "row of training repeats", "rows of training repeat")} an earlier row (${lines(duplicates.places)}).`,
		};
	}
	if (leaks.rows > 0) {
		yield {
			type: "warning",
			code: "LEAKED_ROWS",
			message: `${counted(leaks.rows, "held-out row nearly repeats", "held-out rows nearly repeat")} a row of training (${lines(leaks.places)}) and ${leaks.rows === 1 ? "is" : "are"} kept out of validation.`,
		};
	}
	if (sides.validation.examples === 0) {
		yield {
			type: "warning",
			code: "NO_VALIDATION",
			message: "Nothing is held out: the run cannot tell whether the model got better.",
			hint: "--validation 0.1",
		};
	}
}

const counted = (count: number, one: string, more: string) => `${count} ${count === 1 ? one : more}`;

function lines(places: readonly { line: number }[]): string {
	const shown = places.slice(0, 5).map(({ line }) => line);
	return `${places.length === 1 ? "line" : "lines"} ${shown.join(", ")}${places.length > shown.length ? ", ..." : ""}`;
}

// Hyper-parameter search: the best model for these data on this machine within a budget of minutes. The study (src/search)
// decides what to try; each trial is a fine-tuning that can pause; the winner's best checkpoint becomes the result.

import { join } from "node:path";
import { hashFiles } from "../checkpoint/manifest.ts";
import { assertOutputFree, createRun, openRun, type RunDirectory } from "../checkpoint/run-directory.ts";
import { physicalCores } from "../runtime/index.ts";
import { journalStorage, readStudy } from "../search/index.ts";
import { UserError } from "../util/errors.ts";
import { dataEvents, dataFiles } from "./finetune.ts";
import { resolveModelReference } from "./model-reference.ts";
import { searchOptions } from "./options/jobs.ts";
import type { Recipe, RecipeEvent } from "./options/recipe.ts";
import { assertFits, planOfRun } from "./plan-summary.ts";
import { runBaseline } from "./search/baseline.ts";
import { searchReportFiles } from "./search/report.ts";
import { conclude, replayed, reportOf } from "./search/result.ts";
import { finetuneValues, spaceOf } from "./search/settings.ts";
import { journalFile, searchFiles, writeWorkOrder } from "./search/study-files.ts";
import { type SearchValues, StudyRun, type StudyRunOptions } from "./search/study-run.ts";
import { planTrial } from "./search/trial-run.ts";
import { workOrder } from "./search/work-order.ts";
import { type FinetuneValues, type Setting, Workbench } from "./search/workbench.ts";
import { changedFilesOf, setUp } from "./setup.ts";
import { hashModel, newManifest } from "./training-run.ts";

const defaultBudgetSeconds = 30 * 60;
/** Searches settings of `finetune` and writes a run directory; see `attune search --help` for the options. */
export const search: Recipe<typeof searchOptions> = async function* (options, context = {}) {
	const startedAt = Date.now();
	const { signal } = context;
	const abortable = signal ? { signal } : {};
	const setup = await setUp(searchOptions, { options, context });
	const { directory, previous, record } = setup;
	const threads = setup.values.threads ?? Math.max(1, Math.floor(physicalCores() / setup.values.workers));
	const values = { ...setup.values, threads };
	record.threads = { value: threads, origin: record.threads?.origin ?? "default" };
	checkValues(values);
	if (!previous) await assertOutputFree(directory, { overwrite: values.overwrite });
	const modelDirectory = yield* resolveModelReference(values.model, abortable);
	const plain = finetuneValues(values, { output: directory });
	const bench = await Workbench.open(modelDirectory, plain, abortable);
	let run: RunDirectory | undefined;
	let main: StudyRun | undefined;
	try {
		yield* dataEvents(bench.dialogues.report, values);
		const data = await hashFiles(dataFiles(values), abortable);
		const base = await hashModel(modelDirectory, values.model);
		changedFilesOf(previous, { data, base, allowed: [] });
		const usual: FinetuneValues = { ...plain, learningRate: await bench.learningRate(plain) };
		const first = await bench.setUp(usual);
		const forecast = await forecastOf(first, values.evaluations);
		yield { type: "plan-made", plan: forecast };
		if (!values.force) assertFits(forecast);

		const budget = values.budget ?? (values.trials === undefined ? defaultBudgetSeconds : undefined);
		const composed = await spaceOf(values, {
			record,
			usual,
			bench,
			budget,
			epochSeconds: forecast.secondsPerEpoch ?? 0,
		});
		const fixed = finetuneValues({ ...usual, ...composed.fixed }, { output: directory });
		const spent = { training: 0, evaluating: 0 };
		const evaluatingSince = performance.now();
		const before = await lossesOf(bench, first, signal);
		spent.evaluating += (performance.now() - evaluatingSince) / 1000;
		run = previous
			? await openRun(directory)
			: await createRun(directory, {
					manifest: newManifest({ ...first, recipe: searchOptions.job, record, data, base, seed: values.seed }),
					overwrite: values.overwrite,
					alsoWrites: searchFiles,
				});
		const known = readStudy(journalStorage(join(directory, journalFile)));
		const space = known?.space ?? composed.space;
		const studyOptions: StudyRunOptions = { directory, bench, space, fixed, values, threads, spent };
		main = await StudyRun.open(studyOptions);
		const order = workOrder({
			budget,
			values,
			startedAt,
			study: main,
			resumed: previous !== undefined && options.budget === undefined,
		});
		await writeWorkOrder(directory, order);
		yield main.started(order, { baseline: values.baseline });
		yield* noted(run, main.work({ ...order, signal }));
		if (signal?.aborted) return;
		const won = await conclude(main, { bench, directory, values, signal });
		const total = (Date.now() - startedAt) / 1000;
		const baselines = replayed(main);
		if (values.baseline) {
			const random = await runBaseline(studyOptions, { budget, values });
			try {
				yield random.started;
				yield* noted(run, random.work);
				if (signal?.aborted) return;
				baselines.unshift(await random.result(signal));
			} finally {
				await random.close();
			}
		}
		const report = reportOf(main, { won, before, baselines, directory, seconds: { total, ...spent } });
		const source = { report, study: main.study.snapshot, options: run.manifest.options };
		for (const { name, content } of searchReportFiles(source)) await run.writeFile(name, content);
		const done: RecipeEvent = { type: "search-done", directory, report };
		run.appendEvent({ ...done });
		yield done;
	} finally {
		await main?.close();
		await bench.dispose();
		run?.close();
	}
};

function checkValues({ validation, noiseSeeds }: Pick<SearchValues, "validation" | "noiseSeeds">): void {
	if (validation === 0) {
		throw new UserError("OPTION_CONFLICT", "A search needs held-out data to choose by.", {
			where: "--validation",
			expected: "a file, or a fraction above 0",
			found: "0",
		});
	}
	if (noiseSeeds === 1) {
		throw new UserError("OPTION_INVALID", "One seed says nothing about luck.", {
			where: "--noise-seeds",
			expected: "2 or more, or 0 to measure no noise",
			found: "1",
		});
	}
}

/** Of the usual settings. */
async function forecastOf(setting: Setting, evaluations: number) {
	const { values, model, trainable, parts } = setting;
	const { steps } = planTrial(values, setting, evaluations);
	// The stream is read: it is one of its own.
	const stream = parts.restoreStream(parts.stream.state);
	// What is trained is held twice more: as it was, and at its best.
	const besides = [...trainable].reduce((sum, name) => sum + 2 * (model.parameters.get(name)?.byteLength ?? 0), 0);
	return planOfRun({ ...parts, values, model, trainable, steps, stream, besides });
}

async function lossesOf(bench: Workbench, setting: Setting, signal: AbortSignal | undefined) {
	const { validation, test } = setting.parts;
	const validationLoss = await bench.evaluate(setting, validation, signal);
	return { validationLoss, ...(test && { testLoss: await bench.evaluate(setting, test, signal) }) };
}

/** Writes what became of each trial into the run's log, on the way to the caller. */
async function* noted(run: RunDirectory, events: AsyncIterable<RecipeEvent>): AsyncGenerator<RecipeEvent> {
	for await (const event of events) {
		if (event.type !== "trial-advanced") run.appendEvent({ ...event });
		yield event;
	}
}

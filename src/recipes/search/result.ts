// The end of a search: the winner's best checkpoint becomes the model and is scored on data that the search never saw; its
// settings become a config file; what random search would have found is set beside it.

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { importanceOf, replayRandomSearch, type Trial } from "../../search/index.ts";
import { writeFileAtomic } from "../../util/atomic-file.ts";
import { UserError } from "../../util/errors.ts";
import { nameOfBase } from "../model-reference.ts";
import { formatConfig } from "../options/config.ts";
import { finetuneOptions } from "../options/jobs.ts";
import type { SearchBaseline, SearchReport } from "../options/recipe.ts";
import { saveResult } from "../training-run.ts";
import { frontFolder, trialFolderName, winnerFile } from "./study-files.ts";
import type { SearchValues, StudyRun } from "./study-run.ts";
import { type BestSoFar, loadBest, planTrial } from "./trial-run.ts";
import type { Setting, Workbench } from "./workbench.ts";

export interface Won {
	trial: Trial;
	validationLoss: number;
	testLoss?: number;
	config: string;
}

/** The winner's best checkpoint becomes the model, is scored on what the search never saw, and its settings a config file. */
export async function conclude(
	study: StudyRun,
	{
		bench,
		directory,
		values,
		signal,
	}: { bench: Workbench; directory: string; values: SearchValues; signal: AbortSignal | undefined },
): Promise<Won> {
	const { winner } = study.ranking;
	if (winner === undefined) {
		throw new UserError("SEARCH_EMPTY", "The time was over before any trial had a result.", {
			where: directory,
			found: `${study.study.trials.length} trials begun`,
			hint: `Go on with more time: attune search --resume ${directory} --budget 30m`,
		});
	}
	if (values.objective.length > 1) {
		await rm(join(directory, frontFolder), { recursive: true, force: true });
		await mkdir(join(directory, frontFolder));
		for (const trial of study.study.front) {
			const place = join(directory, frontFolder, trialFolderName(trial.number));
			const { setting } = await bestOf(study, { trial, bench });
			await saveResult({ model: setting.model, adapterBase: await nameOfBase(values.model) }, place);
		}
	}
	const { setting, best } = await bestOf(study, { trial: winner, bench });
	await saveResult({ model: setting.model, adapterBase: await nameOfBase(values.model) }, join(directory, "model"));
	const { test } = setting.parts;
	const config = join(directory, winnerFile);
	await writeFileAtomic(config, winnerConfig(study, { trial: winner, setting, best, evaluations: values.evaluations }));
	return {
		trial: winner,
		validationLoss: best.loss,
		...(test && { testLoss: await bench.evaluate(setting, test, signal) }),
		config,
	};
}

/** A trial's model at its best checkpoint. Removed in the meantime, it is trained again. */
export async function bestOf(
	study: StudyRun,
	{ trial, bench }: { trial: Trial; bench: Workbench },
): Promise<{ setting: Setting; best: BestSoFar }> {
	const start = await study.bestCheckpoint(trial);
	const setting = await bench.setUp(study.valuesOf(trial.params), { seed: trial.seed });
	return { setting, best: await loadBest(setting, start) };
}

/** Settings as `finetune --config` takes them, with everything that the bytes depend on. */
function winnerConfig(
	study: StudyRun,
	{ trial, setting, best, evaluations }: { trial: Trial; setting: Setting; best: BestSoFar; evaluations: number },
): string {
	const { settings } = planTrial(setting.values, setting, evaluations);
	const { output: _, overwrite: __, force: ___, ...values } = study.valuesOf(trial.params);
	const said = formatConfig(finetuneOptions, {
		...values,
		evalSteps: settings.evalSteps,
		// A run that was cut short is cut where it was best: there it is evaluated in any case.
		...(!best.final && { stopAt: best.step }),
	});
	return `# The settings of trial ${trial.number}. attune finetune --config ${winnerFile} --output DIR trains the same model, to the byte.\n${said}`;
}

const replayedTimes = [1, 2] as const;

/** What random search would have found, from the study's own trials. */
export function replayed(study: StudyRun): SearchBaseline[] {
	return replayedTimes.map((times) => {
		const replay = replayRandomSearch(study.study.snapshot, { times });
		const budget = times === 1 ? "the same budget" : `${times} times the budget`;
		if (!replay.possible) return { kind: "unknown", reason: `${budget}: ${replay.reason}` };
		const { runs, expected, optimistic, pessimistic } = replay;
		return { kind: "replayed", times, runs, expected, optimistic, pessimistic };
	});
}

export function reportOf(
	study: StudyRun,
	{
		won,
		before,
		baselines,
		directory,
		seconds,
	}: {
		won: Won;
		before: { validationLoss: number; testLoss?: number };
		baselines: readonly SearchBaseline[];
		directory: string;
		seconds: { total: number; training: number; evaluating: number };
	},
): SearchReport {
	const { order, ties, noise } = study.ranking;
	const importance = importanceOf(study.study.snapshot);
	const { total, training, evaluating } = seconds;
	return {
		objectives: study.objectives,
		ranking: order.map((trial) => study.summary(trial)),
		trials: study.study.trials.length,
		...(noise && {
			noise: { deviation: noise.deviation[0] as number, margin: noise.margin[0] as number, seeds: noise.seeds },
		}),
		ties: ties.map(({ number }) => number),
		winner: { ...study.summary(won.trial), config: won.config },
		front: study.study.front.map(({ number }) => number),
		validationLoss: { before: before.validationLoss, winner: won.validationLoss },
		...(before.testLoss !== undefined &&
			won.testLoss !== undefined && { testLoss: { before: before.testLoss, winner: won.testLoss } }),
		...(importance && { importance }),
		baselines,
		seconds: { total, training, evaluating, other: total - training - evaluating },
		next: [
			`attune chat ${directory}`,
			`attune finetune --config ${won.config} --output DIR`,
			`attune search --resume ${directory} --budget 30m`,
		],
	};
}

// A search without a model behind it: a study over the usual settings whose losses come from a formula, and what a search
// would report of it.
import {
	ashaPruner,
	bestTrials,
	categorical,
	createStudy,
	float,
	importanceOf,
	int,
	type Params,
	randomSampler,
	rankTrials,
	replayRandomSearch,
	type StudySnapshot,
	type Trial,
} from "../../../search/index.ts";
import type { SearchBaseline, SearchObjective, SearchReport, TrialSummary } from "../../options/recipe.ts";

const space = {
	optimizer: categorical(["adamw", "adam", "sgd"]),
	learningRate: float({ low: 1e-5, high: 3e-3, log: true, default: 1e-4, when: { optimizer: ["adamw", "adam"] } }),
	batchSize: int({ low: 256, high: 8192, log: true, default: 2048 }),
	"learningRate.sgd": float({ low: 1e-3, high: 1, log: true, when: { optimizer: "sgd" } }),
	lrSchedule: categorical(["cosine", "linear", "constant", "inverse-sqrt"]),
	warmupSteps: int({ low: 0, high: 40, default: 10 }),
	epochs: float({ low: 0.5, high: 6, log: true, default: 3 }),
	weightDecay: float({ low: 0, high: 0.2, default: 0.01 }),
	dropout: float({ low: 0, high: 0.3, default: 0 }),
	batchRamp: categorical(["none", "linear"]),
};
/** A bowl around a learning rate of 5e-4 that gets deeper with training; the seed and the setting make some noise. */
function lossOf(params: Params, { seed, part }: { seed: number; part: number }): number {
	const sgd = params.optimizer === "sgd";
	const distance = Math.log10(((params["learningRate.sgd"] ?? params.learningRate) as number) / (sgd ? 0.2 : 5e-4));
	const size = Math.log2((params.batchSize as number) / 1024);
	const noise = Math.sin(1e4 * (distance + seed + size)) * 0.012;
	const settled = 1.9 + 0.5 * distance ** 2 + 0.03 * size ** 2 + (sgd ? 0.35 : 0) + (params.dropout as number);
	return (
		settled + (params.lrSchedule === "constant" ? 0.08 : 0) + 0.35 / (9 * part * (params.epochs as number)) + noise
	);
}

export interface ExampleOptions {
	trials?: number;
	objectives?: readonly SearchObjective[];
}

/** The study and its report. The clock ticks by the trials' own time, so that every run gives the same bytes. */
export async function exampleSearch({ trials = 30, objectives = ["quality"] }: ExampleOptions = {}): Promise<{
	study: StudySnapshot;
	report: SearchReport;
}> {
	let now = 1_700_000_000_000;
	const study = await createStudy({
		space,
		directions: objectives.map(() => "minimize"),
		pruner: ashaPruner({ minStep: 1, maxStep: 9, eta: 3 }),
		...(trials < 10 && { sampler: randomSampler() }),
		noiseSeeds: 3,
		seed: 7,
		clock: () => now,
	});
	const run = study.optimize(
		({ params, trial, fromStep, toStep }) => {
			now += 5000 * (toStep - fromStep) * (params.epochs as number);
			if ((params["learningRate.sgd"] ?? 0) > 0.5) throw new Error("the loss became NaN at step 12");
			if (params.batchSize > 3400) throw new Error("out of memory: 3.1 GiB needed, 2.0 GiB free | try less");
			const quality = lossOf(params, { seed: trial.seed, part: toStep / 9 });
			const latency = 12 + 4 * params.dropout + params.batchSize / 4096;
			const value = objectives.map((one) => ({ quality, latency, size: 5e8 - 1e9 * params.weightDecay })[one]);
			return { value, cost: (toStep * params.epochs) / 3 };
		},
		{ maxTrials: trials },
	);
	for await (const _ of run);
	const snapshot = study.snapshot as StudySnapshot;
	return { study: snapshot, report: reportOf(snapshot, objectives) };
}

export function summaryOf(trial: Trial): TrialSummary {
	const values = trial.rungs.at(-1)?.values;
	return {
		number: trial.number,
		settings: trial.params,
		origin: trial.origin,
		state: trial.state,
		trained: (trial.rungs.at(-1)?.step ?? 0) / 9,
		target: trial.toStep / 9,
		...(values && { values }),
		seconds: trial.rungs.reduce((sum, { durationMs }) => sum + durationMs / 1000, 0),
		...(trial.reason !== undefined && { reason: trial.reason }),
	};
}

function reportOf(study: StudySnapshot, objectives: readonly SearchObjective[]): SearchReport {
	const { order, ties, winner = order[0] as Trial, noise } = rankTrials(study.trials, study);
	const importance = importanceOf(study);
	const quality = (winner.rungs.at(-1)?.values[0] ?? 0) as number;
	return {
		objectives,
		ranking: order.map(summaryOf),
		trials: study.trials.length,
		...(noise && {
			noise: { deviation: noise.deviation[0] as number, margin: noise.margin[0] as number, seeds: noise.seeds },
		}),
		ties: ties.map(({ number }) => number),
		winner: { ...summaryOf(winner), config: "runs/search/winner.yaml" },
		front: bestTrials(study.trials, study.directions).map(({ number }) => number),
		validationLoss: { before: 3.4142, winner: quality },
		testLoss: { before: 3.3981, winner: quality + 0.013 },
		...(importance && { importance }),
		baselines: [baselineOf(study, 1), baselineOf(study, 2)],
		seconds: { total: 600, training: 520.5, evaluating: 61.25, other: 18.25 },
		next: ["attune chat runs/search"],
	};
}

function baselineOf(study: StudySnapshot, times: number): SearchBaseline {
	const replay = replayRandomSearch(study, { times });
	if (!replay.possible) return { kind: "unknown", reason: replay.reason };
	const { runs, expected, optimistic, pessimistic } = replay;
	return { kind: "replayed", times, runs, expected, optimistic, pessimistic };
}

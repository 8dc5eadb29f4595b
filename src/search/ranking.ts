// Who won. Seed noise first: settings whose values differ by less than two seeds of one setting do are ties, and the
// cheapest of them wins. Trials are compared at the furthest step only, by their last value there, never by their best.
import { nonDominatedSort, rankOrder } from "./pareto.ts";
import { type Direction, isCandidate, lastStep, lastValues, type Trial, toLosses } from "./trial.ts";

export interface Noise {
	/** Sample standard deviation over seeds, one for each objective. */
	readonly deviation: readonly number[];
	/** sqrt(2) * deviation: how far two runs of one setting lie apart by luck alone. */
	readonly margin: readonly number[];
	readonly seeds: number;
	/** The step it was measured at. */
	readonly step: number;
}

/** Seed noise from the repeats of the default point at the lowest rung; undefined until two of them are done. */
export function measureNoise(trials: readonly Trial<unknown>[]): Noise | undefined {
	const repeats = trials.filter(({ origin }) => origin === "noise" || origin === "default");
	const step = repeats[0]?.rungs[0]?.step;
	const rows = repeats.flatMap((trial) => {
		const rung = trial.rungs.find((result) => result.step === step);
		return rung === undefined ? [] : [rung.values];
	});
	if (step === undefined || rows.length < 2) return undefined;
	const deviation = (rows[0] as readonly number[]).map((_, d) => {
		const column = rows.map((row) => row[d] as number);
		const mean = column.reduce((sum, v) => sum + v, 0) / column.length;
		return Math.sqrt(column.reduce((sum, v) => sum + (v - mean) ** 2, 0) / (column.length - 1));
	});
	return { deviation, margin: deviation.map((d) => Math.SQRT2 * d), seeds: rows.length, step };
}

/** The candidates that have a value at the furthest step any of them reached. Pruned and failed trials do not compete. */
export function finalists<T extends Trial<unknown>>(trials: readonly T[]): T[] {
	const scored = trials.filter((trial) => isCandidate(trial) && trial.rungs.length > 0 && trial.state !== "failed");
	const furthest = Math.max(...scored.map(lastStep));
	return scored.filter((trial) => lastStep(trial) === furthest);
}

/** The best trial, for one objective; the non-dominated ones, for several. Empty while nothing has a value. */
export function bestTrials<T extends Trial<unknown>>(trials: readonly T[], directions: readonly Direction[]): T[] {
	const last = finalists(trials);
	if (last.length === 0) return [];
	const losses = last.map((trial) => toLosses(lastValues(trial) as readonly number[], directions));
	const front = (nonDominatedSort(losses)[0] as number[]).map((i) => last[i] as T);
	return directions.length === 1 ? front.slice(0, 1) : front;
}

/**
 * The paused trial that is worth its whole budget most: from the highest rung down, the best of a rung, if it was better
 * there than every trial that has its whole budget was there (with several objectives: not dominated by one).
 */
export function mostPromising<T extends Trial<unknown>>({
	trials,
	directions,
}: {
	trials: readonly T[];
	directions: readonly Direction[];
}): T | undefined {
	const candidates = trials.filter(isCandidate);
	const valuesAt = (trial: T, step: number) => trial.rungs.find((rung) => rung.step === step)?.values;
	const losses = (values: readonly number[]) => toLosses(values, directions);
	const done = candidates.filter(({ state }) => state === "done");
	const paused = candidates.filter(({ state, rungs }) => state === "paused" && rungs.length > 0);
	for (const step of [...new Set(paused.map(lastStep))].sort((a, b) => b - a)) {
		const rivals = done.flatMap((trial) => {
			const values = valuesAt(trial, step);
			return values === undefined ? [] : [losses(values)];
		});
		const here = paused.filter((trial) => lastStep(trial) === step);
		for (const i of rankOrder(here.map((trial) => losses(lastValues(trial) as readonly number[])))) {
			const trial = here[i] as T;
			const own = losses(lastValues(trial) as readonly number[]);
			if (!rivals.some((rival) => rival.every((loss, d) => loss <= (own[d] as number)))) return trial;
		}
	}
	return undefined;
}

export interface Ranking<T> {
	/** Furthest step first, then best value first; failed trials and noise repeats left out. */
	readonly order: readonly T[];
	/** The finalists within the noise margin of the best one, it included, cheapest first. */
	readonly ties: readonly T[];
	/** The cheapest of the ties: the recommendation. Undefined while nothing has a value. */
	readonly winner: T | undefined;
	readonly noise: Noise | undefined;
}

/**
 * The ranking by one objective (the first unless said). `anyStep`: a value stands for something that can be had as it is
 * (a model's best checkpoint so far), so trials compete with their last value wherever they stopped.
 */
export function rankTrials<T extends Trial<unknown>>(
	trials: readonly T[],
	{
		directions,
		objective = 0,
		anyStep = false,
	}: { directions: readonly Direction[]; objective?: number; anyStep?: boolean },
): Ranking<T> {
	const lossOf = (trial: T) => toLosses(lastValues(trial) as readonly number[], directions)[objective] as number;
	const scored = trials.filter((trial) => isCandidate(trial) && trial.rungs.length > 0 && trial.state !== "failed");
	const byStep = (a: T, b: T) => (anyStep ? 0 : lastStep(b) - lastStep(a));
	const order = [...scored].sort((a, b) => byStep(a, b) || lossOf(a) - lossOf(b) || a.number - b.number);
	const noise = measureNoise(trials);
	const best = order[0];
	if (best === undefined) return { order, ties: [], winner: undefined, noise };
	const limit = lossOf(best) + (noise?.margin[objective] ?? 0);
	const costOf = (trial: T) => trial.rungs.at(-1)?.cost ?? Number.POSITIVE_INFINITY;
	const ties = (anyStep ? scored : finalists(trials))
		.filter((trial) => lossOf(trial) <= limit)
		.sort((a, b) => compare(costOf(a), costOf(b)) || lossOf(a) - lossOf(b) || a.number - b.number);
	return { order, ties, winner: ties[0], noise };
}

function compare(a: number, b: number): number {
	return a === b ? 0 : a < b ? -1 : 1;
}

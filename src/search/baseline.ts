// The honest baseline: what random search would have found for the same cost, replayed from the study's own trials. The
// trials that the sampler drew before it had a model are a random sample of the space; the cost of a whole run is known
// from the trials that had one. So many whole runs fit into what the study spent, and the expected best of so many draws
// is an exact sum. Nothing is run again; when the study cannot tell, it says why.
import { observe } from "./observations.ts";
import { bestTrials } from "./ranking.ts";
import { type Direction, isCandidate, lastStep, lastValues, type Trial } from "./trial.ts";

export type RandomReplay =
	| {
			readonly possible: true;
			/** Whole runs that fit into `times` what the study spent. */
			readonly runs: number;
			/** The expected best value of so many random trials, and the value that one study in ten falls short of, and beats. */
			readonly expected: number;
			readonly pessimistic: number;
			readonly optimistic: number;
			/** Random trials it was computed from, and how many of them stopped early and were lifted to a whole run. */
			readonly sample: number;
			readonly lifted: number;
			/** The study's own best. */
			readonly found: number;
	  }
	| { readonly possible: false; readonly reason: string };

/**
 * Replays random search at `times` the study's budget (1 unless said). Cost is the trials' own where every finished
 * trial has one, else their wall-clock time. One objective (the first unless said).
 */
export function replayRandomSearch(
	study: { readonly trials: readonly Trial[]; readonly directions: readonly Direction[] },
	{ times = 1, objective = 0 }: { times?: number; objective?: number } = {},
): RandomReplay {
	const { directions } = study;
	const best = bestTrials(study.trials, directions)[0];
	const furthest = best === undefined ? 0 : lastStep(best);
	const whole = study.trials.filter(
		(trial) => isCandidate(trial) && trial.state === "done" && lastStep(trial) === furthest,
	);
	if (best === undefined || whole.length === 0) return { possible: false, reason: "no trial had its whole budget" };
	const spent = study.trials.reduce((sum, trial) => sum + costOf(trial, study.trials), 0);
	const each = whole.reduce((sum, trial) => sum + costOf(trial, study.trials), 0) / whole.length;
	const runs = each > 0 ? Math.floor((times * spent) / each) : Number.NaN;
	if (!(runs >= 1)) return { possible: false, reason: "the cost of a whole run is not known" };
	const random = study.trials.filter(({ origin }) => origin === "random");
	const observed = observe(study.trials, directions).measured.filter((one) =>
		random.some(({ number }) => number === one.trial),
	);
	const failed = random.filter(({ state }) => state === "failed").length;
	const sample = observed.length + failed;
	if (observed.length === 0) return { possible: false, reason: "the study has no random trials with a value" };
	if (runs > sample) {
		return {
			possible: false,
			reason: `${runs} random runs fit the budget, but the study has only ${sample} random trials to draw from`,
		};
	}
	const worst = Math.max(...observed.map((one) => one.losses[objective] as number));
	const losses = [
		...observed.map((one) => one.losses[objective] as number),
		...new Array<number>(failed).fill(worst),
	].sort((a, b) => a - b);
	const chances = bestOfChances(sample, runs);
	const sign = directions[objective] === "maximize" ? -1 : 1;
	const quantile = (p: number) => {
		let left = p;
		const at = chances.findIndex((chance) => {
			left -= chance;
			return left <= 0;
		});
		return sign * (losses[at === -1 ? sample - 1 : at] as number);
	};
	return {
		possible: true,
		runs,
		expected: sign * chances.reduce((sum, chance, i) => sum + chance * (losses[i] as number), 0),
		pessimistic: quantile(0.9),
		optimistic: quantile(0.1),
		sample,
		lifted: observed.filter(({ step }) => step < furthest).length,
		found: (lastValues(best) as readonly number[])[objective] as number,
	};
}

/** Chance that the i-th best of `sample` is the best of `runs` drawn from them without putting back: C(n-1-i, k-1) / C(n, k). */
export function bestOfChances(sample: number, runs: number): number[] {
	const chances: number[] = [];
	let chance = runs / sample;
	for (let i = 0; i < sample; i++) {
		chances.push(chance);
		const left = sample - 1 - i;
		chance = left > 0 ? (chance * Math.max(0, left - runs + 1)) / left : 0;
	}
	return chances;
}

function costOf(trial: Trial, all: readonly Trial[]): number {
	const known = all.every(({ rungs }) => rungs.every(({ cost }) => cost !== undefined));
	if (known) return trial.rungs.at(-1)?.cost ?? 0;
	return trial.rungs.reduce((sum, { durationMs }) => sum + durationMs, 0);
}

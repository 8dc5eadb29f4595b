// Asynchronous successive halving (ASHA; Li et al. 2018, arXiv 1810.05934). Trials pause at rungs r, r*eta, r*eta^2, ...
// Whenever a worker is free, the highest rung that has a trial among its best 1/eta not yet promoted promotes it, and if
// no rung has one, a new trial starts at the bottom. Nobody waits for a rung to fill. With several objectives the
// order within a rung is by non-dominated front, then by hypervolume contribution.
import { UserError } from "../../util/errors.ts";
import { rankOrder } from "../pareto.ts";
import { type Direction, type Trial, toLosses } from "../trial.ts";
import type { Pruner } from "./pruner.ts";

export interface AshaOptions {
	/** The first rung, in the objective's steps. */
	readonly minStep: number;
	/** The last rung: the whole budget of a trial. */
	readonly maxStep: number;
	/** One in `eta` is promoted, to about `eta` times the steps; 3 unless said. */
	readonly eta?: number;
}

export function ashaPruner({ minStep, maxStep, eta = 3 }: AshaOptions): Pruner {
	const rungs = rungLadder({ minStep, maxStep, eta });
	return {
		name: "asha",
		options: { minStep, maxStep, eta },
		singleObjective: false,
		rungs: () => rungs,
		nextBracket: () => 0,
		shouldPrune: () => false,
		promote: ({ trials, directions }) => promotable(trials, { rungs, eta, directions }),
	};
}

/** minStep * eta^k below maxStep, then maxStep. */
export function rungLadder({ minStep, maxStep, eta }: Required<AshaOptions>): number[] {
	if (!(minStep > 0 && maxStep >= minStep && Number.isFinite(maxStep) && eta > 1)) {
		throw new UserError("PRUNER_OPTIONS", "The rungs are not in order.", {
			expected: "0 < minStep <= maxStep and eta > 1",
			found: `minStep ${minStep}, maxStep ${maxStep}, eta ${eta}`,
		});
	}
	const rungs: number[] = [];
	for (let step = minStep; step < maxStep; step *= eta) rungs.push(Math.round(step));
	return [...new Set(rungs)].filter((step) => step < maxStep).concat(maxStep);
}

export interface Ladder {
	readonly rungs: readonly number[];
	readonly eta: number;
	readonly directions: readonly Direction[];
}

/** The paused trial to promote by ASHA's rule, from the highest rung down. */
export function promotable(trials: readonly Trial[], { rungs, eta, directions }: Ladder): Trial | undefined {
	for (let k = rungs.length - 2; k >= 0; k--) {
		const step = rungs[k] as number;
		const arrived = trials.filter((trial) => trial.rungs.some((rung) => rung.step === step));
		// A trial that failed on its way here was tried and lost: it counts in the rung's size, and is never promoted.
		const failed = trials.filter((trial) => trial.state === "failed" && trial.toStep === step).length;
		const losses = arrived.map((trial) => {
			const rung = trial.rungs.find((result) => result.step === step);
			return toLosses(rung?.values as readonly number[], directions);
		});
		const places = Math.floor((arrived.length + failed) / eta);
		for (const i of rankOrder(losses).slice(0, places)) {
			const trial = arrived[i] as Trial;
			if (trial.state === "paused" && trial.toStep === step) return trial;
		}
	}
	return undefined;
}

// The median rule (Golovin et al. 2017, Vizier): a trial stops at a step when its best value so far is worse than the
// median of what the finished trials had at that step.
import { UserError } from "../../util/errors.ts";
import type { Direction, Trial } from "../trial.ts";
import { NO_RUNGS, type Pruner } from "./pruner.ts";

export interface MedianOptions {
	/** Trials that must have finished before any is pruned; 5 unless said. */
	readonly startupTrials?: number;
	/** Steps of each trial during which it is not pruned; 0 unless said. */
	readonly warmupSteps?: number;
}

export function medianPruner({ startupTrials = 5, warmupSteps = 0 }: MedianOptions = {}): Pruner {
	if (!(startupTrials >= 1 && warmupSteps >= 0)) {
		throw new UserError("PRUNER_OPTIONS", "The median needs at least one finished trial.", {
			expected: "startupTrials >= 1 and warmupSteps >= 0",
			found: `startupTrials ${startupTrials}, warmupSteps ${warmupSteps}`,
		});
	}
	return {
		name: "median",
		options: { startupTrials, warmupSteps },
		singleObjective: true,
		...NO_RUNGS,
		shouldPrune(trial, { trials, directions }) {
			const step = trial.reports.at(-1)?.step;
			if (step === undefined || step <= warmupSteps) return false;
			const finished = trials.filter((other) => other.state === "done" && other.number !== trial.number);
			const then = finished.flatMap((other) => lossAt(other, step, directions) ?? []).sort((a, b) => a - b);
			if (then.length < startupTrials) return false;
			const best = Math.min(...trial.reports.map(({ value }) => asLoss(value, directions)));
			return best > ((then[(then.length - 1) >> 1] as number) + (then[then.length >> 1] as number)) / 2;
		},
	};
}

/** The loss a trial had reported by `step`. */
function lossAt(trial: Trial, step: number, directions: readonly Direction[]): number | undefined {
	const report = trial.reports.findLast((one) => one.step <= step);
	return report && asLoss(report.value, directions);
}

export function asLoss(value: number, directions: readonly Direction[]): number {
	return directions[0] === "maximize" ? -value : value;
}

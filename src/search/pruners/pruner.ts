// The contract of pruners: how far a trial runs, whether a losing one stops, and which paused one goes on.
// Conformance suite: testing/pruner-suite.ts.
import type { Named } from "../records.ts";
import type { Direction, Trial } from "../trial.ts";

export interface PrunerContext {
	/** The study's trials that stand for a setting (no noise repeats), in order of number. Read only. */
	readonly trials: readonly Trial[];
	readonly directions: readonly Direction[];
}

/**
 * `name` and `options` are written to the journal and must match when the study is opened again.
 * A pruner is a pure function of the trials: it keeps nothing from call to call.
 */
export interface Pruner extends Named {
	/**
	 * The steps at which trials of a bracket stop and give their value, ascending; the last is the whole budget. At each
	 * but the last the trial pauses. Undefined: one rung, the study's `maxStep`.
	 */
	rungs(bracket: number): readonly number[] | undefined;
	/** The bracket of the next new trial. */
	nextBracket(context: PrunerContext): number;
	/** Asked after each report of a running trial. */
	shouldPrune(trial: Trial, context: PrunerContext): boolean;
	/** A paused trial that deserves its next rung, or undefined for a new trial. */
	promote(context: PrunerContext): Trial | undefined;
	/** Whether it needs reported values of a single objective. */
	readonly singleObjective: boolean;
}

/** The parts of a pruner that has no rungs. */
export const NO_RUNGS = {
	rungs: () => undefined,
	nextBracket: () => 0,
	promote: () => undefined,
} satisfies Partial<Pruner>;

/** Never prunes, never pauses. */
export function noPruner(): Pruner {
	return { name: "none", options: {}, singleObjective: false, ...NO_RUNGS, shouldPrune: () => false };
}

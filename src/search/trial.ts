// A trial: one point of the space, and everything that became of it. Also the small questions everyone asks of trials.
import type { Json, Params } from "./space.ts";

export type Direction = "minimize" | "maximize";

/**
 * running: being evaluated now (or its worker died and it waits to be resumed); paused: its rung is done and it may be
 * promoted; done: it has the whole budget; pruned: stopped because it was losing; failed: no value, with a reason.
 */
export type TrialState = "running" | "paused" | "done" | "pruned" | "failed";

/** Who chose the point. `random` is a sampler before, or without, a model; `noise` repeats the default point. */
export type Origin = "default" | "noise" | "enqueued" | "random" | "model";

export interface RungResult {
	readonly step: number;
	/** One value for each objective, as the objective returned them. */
	readonly values: readonly number[];
	/** What the step cost so far, in the objective's own unit (seconds, tokens, money); lower wins a tie. */
	readonly cost?: number;
	/** Wall-clock time of the run that ended here. */
	readonly durationMs: number;
}

export interface Report {
	readonly step: number;
	readonly value: number;
}

export interface Trial<P = Params> {
	readonly number: number;
	readonly params: P;
	readonly origin: Origin;
	readonly state: TrialState;
	/** The seed for this trial's own randomness: equal for all trials but the noise repeats. */
	readonly seed: number;
	/** Hyperband's bracket; 0 for other pruners. */
	readonly bracket: number;
	/** The step it is to run to, or has arrived at. */
	readonly toStep: number;
	/** Results at the ends of rungs, ascending by step. The last is the trial's score: never its best. */
	readonly rungs: readonly RungResult[];
	/** What the objective reported on the way, ascending by step. */
	readonly reports: readonly Report[];
	/** Where the trial can go on from: an opaque reference made by the objective. */
	readonly checkpoint?: { readonly step: number; readonly ref: Json };
	/** Why it failed. */
	readonly reason?: string;
}

/** The newest values of a trial: those of its last rung. */
export function lastValues(trial: Trial<unknown>): readonly number[] | undefined {
	return trial.rungs.at(-1)?.values;
}

/** The last step that has values; 0 when none has. */
export function lastStep(trial: Trial<unknown>): number {
	return trial.rungs.at(-1)?.step ?? 0;
}

/** Values as losses: smaller is better for every objective. */
export function toLosses(values: readonly number[], directions: readonly Direction[]): number[] {
	return values.map((value, i) => (directions[i] === "maximize" ? -value : value));
}

/** Trials that stand for a setting of their own: all but the repeats that measure noise. */
export function isCandidate(trial: Trial<unknown>): boolean {
	return trial.origin !== "noise";
}

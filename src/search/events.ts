// What `study.optimize` tells about, in the order it happens.
import type { Trial } from "./trial.ts";

export type StopReason =
	/** The time is used up. */
	| "budget"
	/** The study has as many trials as were asked for, and none is left to promote. */
	| "trials"
	/** Nothing new was to be begun, and no paused trial may still win. */
	| "finished"
	/** The signal was aborted. */
	| "aborted"
	/** The sampler has no point left. */
	| "exhausted";

export type StudyEvent<P> =
	/** A run begins, from a checkpoint when `fromStep` is above 0. */
	| { readonly type: "trial-started"; readonly trial: Trial<P>; readonly fromStep: number; readonly toStep: number }
	/** The trial has a value at `step`. */
	| { readonly type: "rung-done"; readonly trial: Trial<P>; readonly step: number; readonly values: readonly number[] }
	| { readonly type: "trial-paused"; readonly trial: Trial<P>; readonly step: number }
	/** A paused trial goes on; `trial-started` follows. */
	| { readonly type: "trial-promoted"; readonly trial: Trial<P>; readonly toStep: number }
	| { readonly type: "trial-pruned"; readonly trial: Trial<P>; readonly step: number }
	| { readonly type: "trial-failed"; readonly trial: Trial<P>; readonly reason: string }
	| { readonly type: "trial-done"; readonly trial: Trial<P>; readonly values: readonly number[] }
	/** The run was cut off by the signal or the budget; the trial goes on from its checkpoint when the study does. */
	| { readonly type: "trial-interrupted"; readonly trial: Trial<P> }
	/** Another trial is the best now; with several objectives: the front changed. */
	| { readonly type: "best-changed"; readonly best: readonly Trial<P>[] }
	/** The last event. */
	| { readonly type: "study-stopped"; readonly reason: StopReason };

// The journal's vocabulary: one record is one thing that happened to a study, and the study is the sum of its records.
// A record is written whole or not at all, so whatever must be true together is in one record. Who holds a running
// trial at the moment is no record: it does not outlive the process (see the leases in storage/storage.ts).
import type { Json, Params, Space } from "./space.ts";
import type { Direction, Origin } from "./trial.ts";

/** A sampler or pruner as the journal holds it. */
export interface Named {
	readonly name: string;
	readonly options: { readonly [option: string]: Json };
}

/** What is fixed when a study is made. */
export interface StudyHeader {
	readonly version: 1;
	readonly space: Space;
	readonly directions: readonly Direction[];
	/**
	 * The root of all randomness. Trial n is drawn from the stream `[seed, "trial", n]`, so the random state of the
	 * sampler at any moment is this number and the count of trials: both are in the journal, none can be lost.
	 */
	readonly seed: number;
	readonly sampler: Named;
	readonly pruner: Named;
	/** The whole budget of one trial, in the objective's steps, for pruners that have no rungs. */
	readonly maxStep: number;
	/** How often the default point is run to measure seed noise; 0 for not at all. */
	readonly noiseSeeds: number;
}

interface Timed {
	/** Milliseconds since the epoch. */
	readonly at: number;
}
interface OfTrial extends Timed {
	readonly trial: number;
}

export type StudyRecord =
	| ({ readonly type: "study-created" } & StudyHeader & Timed)
	| ({ readonly type: "point-enqueued"; readonly params: Params } & Timed)
	| ({
			readonly type: "trial-created";
			readonly params: Params;
			readonly origin: Origin;
			readonly seed: number;
			readonly bracket: number;
			readonly toStep: number;
	  } & OfTrial)
	| ({ readonly type: "value-reported"; readonly step: number; readonly value: number } & OfTrial)
	| ({ readonly type: "checkpoint-saved"; readonly step: number; readonly checkpoint: Json } & OfTrial)
	| ({
			readonly type: "rung-done";
			readonly step: number;
			readonly values: readonly number[];
			readonly outcome: "paused" | "done";
			readonly checkpoint?: Json;
			readonly cost?: number;
			readonly durationMs: number;
			readonly worker: string;
	  } & OfTrial)
	| ({ readonly type: "trial-promoted"; readonly toStep: number } & OfTrial)
	| ({
			readonly type: "trial-pruned";
			readonly step: number;
			readonly durationMs: number;
			readonly worker: string;
	  } & OfTrial)
	| ({
			readonly type: "trial-failed";
			readonly reason: string;
			readonly durationMs: number;
			readonly worker: string;
	  } & OfTrial);

/** The fields that depend on the clock or the process. Two journals of one study are equal in everything else. */
export const TIME_FIELDS = ["at", "durationMs", "worker"] as const;

/** A record without its time fields, for comparing journals. */
export function withoutTime(record: StudyRecord): { readonly [field: string]: unknown } {
	return Object.fromEntries(Object.entries(record).filter(([field]) => !TIME_FIELDS.some((name) => name === field)));
}

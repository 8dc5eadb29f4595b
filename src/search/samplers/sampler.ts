// The contract of samplers: who proposes the next point. Conformance suite: testing/sampler-suite.ts.
import type { Rng } from "../../util/rng.ts";
import type { Named } from "../records.ts";
import type { Params, Space } from "../space.ts";
import type { Direction, Trial } from "../trial.ts";

export interface SamplerContext {
	readonly space: Space;
	/** Every trial of the study, running and failed ones too, in order of number. Read only. */
	readonly trials: readonly Trial[];
	readonly directions: readonly Direction[];
	/** A stream of the new trial's own. */
	readonly rng: Rng;
	/** The study's seed, for what must be the same in every proposal (the scrambling of a sequence). */
	readonly seed: number;
	/** How many points this sampler has proposed in this study. */
	readonly index: number;
}

export interface Suggestion {
	readonly params: Params;
	/** "random" when no results were used. */
	readonly origin: "random" | "model";
}

/**
 * `name` and `options` are written to the journal and must match when the study is opened again.
 * `suggest` is a pure function of its context: it keeps nothing from call to call, so a study that was killed and opened
 * again goes on exactly as it would have. Returns undefined when it has no point left to propose.
 */
export interface Sampler extends Named {
	suggest(context: SamplerContext): Suggestion | undefined;
}

// What an objective may return, and reading it. Whatever does not fit is a failure with its reason, not an exception: a
// setting that gives NaN is a result.
import type { Json } from "./space.ts";

/** What an objective returns: its value(s) at `toStep`; or "pruned", when it stopped because `shouldPrune` said so. */
export type Outcome = number | readonly number[] | "pruned" | DetailedOutcome;

export interface DetailedOutcome {
	/** The value at `toStep`, or one for each objective. */
	readonly value: number | readonly number[];
	/** Where to go on from if the trial is promoted: any JSON, such as the path of a file. */
	readonly checkpoint?: Json;
	/** What the trial cost so far, in any one unit. Among settings within noise of the best, the cheapest wins. */
	readonly cost?: number;
}

/** The objective gave no value. */
export interface Failure {
	readonly failed: string;
}

export function isFailure(outcome: Outcome | Failure): outcome is Failure {
	return typeof outcome === "object" && outcome !== null && "failed" in outcome;
}

interface Result {
	readonly values: readonly number[];
	readonly checkpoint?: Json;
	readonly cost?: number;
}

/** The outcome with one value for each objective, or why it has none. */
export function readOutcome(outcome: Outcome | Failure, objectives: number): Result | "pruned" | Failure {
	if (outcome === "pruned" || isFailure(outcome)) return outcome;
	const detailed = typeof outcome === "object" && outcome !== null && !Array.isArray(outcome);
	const { value, checkpoint, cost } = detailed ? (outcome as DetailedOutcome) : { value: outcome as number };
	const values = typeof value === "number" ? [value] : value;
	if (!Array.isArray(values) || values.length !== objectives) {
		const wanted = objectives === 1 ? "a number" : `${objectives} numbers`;
		return { failed: `the objective returned ${JSON.stringify(outcome) ?? String(outcome)}, not ${wanted}` };
	}
	const odd = [...values, cost ?? 0].find((one) => !Number.isFinite(one));
	if (odd !== undefined) return { failed: `the objective returned ${odd}` };
	return { values, ...(checkpoint !== undefined && { checkpoint }), ...(cost !== undefined && { cost }) };
}

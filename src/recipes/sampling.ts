// From the sampling options of a job to what the generator takes.

import { randomInt } from "node:crypto";
import type { SamplingOptions } from "../generate/sample-token.ts";
import type { generateOptions } from "./options/jobs.ts";
import type { OptionsOf } from "./options/table.ts";

type SamplingValues = Pick<
	OptionsOf<typeof generateOptions>,
	"maxTokens" | "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "stop" | "seed"
>;

/** The seed is drawn when none was asked for. */
export function samplingOf(values: SamplingValues): {
	sampling: SamplingOptions;
	maxTokens: number;
	stop: readonly string[];
	seed: number;
} {
	const { maxTokens, temperature, topK, topP, minP, repetitionPenalty, stop = [], seed } = values;
	const sampling = { temperature, topP, minP, repetitionPenalty, ...(topK !== undefined && { topK }) };
	return { sampling, maxTokens, stop, seed: seed ?? randomInt(2 ** 32) };
}

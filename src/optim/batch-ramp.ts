// Batch-size ramp: the batch grows while training runs, because early gradients agree with each other and late ones are
// noisy (McCandlish et al., 2018; Smith et al., 2018). Pure functions of progress; the growth itself happens through
// accumulation, in train.

import { UserError } from "../util/errors.ts";

export interface BatchRamp {
	/** Examples in a step at the start. */
	readonly from: number;
	/** Examples in a step at the end of the ramp and after it. */
	readonly to: number;
	/** The part of training, in (0, 1], over which the batch grows. */
	readonly over: number;
}

export const rampLearningRates = ["none", "sqrt", "linear"] as const;
/** How the learning rate follows the batch size: not at all, with its square root, or in proportion. */
export type RampLearningRate = (typeof rampLearningRates)[number];

/** "8:64@0.3": from 8 to 64 over the first 30 % of training. Throws UserError on anything else. */
export function parseBatchRamp(text: string): BatchRamp {
	const match = /^(\d{1,9}):(\d{1,9})@(\d+(?:\.\d+)?|\.\d+)$/.exec(text.trim());
	const [from, to, over] = (match?.slice(1) ?? []).map(Number) as [number, number, number];
	if (!match || from < 1 || to < from || !(over > 0 && over <= 1)) {
		throw new UserError("BATCH_RAMP_INVALID", `The batch ramp "${text}" is not understood.`, {
			where: "--batch-ramp",
			expected: "FROM:TO@PART with 1 <= FROM <= TO and 0 < PART <= 1",
			found: text,
			hint: "8:64@0.3 grows the batch from 8 to 64 over the first 30 % of training",
		});
	}
	return { from, to, over };
}

export function formatBatchRamp({ from, to, over }: BatchRamp): string {
	return `${from}:${to}@${over}`;
}

/** Examples in the step that starts at `progress`: supervised tokens seen over those of the whole run, in [0, 1]. Never falls. */
export function batchSizeAt({ from, to, over }: BatchRamp, progress: number): number {
	const part = Math.min(1, Math.max(0, progress / over));
	return Math.round(from + (to - from) * part);
}

/** Factor of the learning rate for a batch of `size`; the rate that was asked for belongs to `ramp.from`. */
export function rampLearningRateFactor(
	ramp: BatchRamp,
	{ size, rule }: { size: number; rule: RampLearningRate },
): number {
	return rules[rule](size / ramp.from);
}

const rules = {
	none: () => 1,
	sqrt: Math.sqrt,
	linear: (growth) => growth,
} as const satisfies Record<RampLearningRate, (growth: number) => number>;

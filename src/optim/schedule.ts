// Learning-rate schedules: pure functions from a position in the run to a factor of the base learning rate. They hold
// no state and know no optimizer. The shapes and their edges are those of transformers' get_*_schedule.

import { UserError } from "../util/errors.ts";

export const scheduleNames = ["constant", "linear", "cosine", "wsd"] as const;
/** wsd: warm-up, stable, decay (Hu et al., 2024, MiniCPM): constant, then linear down over the last part. */
export type ScheduleName = (typeof scheduleNames)[number];

/** All positions are in one unit of the caller's choice: optimizer steps, or supervised tokens. */
export interface ScheduleOptions {
	name: ScheduleName;
	/** Where the run ends. */
	total: number;
	/** Length of the linear rise from 0. The first step of a run that warms up has rate 0, as in transformers. */
	warmup?: number;
	/** What the factor falls to, from 0 (default) to 1. A constant schedule does not fall. */
	minRatio?: number;
	/** wsd only: length of the fall; one fifth of the run unless said. */
	decay?: number;
}

/** From a position (0 is the first step) to a factor in [0, 1]. After the end it stays at what the end reached. */
export type Schedule = (position: number) => number;

/** Throws UserError when the lengths do not fit the run. */
export function createSchedule({
	name,
	total,
	warmup = 0,
	minRatio = 0,
	decay = total / 5,
}: ScheduleOptions): Schedule {
	if (!(total > 0)) reject("The run has no length.", { where: "total", expected: "more than 0", found: total });
	if (!(warmup >= 0 && warmup < total)) {
		reject("The warm-up does not end before the run does, so the learning rate would never be reached.", {
			where: "warmup",
			expected: `from 0 to less than ${total}`,
			found: warmup,
		});
	}
	if (!(minRatio >= 0 && minRatio <= 1)) {
		reject("The lowest learning rate is a part of the base rate.", {
			where: "minRatio",
			expected: "from 0 to 1",
			found: minRatio,
		});
	}
	const fall = name === "wsd" ? Math.min(decay, total - warmup) : total - warmup;
	if (!(fall > 0)) reject("The decay has no length.", { where: "decay", expected: "more than 0", found: decay });
	const shape = shapes[name];
	return (position) => {
		if (position < warmup) return position / warmup;
		const progress = Math.min(1, Math.max(0, 1 - (total - position) / fall));
		return minRatio + (1 - minRatio) * shape(progress);
	};
}

/** From progress through the fall, in [0, 1], to a factor: 1 at its start. */
const shapes = {
	constant: () => 1,
	linear: (progress) => 1 - progress,
	cosine: (progress) => 0.5 * (1 + Math.cos(Math.PI * progress)),
	wsd: (progress) => 1 - progress,
} as const satisfies Record<ScheduleName, (progress: number) => number>;

function reject(
	message: string,
	{ where, expected, found }: { where: string; expected: string; found: number },
): never {
	throw new UserError("SCHEDULE_INVALID", message, { where, expected, found: String(found) });
}

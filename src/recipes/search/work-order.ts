// Until when a study is worked on. A budget is for everything: reading, training, evaluating, and the last score.

import type { WorkOrder } from "./study-files.ts";
import type { SearchValues, StudyRun } from "./study-run.ts";

/** Kept from the budget for the last score and the files, in seconds and as a part. */
const reserve = { seconds: 2, part: 0.01 };

/** A resumed search has what is left of its budget: what the trials took is in the journal. */
export function workOrder({
	budget,
	values,
	startedAt,
	study,
	resumed,
}: {
	budget: number | undefined;
	values: SearchValues;
	startedAt: number;
	study: StudyRun;
	resumed: boolean;
}): WorkOrder {
	const used = resumed
		? study.study.trials.flatMap(({ rungs }) => rungs).reduce((sum, { durationMs }) => sum + durationMs / 1000, 0)
		: 0;
	const kept = budget === undefined ? 0 : Math.min(budget / 4, reserve.seconds + reserve.part * budget);
	return {
		endsAt: budget === undefined ? null : startedAt + 1000 * Math.max(0, budget - used / values.workers - kept),
		trials: values.trials ?? null,
		keepTrials: values.keepTrials,
	};
}

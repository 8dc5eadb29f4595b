// Two trials with the same settings but for how the learning rate goes on are one training up to where their rates part:
// with a constant rate, the shorter is the beginning of the longer. What one has done, the other need not do again.

import { planTrial } from "./trial-run.ts";
import type { FinetuneValues, Setting } from "./workbench.ts";

/** Settings that matter only through the rate of each step. */
const throughRate = new Set([
	...["learningRate", "epochs", "steps", "lrSchedule", "warmupSteps", "minLearningRateRatio", "evalSteps", "stopAt"],
]);

/** Whether two trainings can differ in nothing but the rates of their steps. A ramp follows the whole length: it does not count. */
export function differInRateOnly(a: FinetuneValues, b: FinetuneValues): boolean {
	if (a.batchRamp || b.batchRamp) return false;
	const rest = (values: FinetuneValues) =>
		JSON.stringify(Object.entries(values).filter(([name]) => !throughRate.has(name)));
	return rest(a) === rest(b);
}

/** A training as the rates of its steps. */
export interface Course {
	steps: number;
	evalSteps: number;
	/** Of a step, from 0. */
	rate(step: number): number;
}

export function courseOf(
	values: FinetuneValues,
	{ parts, evaluations }: Pick<Setting, "parts"> & { evaluations: number },
): Course {
	const { steps, schedule, settings } = planTrial(values, { parts }, evaluations);
	return { steps, evalSteps: settings.evalSteps, rate: (step) => settings.learningRate * schedule(step) };
}

/** Steps from the start that are the same in both. The last step of a run may be a smaller one: it counts when both end there. */
export function sharedSteps(a: Course, b: Course): number {
	const limit = a.steps === b.steps ? a.steps : Math.min(a.steps, b.steps) - 1;
	let step = 0;
	while (step < limit && a.rate(step) === b.rate(step)) step++;
	return step;
}

/** Whether a course can begin from a checkpoint of another: all before it is shared, and holds no evaluation of its own. */
export function canStartFrom(own: Course, other: Course, step: number): boolean {
	return step > 0 && step <= own.evalSteps && step <= sharedSteps(own, other);
}

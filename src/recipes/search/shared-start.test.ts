// How much two trainings share, against the sequences of their rates written out.
import fc from "fast-check";
import { expect, test } from "vitest";
import { createSchedule, scheduleNames } from "../../optim/schedule.ts";
import { type Course, canStartFrom, sharedSteps } from "./shared-start.ts";

const course: fc.Arbitrary<Course> = fc
	.record({
		name: fc.constantFrom(...scheduleNames),
		steps: fc.integer({ min: 2, max: 60 }),
		warmup: fc.constantFrom(0, 1),
		evalSteps: fc.integer({ min: 1, max: 20 }),
		base: fc.constantFrom(1e-3, 2e-3),
	})
	.map(({ name, steps, warmup, evalSteps, base }) => {
		const schedule = createSchedule({ name, total: steps, warmup });
		return { steps, evalSteps, rate: (step) => base * schedule(step) };
	});

test("as many steps as have equal rates, but never the last of a shorter run", () => {
	fc.assert(
		fc.property(course, course, (a, b) => {
			const shared = sharedSteps(a, b);
			expect(sharedSteps(b, a)).toBe(shared);
			for (let step = 0; step < shared; step++) expect(a.rate(step)).toBe(b.rate(step));
			if (a.steps !== b.steps) expect(shared).toBeLessThan(Math.min(a.steps, b.steps));
			else if (shared < a.steps) expect(a.rate(shared)).not.toBe(b.rate(shared));
		}),
	);
});

test("a checkpoint is taken over when it lies in what is shared and before any evaluation of one's own", () => {
	const constant = (steps: number, evalSteps: number): Course => ({ steps, evalSteps, rate: () => 1e-3 });
	const [short, long] = [constant(18, 2), constant(90, 10)];
	expect(canStartFrom(long, short, 6)).toBe(true);
	expect(canStartFrom(long, short, 10)).toBe(true);
	expect(canStartFrom(long, short, 12)).toBe(false);
	expect(canStartFrom(short, long, 10)).toBe(false);
	expect(canStartFrom(long, short, 18)).toBe(false);
});

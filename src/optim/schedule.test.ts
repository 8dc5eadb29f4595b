import fc from "fast-check";
import { expect, test } from "vitest";
import oracle from "../../test/fixtures/optim/schedules.json" with { type: "json" };
import { createSchedule, type ScheduleOptions, scheduleNames } from "./schedule.ts";

/** The options that test/fixtures/optim/generate.py gave to transformers, in our words. */
const cases: Record<keyof typeof oracle.factors, Omit<ScheduleOptions, "total">> = {
	constant: { name: "constant" },
	"constant-warmup": { name: "constant", warmup: 4 },
	"linear-warmup": { name: "linear", warmup: 5 },
	"cosine-warmup": { name: "cosine", warmup: 3 },
	"cosine-minimum": { name: "cosine", warmup: 3, minRatio: 0.1 },
	wsd: { name: "wsd", warmup: 4, decay: 6 },
	"wsd-minimum": { name: "wsd", decay: 6, minRatio: 0.2 },
};

test.each(Object.entries(cases))("%s equals transformers at every step", (name, options) => {
	const schedule = createSchedule({ ...options, total: oracle.steps });
	const expected = oracle.factors[name as keyof typeof cases];
	// After the end transformers' cosine rises again; ours stays.
	for (let step = 0; step <= oracle.steps; step++) expect(schedule(step)).toBeCloseTo(expected[step] as number, 14);
});

const options = fc.record({
	name: fc.constantFrom(...scheduleNames),
	total: fc.integer({ min: 2, max: 10_000 }),
	minRatio: fc.double({ min: 0, max: 1, noNaN: true }),
});

test("every schedule rises to 1 by the end of the warm-up, then never rises, and ends where it says", () => {
	fc.assert(
		fc.property(options, fc.double({ min: 0, max: 0.99, noNaN: true }), ({ name, total, minRatio }, part) => {
			const warmup = Math.floor(part * total);
			const schedule = createSchedule({ name, total, warmup, minRatio });
			expect(schedule(warmup)).toBeCloseTo(1, 12);
			if (warmup > 0) expect(schedule(0)).toBe(0);
			let last = 1;
			for (let i = 0; i <= 20; i++) {
				const factor = schedule(warmup + ((total - warmup) * i) / 20);
				expect(factor).toBeLessThanOrEqual(last + 1e-12);
				last = factor;
			}
			expect(last).toBeCloseTo(name === "constant" ? 1 : minRatio, 12);
			expect(schedule(total * 2)).toBe(schedule(total));
		}),
	);
});

test("the unit does not matter: tokens give the same curve as steps", () => {
	const inSteps = createSchedule({ name: "cosine", total: 100, warmup: 10 });
	const inTokens = createSchedule({ name: "cosine", total: 100 * 512, warmup: 10 * 512 });
	for (const step of [0, 5, 10, 50, 99]) expect(inTokens(step * 512)).toBeCloseTo(inSteps(step), 14);
});

test.each([
	[{ name: "linear", total: 0 }, "total"],
	[{ name: "linear", total: Number.NaN }, "total"],
	[{ name: "linear", total: 10, warmup: 10 }, "warmup"],
	[{ name: "linear", total: 10, warmup: -1 }, "warmup"],
	[{ name: "cosine", total: 10, minRatio: 1.5 }, "minRatio"],
	[{ name: "wsd", total: 10, decay: 0 }, "decay"],
] as [ScheduleOptions, string][])("%o is refused", (wrong, where) => {
	expect(() => createSchedule(wrong)).toThrow(expect.objectContaining({ code: "SCHEDULE_INVALID", where }));
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { prunerSuite } from "../testing/pruner-suite.ts";
import { doneTrial } from "../testing/sampler-suite.ts";
import type { Trial } from "../trial.ts";
import { ashaPruner, promotable, rungLadder } from "./asha.ts";
import { hyperbandPruner } from "./hyperband.ts";
import { medianPruner } from "./median.ts";
import { patientPruner } from "./patient.ts";
import { noPruner } from "./pruner.ts";
import { thresholdPruner } from "./threshold.ts";

prunerSuite("none", noPruner);
prunerSuite("asha", () => ashaPruner({ minStep: 1, maxStep: 9 }));
prunerSuite("hyperband", () => hyperbandPruner({ minStep: 1, maxStep: 9 }));
prunerSuite("median", () => medianPruner({ warmupSteps: 1 }));
prunerSuite("patient", () => patientPruner({ patienceSteps: 3, around: ashaPruner({ minStep: 1, maxStep: 9 }) }));
prunerSuite("threshold", () => thresholdPruner({ upper: 1.9, lower: -1.9, around: medianPruner() }));

/** A trial that has the given values at rungs 1, 3, 9, paused at the last of them. */
const paused = (number: number, values: readonly number[], state: Trial["state"] = "paused"): Trial => ({
	...doneTrial(number, {}, []),
	state,
	toStep: 3 ** Math.max(0, values.length - 1),
	rungs: values.map((value, k) => ({ step: 3 ** k, values: [value], durationMs: 0 })),
});

describe("asha", () => {
	const ladder = { rungs: [1, 3, 9], eta: 3, directions: ["minimize"] as const };

	test("the ladder", () => {
		expect(rungLadder({ minStep: 1, maxStep: 27, eta: 3 })).toEqual([1, 3, 9, 27]);
		expect(rungLadder({ minStep: 10, maxStep: 100, eta: 4 })).toEqual([10, 40, 100]);
		expect(rungLadder({ minStep: 5, maxStep: 5, eta: 2 })).toEqual([5]);
		expect(() => rungLadder({ minStep: 5, maxStep: 1, eta: 2 })).toThrow(/order/);
	});

	test("promotes the best third of a rung, and the highest rung first", () => {
		expect(promotable([paused(0, [3]), paused(1, [2])], ladder)).toBeUndefined();
		expect(promotable([paused(0, [3]), paused(1, [2]), paused(2, [4])], ladder)?.number).toBe(1);
		const high = [paused(0, [1, 5]), paused(1, [2, 4]), paused(2, [3, 6])];
		const low = [3, 4, 5, 6, 7, 8].map((n) => paused(n, [n]));
		expect(promotable([...high, ...low], ladder)?.number).toBe(1);
	});

	test("a failed trial counts among those that were tried", () => {
		const trials = [paused(0, [3]), paused(1, [2]), { ...paused(2, []), state: "failed" as const }];
		expect(promotable(trials, ladder)?.number).toBe(1);
	});

	/** Algorithm 2 of the paper, literally: for k from the top, candidates = top_k(rung k, |rung k| / eta), first not promoted. */
	const twin = (trials: readonly Trial[]) => {
		for (const [k, step] of [1, 3].entries()) {
			const at = 1 - k;
			const rungStep = [1, 3][at] as number;
			const rung = trials
				.filter((trial) => trial.rungs.length > at)
				.map((trial) => ({ trial, loss: trial.rungs[at]?.values[0] as number }));
			const top = rung
				.sort((a, b) => a.loss - b.loss || a.trial.number - b.trial.number)
				.slice(0, Math.floor(rung.length / 3));
			const promoted = (trial: Trial) => trial.rungs.length > at + 1 || trial.toStep > rungStep;
			const found = top.find(({ trial }) => !promoted(trial));
			if (found !== undefined) return found.trial;
			expect(step).toBeGreaterThan(0);
		}
		return undefined;
	};

	test("against a literal twin of the paper's rule, on random histories", () => {
		const values = fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 3 });
		fc.assert(
			fc.property(fc.array(values, { maxLength: 30 }), (rows) => {
				const trials = rows.map((row, number) => paused(number, row, row.length === 3 ? "done" : "paused"));
				expect(promotable(trials, ladder)?.number).toBe(twin(trials)?.number);
			}),
			{ seed: 3, numRuns: 300 },
		);
	});

	test("with two objectives the front is promoted first", () => {
		const trials = [
			[1, 9],
			[9, 1],
			[8, 8],
			[5, 5],
			[9, 9],
			[7, 8],
		].map(([a, b], number) => ({
			...paused(number, [0]),
			rungs: [{ step: 1, values: [a as number, b as number], durationMs: 0 }],
		}));
		const first = promotable(trials, { ...ladder, directions: ["minimize", "minimize"] });
		expect([0, 1, 3]).toContain(first?.number);
	});
});

test("hyperband fills its brackets by their shares", () => {
	const pruner = hyperbandPruner({ minStep: 1, maxStep: 9 });
	const trials: Trial[] = [];
	for (let n = 0; n < 34; n++) {
		const bracket = pruner.nextBracket({ trials, directions: ["minimize"] });
		trials.push({ ...paused(n, [1]), bracket });
	}
	// n_s = ceil(3 / (s + 1) * 3^s) for s = 2, 1, 0: 9, 5, 3 of 17.
	expect([0, 1, 2].map((bracket) => trials.filter((trial) => trial.bracket === bracket).length)).toEqual([18, 10, 6]);
	expect([0, 1, 2].map((bracket) => pruner.rungs(bracket))).toEqual([[1, 3, 9], [3, 9], [9]]);
});

test("median, patience and thresholds look at reports as they say", () => {
	const directions = ["minimize"] as const;
	const reports = (...values: number[]) => values.map((value, i) => ({ step: i + 1, value }));
	const done = [1, 2, 3, 4, 5].map((n) => ({ ...doneTrial(n, {}, [n]), reports: reports(n + 1, n) }));
	const running = (...values: number[]): Trial => ({
		...doneTrial(9, {}, []),
		state: "running",
		rungs: [],
		reports: reports(...values),
	});
	const median = medianPruner({ warmupSteps: 1 });
	expect(median.shouldPrune(running(5, 3.5), { trials: done, directions })).toBe(true);
	expect(median.shouldPrune(running(5, 2.5), { trials: done, directions })).toBe(false);
	expect(median.shouldPrune(running(9), { trials: done, directions })).toBe(false);
	expect(median.shouldPrune(running(9, 9), { trials: done.slice(1), directions })).toBe(false);
	expect(median.shouldPrune(running(5, 2.5), { trials: done, directions: ["maximize"] })).toBe(false);
	const patient = patientPruner({ patienceSteps: 2, minDelta: 0.1 });
	expect(patient.shouldPrune(running(3, 2, 1.95, 1.99), { trials: [], directions })).toBe(true);
	expect(patient.shouldPrune(running(3, 2, 1.95, 1.8), { trials: [], directions })).toBe(false);
	const threshold = thresholdPruner({ upper: 10, lower: 0, warmupSteps: 1 });
	expect(threshold.shouldPrune(running(99), { trials: [], directions })).toBe(false);
	expect(threshold.shouldPrune(running(99, 11), { trials: [], directions })).toBe(true);
	expect(threshold.shouldPrune(running(1, -1), { trials: [], directions })).toBe(true);
	expect(threshold.shouldPrune(running(1, 10), { trials: [], directions })).toBe(false);
	expect(() => thresholdPruner({})).toThrow(/thresholds/);
});

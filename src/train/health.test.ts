// Each warning: the steps that call for it, the cause it names, and the healthy runs that it leaves alone.
import { expect, test } from "vitest";
import { HealthWatch, judge, type WatchedStep, watchedSteps } from "./health.ts";

const vocabulary = 100;
const chance = Math.log(vocabulary);
const steps = (of: (i: number) => Partial<WatchedStep>, count = 10): WatchedStep[] =>
	Array.from({ length: count }, (_, i) => ({
		loss: 3 - i / 10,
		gradientNorm: 2 - i / 20,
		learningRate: 1e-4,
		...of(i),
	}));
const judged = (watched: readonly WatchedStep[], weightsChanged = true) =>
	judge(watched, { vocabulary, weightsChanged });

test("healthy runs are left alone: falling, from random weights, noisy, of a single step", () => {
	expect(judged(steps(() => ({})))).toEqual([]);
	expect(judged(steps((i) => ({ loss: chance + 0.2 - i / 100 })))).toEqual([]);
	expect(judged(steps((i) => ({ gradientNorm: i % 2 === 0 ? 0.5 : 5 })))).toEqual([]);
	expect(judged(steps((i) => ({ loss: 1 + 2 * Math.sin(i) ** 2 })))).toEqual([]);
	expect(judged(steps(() => ({}), 1))).toEqual([]);
});

test("nothing trained: zero gradient, too small a rate, or no step taken", () => {
	const codeOf = (watched: readonly WatchedStep[]) => judged(watched, false).map(({ code }) => code);
	expect(codeOf(steps(() => ({ gradientNorm: 0 })))).toEqual(["NOTHING_TRAINED"]);
	expect(
		judged(
			steps(() => ({ gradientNorm: 0 })),
			false,
		)[0]?.hint,
	).toContain("--freeze");
	expect(
		judged(
			steps(() => ({ learningRate: 1e-12 })),
			false,
		)[0]?.hint,
	).toContain("1.0e-12");
	expect(
		judged(
			steps(() => ({ loss: Number.NaN })),
			false,
		)[0]?.hint,
	).toContain("left out");
});

test("loss not finite: from the first step the weights, later the learning rate", () => {
	const [damaged] = judged(steps(() => ({ loss: Number.NaN })));
	expect(damaged).toMatchObject({ code: "LOSS_NOT_FINITE", message: expect.stringContaining("10 of the first 10") });
	expect(damaged?.hint).toContain("weights are probably damaged");
	const [diverged] = judged(steps((i) => (i > 6 ? { gradientNorm: Number.POSITIVE_INFINITY } : {})));
	expect(diverged).toMatchObject({ code: "LOSS_NOT_FINITE", message: expect.stringContaining("3 of the first 10") });
	expect(diverged?.hint).toContain("learning rate");
});

test("loss far above ln(V): from the first step a tokenizer that does not fit, later the learning rate", () => {
	const [mismatch] = judged(steps(() => ({ loss: 9 })));
	expect(mismatch).toMatchObject({ code: "LOSS_ABOVE_CHANCE", message: expect.stringContaining("4.61") });
	expect(mismatch?.hint).toContain("tokenizer");
	const [diverging] = judged(steps((i) => ({ loss: 3 + i })));
	expect(diverging?.code).toBe("LOSS_ABOVE_CHANCE");
	expect(diverging?.hint).toContain("learning rate");
});

test("exploding gradient norm", () => {
	const [exploding] = judged(steps((i) => ({ gradientNorm: 2 ** i })));
	expect(exploding).toMatchObject({ code: "GRADIENT_EXPLODING" });
	expect(exploding?.hint).toContain("--warmup-steps");
	// One outlier is none.
	expect(judged(steps((i) => ({ gradientNorm: i === 9 ? 500 : 1 })))).toEqual([]);
});

test("the watch compares weights at the beginning with those after the last watched step", () => {
	const parameters = [new Float32Array(5000), Float32Array.of(1, 2, 3)];
	const step = steps(() => ({}), 1)[0] as WatchedStep;
	const warnings = (change: () => void, count: number) => {
		const watch = new HealthWatch({ vocabulary, parameters });
		change();
		return Array.from({ length: count }, (_, i) =>
			watch.after(step, { last: i === count - 1 }).map(({ code }) => code),
		);
	};
	expect(warnings(() => {}, 12).flat()).toEqual(["NOTHING_TRAINED"]);
	expect(warnings(() => {}, 12)[watchedSteps - 1]).toEqual(["NOTHING_TRAINED"]);
	expect(warnings(() => {}, 2)).toEqual([[], ["NOTHING_TRAINED"]]);
	const bump = (by: number) => () => {
		(parameters[1] as Float32Array)[2] = 3 + by;
	};
	expect(warnings(bump(1e-5), 10).flat()).toEqual([]);
	// Numbers that were 0 move at any rate: that alone is no training.
	expect(warnings(() => parameters[0]?.fill(1e-14), 10).flat()).toEqual(["NOTHING_TRAINED"]);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { UserError } from "../util/errors.ts";
import { batchSizeAt, formatBatchRamp, parseBatchRamp, rampLearningRateFactor } from "./batch-ramp.ts";

test("8:64@0.3", () => {
	const ramp = parseBatchRamp("8:64@0.3");
	expect(ramp).toEqual({ from: 8, to: 64, over: 0.3 });
	expect([0, 0.15, 0.3, 0.9, 1].map((progress) => batchSizeAt(ramp, progress))).toEqual([8, 36, 64, 64, 64]);
	expect(rampLearningRateFactor(ramp, { size: 32, rule: "none" })).toBe(1);
	expect(rampLearningRateFactor(ramp, { size: 32, rule: "sqrt" })).toBe(2);
	expect(rampLearningRateFactor(ramp, { size: 32, rule: "linear" })).toBe(4);
});

test("sizes are whole, stay within the ends, and never fall", () => {
	const ramps = fc.record({
		from: fc.integer({ min: 1, max: 500 }),
		more: fc.integer({ min: 0, max: 5000 }),
		over: fc.double({ min: 0.001, max: 1, noNaN: true }),
	});
	fc.assert(
		fc.property(ramps, ({ from, more, over }) => {
			const ramp = { from, to: from + more, over };
			let last = from;
			for (let progress = 0; progress <= 1.05; progress += 0.05) {
				const size = batchSizeAt(ramp, progress);
				expect(Number.isInteger(size)).toBe(true);
				expect(size).toBeGreaterThanOrEqual(last);
				last = size;
			}
			expect(last).toBe(ramp.to);
		}),
	);
});

test("what is written is what was read", () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 99 }), (from, hundredths) => {
			const ramp = { from, to: from + 7, over: hundredths / 100 };
			expect(parseBatchRamp(formatBatchRamp(ramp))).toEqual(ramp);
		}),
	);
});

test.each([
	"",
	"8",
	"8:64",
	"8:64@",
	"8:64@0",
	"8:64@1.5",
	"64:8@0.3",
	"0:8@0.3",
	"a:b@c",
	"8:64@0.3x",
	"-8:64@0.3",
	"8.5:9@1",
])("%j is refused with an example of what is right", (text) => {
	expect(() => parseBatchRamp(text)).toThrow(UserError);
	expect(() => parseBatchRamp(text)).toThrow(expect.objectContaining({ hint: expect.stringContaining("8:64@0.3") }));
});

test("mutated text is either refused or a valid ramp", () => {
	fc.assert(
		fc.property(fc.stringMatching(/^[0-9:@.e -]{0,12}$/), (text) => {
			try {
				const { from, to, over } = parseBatchRamp(text);
				expect(from >= 1 && to >= from && over > 0 && over <= 1).toBe(true);
			} catch (error) {
				expect(error).toBeInstanceOf(UserError);
			}
		}),
	);
});

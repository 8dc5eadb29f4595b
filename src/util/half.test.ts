// Half precision: all 65,536 values there and back, and the rounding of float32 against a slow twin that measures distances.
import fc from "fast-check";
import { expect, test } from "vitest";
import { allFinite, bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./half.ts";

const every = Uint16Array.from({ length: 0x10000 }, (_, i) => i);
const formats = [
	{ name: "F16", widen: float16ToFloat32, round: float32ToFloat16, infinity: 0x7c00 },
	{ name: "BF16", widen: bfloat16ToFloat32, round: float32ToBfloat16, infinity: 0x7f80 },
];

test.each(formats)("every $name there and back", ({ widen, round, infinity }) => {
	const numbers = new Float32Array(every.length);
	const back = new Uint16Array(every.length);
	expect(widen(every, numbers)).toBe(false);
	expect(round(numbers, back)).toBe(false);
	const wrong = every.filter((bits) => {
		const isBad = (bits & 0x7fff) > infinity;
		return (
			isBad !== Number.isNaN(numbers[bits]) ||
			(isBad ? (back[bits] as number & 0x7fff) <= infinity : back[bits] !== bits)
		);
	});
	expect([...wrong]).toEqual([]);
	const positive = numbers.subarray(0, infinity + 1);
	expect(positive.every((number, i) => i === 0 || number > (positive[i - 1] as number))).toBe(true);
	const finite = every.filter((bits) => (bits & 0x7fff) < infinity);
	expect(widen(finite, new Float32Array(finite.length))).toBe(true);
});

test("known values", () => {
	const numbers = new Float32Array([1, -2, 65504, 2 ** -24, 2 ** -14, 1 / 3]);
	const f16 = new Uint16Array(6);
	const bf16 = new Uint16Array(6);
	float32ToFloat16(numbers, f16);
	float32ToBfloat16(numbers, bf16);
	expect([...f16]).toEqual([0x3c00, 0xc000, 0x7bff, 0x0001, 0x0400, 0x3555]);
	expect([...bf16]).toEqual([0x3f80, 0xc000, 0x4780, 0x3380, 0x3880, 0x3eab]);
});

test.each(formats)("$name rounds to the nearest, ties to even", ({ widen, round, infinity }) => {
	const table = new Float32Array(every.length);
	widen(every, table);
	// Above the largest finite value the next one would be a step further: that is where rounding to infinity starts.
	const step = (table[infinity - 1] as number) - (table[infinity - 2] as number);
	const sizeOf = (bits: number) =>
		bits === infinity ? (table[infinity - 1] as number) + step : (table[bits] as number);
	const slow = (number: number): number => {
		const size = Math.abs(number);
		let low = 0;
		let high = infinity;
		while (high - low > 1) {
			const middle = (low + high) >> 1;
			if (sizeOf(middle) <= size) low = middle;
			else high = middle;
		}
		const below = size - sizeOf(low);
		const above = sizeOf(high) - size;
		const bits = below < above || (below === above && low % 2 === 0) ? low : high;
		return bits | (number < 0 || Object.is(number, -0) ? 0x8000 : 0);
	};
	const out = new Uint16Array(1);
	const check = (number: number) => {
		round(new Float32Array([number]), out);
		expect([number, out[0]]).toEqual([number, slow(number)]);
	};
	const word = new Float32Array(1);
	fc.assert(
		fc.property(fc.integer(), (bits) => {
			new Int32Array(word.buffer)[0] = bits;
			if (Number.isFinite(word[0])) check(word[0] as number);
		}),
		{ seed: 1, numRuns: 2000 },
	);
	// Ties, and their neighbours, where the format's own numbers are.
	fc.assert(
		fc.property(fc.nat(infinity - 1), fc.constantFrom(-1, 0, 1), fc.boolean(), (bits, nudge, negative) => {
			const tie = (sizeOf(bits) + sizeOf(bits + 1)) / 2;
			word[0] = negative ? -tie : tie;
			if (Math.fround(tie) !== tie) return;
			new Int32Array(word.buffer)[0] = (new Int32Array(word.buffer)[0] as number) + nudge;
			if (Number.isFinite(word[0])) check(word[0] as number);
		}),
		{ seed: 2, numRuns: 2000 },
	);
});

test("allFinite sees one bad number anywhere", () => {
	const numbers = new Float32Array(1000).fill(-3.4e38);
	expect(allFinite(numbers)).toBe(true);
	for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
		for (const i of [0, 500, 999]) {
			const copy = numbers.slice();
			copy[i] = bad;
			expect(allFinite(copy)).toBe(false);
		}
	}
});

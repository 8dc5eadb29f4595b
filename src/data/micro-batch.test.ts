import fc from "fast-check";
import { expect, test } from "vitest";
import { cutByLength, makeStep, roundTime } from "./micro-batch.ts";

const ascending = fc
	.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 9 })
	.map((list) => list.sort((a, b) => a - b));

/** All ways to cut `count` into runs. */
function* allCuts(count: number): Generator<number[]> {
	if (count === 0) yield [];
	for (let first = 1; first <= count; first++) for (const rest of allCuts(count - first)) yield [first, ...rest];
}

test("the cut is the cheapest of all cuts under the budget", () => {
	fc.assert(
		fc.property(
			ascending,
			fc.integer({ min: 50, max: 2000 }),
			fc.integer({ min: 0, max: 200 }),
			(lengths, tokenBudget, price) => {
				const cost = (sizes: readonly number[]) => {
					let end = 0;
					let total = 0;
					for (const size of sizes) {
						end += size;
						const slots = size * roundTime(lengths[end - 1] as number);
						if (slots > tokenBudget && size > 1) return Number.POSITIVE_INFINITY;
						total += slots + price;
					}
					return total;
				};
				const sizes = cutByLength(lengths, { tokenBudget, slotsPerMicroBatch: price });
				expect(sizes.reduce((a, b) => a + b, 0)).toBe(lengths.length);
				expect(cost(sizes)).toBe(Math.min(...[...allCuts(lengths.length)].map(cost)));
			},
		),
		{ numRuns: 60, seed: 1 },
	);
});

test("T is rounded up by less than a sixteenth", () => {
	for (let time = 1; time < 5000; time++) {
		expect(roundTime(time)).toBeGreaterThanOrEqual(time);
		expect(roundTime(time) - time).toBeLessThan(Math.max(1, time / 16));
		expect(roundTime(roundTime(time))).toBe(roundTime(time));
	}
});

const examples = fc.array(
	fc.array(fc.tuple(fc.nat(60_000), fc.boolean()), { minLength: 1, maxLength: 80 }).map((pairs) => ({
		ids: Int32Array.from([1, ...pairs.map(([id]) => id)]),
		supervised: Uint8Array.from(pairs, ([, flag], i) => (flag || i === pairs.length - 1 ? 1 : 0)),
	})),
	{ minLength: 1, maxLength: 12 },
);

test("rows and labels of a step are those of its examples, padding is 0, and no micro-batch is without a label", () => {
	fc.assert(
		fc.property(examples, (list) => {
			const step = makeStep(list, { tokenBudget: 200 });
			const read: string[] = [];
			let slots = 0;
			for (const { ids, batch, time, lengths, rows, labels, tokens } of step.microBatches) {
				expect(ids.length).toBe(batch * time);
				expect(batch * time <= 200 || batch === 1).toBe(true);
				expect(rows.length).toBe(labels.length);
				expect(rows.length).toBeGreaterThan(0);
				expect(tokens).toBe(lengths.reduce((a, b) => a + b, 0));
				slots += batch * time;
				for (let b = 0; b < batch; b++) {
					const length = lengths[b] as number;
					const sequence = ids.subarray(b * time, (b + 1) * time);
					expect(sequence.subarray(length).every((id) => id === 0)).toBe(true);
					const targets = [...rows].flatMap((row, i) =>
						Math.floor(row / time) === b ? [[row % time, labels[i]]] : [],
					);
					expect(targets.every(([t]) => (t as number) < length)).toBe(true);
					read.push(JSON.stringify([[...sequence.subarray(0, length)], targets]));
				}
			}
			const expected = list.map(({ ids, supervised }) => {
				const targets = [...supervised].flatMap((flag, t) => (flag ? [[t, ids[t + 1]]] : []));
				return JSON.stringify([[...ids.subarray(0, -1)], targets]);
			});
			expect(read.sort()).toEqual(expected.sort());
			expect(step).toMatchObject({ slots, examples: list.length });
			const supervised = list.reduce((sum, example) => sum + example.supervised.reduce((a, b) => a + b, 0), 0);
			expect(step.supervisedTokens).toBe(supervised);
		}),
		{ numRuns: 100, seed: 1 },
	);
});

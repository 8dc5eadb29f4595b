import fc from "fast-check";
import { expect, test } from "vitest";
import { TokenArchive } from "./token-archive.ts";
import { evaluationWindows, WindowStream, type WindowStreamOptions } from "./windows.ts";

function textOf(length: number): TokenArchive {
	const archive = new TokenArchive();
	archive.append(Int32Array.from({ length }, (_, i) => i));
	return archive;
}
const optionsFor = (length: number, blockSize: number): WindowStreamOptions => ({
	tokens: textOf(length),
	blockSize,
	seed: 1,
	tokenBudget: 4 * blockSize,
});
const lengths = fc.tuple(fc.integer({ min: 10, max: 300 }), fc.integer({ min: 1, max: 9 }));

test("each row's label is the token after it, and all rows are supervised", () => {
	for (const order of ["epoch", "random"] as const) {
		const stream = new WindowStream({ ...optionsFor(500, 8), order });
		const { microBatches, supervisedTokens, slots } = stream.next(10);
		expect([supervisedTokens, slots]).toEqual([80, 80]);
		// 10 windows under a budget of 4: three micro-batches, as equal as they can be.
		expect(microBatches.map(({ batch }) => batch)).toEqual([3, 3, 4]);
		for (const { ids, rows, labels } of microBatches) {
			expect([...rows]).toEqual([...ids.keys()]);
			expect([...labels]).toEqual([...ids].map((id) => id + 1));
		}
	}
});

test("an epoch visits windows that do not overlap, each once, and the next in another order", () => {
	fc.assert(
		fc.property(lengths, fc.integer({ min: 1, max: 20 }), ([length, blockSize], batchSize) => {
			const stream = new WindowStream(optionsFor(length, blockSize));
			const epochs = [0, 1].map(() => {
				const starts: number[] = [];
				for (let ends = false; !ends; ) {
					const step = stream.next(batchSize);
					for (const { ids, batch, time } of step.microBatches)
						for (let b = 0; b < batch; b++) starts.push(ids[b * time] as number);
					ends = step.endsEpoch;
				}
				return starts;
			});
			for (const starts of epochs) {
				expect(starts.length).toBe(stream.examplesPerEpoch);
				const sorted = starts.toSorted((a, b) => a - b);
				for (let i = 1; i < sorted.length; i++)
					expect((sorted[i] as number) - (sorted[i - 1] as number)).toBe(blockSize);
				// At most two windows' worth of text is left out of an epoch.
				expect(starts.length * blockSize).toBeGreaterThan(length - 2 * blockSize - 1);
			}
			if ((epochs[0]?.length ?? 0) > 10) expect(epochs[0]).not.toEqual(epochs[1]);
		}),
		{ numRuns: 100, seed: 1 },
	);
});

test("restored from any state it goes on as if never interrupted; changed text is refused", () => {
	for (const order of ["epoch", "random"] as const) {
		const options = { ...optionsFor(400, 7), order };
		const whole = new WindowStream(options);
		const sizes = [3, 20, 8, 1, 40, 5, 5, 13];
		const steps = sizes.map((size) => whole.next(size));
		for (let stop = 0; stop <= sizes.length; stop++) {
			const first = new WindowStream(options);
			for (const size of sizes.slice(0, stop)) first.next(size);
			const second = WindowStream.restore(JSON.parse(JSON.stringify(first.state)), options);
			for (const [i, size] of sizes.entries()) if (i >= stop) expect(second.next(size)).toEqual(steps[i]);
			expect(second.state).toEqual(whole.state);
		}
		for (const change of [{ seed: 2 }, { blockSize: 8 }, { tokens: textOf(401) }]) {
			expect(() => WindowStream.restore(whole.state, { ...options, ...change })).toThrow(
				expect.objectContaining({ code: "RESUME_DATA_CHANGED" }),
			);
		}
	}
});

test("evaluation has every token but the first as a label once", () => {
	fc.assert(
		fc.property(lengths, ([length, blockSize]) => {
			const labels: number[] = [];
			const heldOut = evaluationWindows(optionsFor(length, blockSize));
			for (const batch of heldOut.batches()) labels.push(...batch.labels);
			expect(labels).toEqual(Array.from({ length: length - 1 }, (_, i) => i + 1));
			expect(heldOut.supervisedTokens).toBe(labels.length);
		}),
		{ numRuns: 50, seed: 1 },
	);
});

test("of a long text, windows spread evenly over all of it are scored", () => {
	const heldOut = evaluationWindows({ ...optionsFor(1000, 8), most: 50 });
	const labels = [...heldOut.batches()].flatMap((batch) => [...batch.labels]);
	expect(labels).toHaveLength(48);
	expect(heldOut.supervisedTokens).toBe(48);
	expect(labels.filter((_, i) => i % 8 === 0)).toEqual([0, 160, 328, 496, 656, 824].map((start) => start + 1));
});

test("a text too short for one window is refused", () => {
	expect(() => new WindowStream(optionsFor(8, 8))).toThrow(expect.objectContaining({ code: "TEXT_TOO_SHORT" }));
	expect(new WindowStream(optionsFor(9, 8)).examplesPerEpoch).toBe(1);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { BatchStream, type BatchStreamOptions, evaluationBatches, type TrainingStep } from "./batch-stream.ts";
import { ExampleStore } from "./example-store.ts";

/** A store of `count` examples with lengths from 2 to 120, mostly short; the first id of each is its index. */
function storeOf(count: number, seed = 1): ExampleStore {
	const store = new ExampleStore();
	const rng = new Rng(seed);
	for (let i = 0; i < count; i++) {
		const length = 2 + Math.floor(119 * rng.uniform() ** 2);
		const ids = Int32Array.from({ length }, (_, t) => (t === 0 ? i : 1000 + t));
		const supervised = new Uint8Array(length - 1).fill(1, rng.integer(length - 1));
		store.add({ ids, supervised }, { conversation: i, line: i + 1 });
	}
	return store;
}

const optionsFor = (store: ExampleStore): BatchStreamOptions => ({
	store,
	seed: 7,
	tokenBudget: 512,
	groupSize: 4,
	groupsPerWindow: 5,
});
/** Everything in a step, as a string that compares fast. */
const bytesOf = (step: TrainingStep) =>
	JSON.stringify(step, (_, value) =>
		ArrayBuffer.isView(value) ? Buffer.from(value.buffer).toString("base64") : value,
	);
const sizes = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 12 });
const all = (count: number) => Array.from({ length: count }, (_, i) => i);
const sorted = (items: Iterable<number>) => [...items].sort((a, b) => a - b);

test("every example comes exactly once an epoch, whatever the batch sizes", () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 150 }), sizes, (count, batchSizes) => {
			using store = storeOf(count);
			const stream = new BatchStream(optionsFor(store));
			let draw = 0;
			for (let epoch = 0; epoch < 3; epoch++) {
				const seen: number[] = [];
				const tokens: number[] = [];
				for (let ends = false; !ends; ) {
					const step = stream.next(batchSizes[draw++ % batchSizes.length] as number);
					expect(step.epoch).toBe(epoch);
					seen.push(...step.indices);
					// The micro-batches hold the examples that the step names.
					for (const { ids, batch, time } of step.microBatches) {
						for (let b = 0; b < batch; b++) tokens.push(ids[b * time] as number);
					}
					ends = step.endsEpoch;
				}
				expect(sorted(seen)).toEqual(all(count));
				expect(sorted(tokens)).toEqual(all(count));
			}
			expect(stream.state).toMatchObject({ epoch: 3, position: 0, examples: 3 * count });
			expect(stream.state.supervisedTokens).toBe(3 * store.supervisedTokens);
		}),
		{ numRuns: 60, seed: 1 },
	);
});

test("restored from any state, through JSON, it goes on as if never interrupted", () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 60 }), sizes, fc.nat(30), (count, batchSizes, stop) => {
			using store = storeOf(count);
			const sizeAt = (i: number) => batchSizes[i % batchSizes.length] as number;
			const whole = new BatchStream(optionsFor(store));
			const steps = Array.from({ length: 40 }, (_, i) => whole.next(sizeAt(i)));
			const first = new BatchStream(optionsFor(store));
			for (let i = 0; i < stop; i++) first.next(sizeAt(i));
			const second = BatchStream.restore(JSON.parse(JSON.stringify(first.state)), optionsFor(store));
			for (let i = stop; i < 40; i++) expect(bytesOf(second.next(sizeAt(i)))).toBe(bytesOf(steps[i] as TrainingStep));
			expect(second.state).toEqual(whole.state);
		}),
		{ numRuns: 40, seed: 1 },
	);
});

test("epochs and seeds differ in their order", () => {
	using store = storeOf(64);
	const epochs = (seed: number) => {
		const stream = new BatchStream({ ...optionsFor(store), seed });
		return [stream.next(64), stream.next(64)].map(({ indices }) => [...indices]);
	};
	const [first, second] = epochs(1);
	expect(first).not.toEqual(second);
	expect(epochs(2)[0]).not.toEqual(first);
	expect(epochs(1)).toEqual([first, second]);
});

test("trains on the indices given, and on them alone", () => {
	using store = storeOf(30);
	const indices = Uint32Array.of(3, 5, 29);
	const stream = new BatchStream({ ...optionsFor(store), indices });
	expect(sorted(stream.next(10).indices)).toEqual([3, 5, 29]);
	expect(stream.examplesPerEpoch).toBe(3);
	expect(() => new BatchStream({ ...optionsFor(store), indices: new Uint32Array() })).toThrow(
		expect.objectContaining({ code: "NOTHING_TO_TRAIN_ON" }),
	);
});

test("padding stays under 5 % at batch size 8, and batches are not sorted by length over the epoch", () => {
	using store = storeOf(2000);
	const stream = new BatchStream({ store, seed: 1, tokenBudget: 2048 });
	let tokens = 0;
	let slots = 0;
	const means: number[] = [];
	for (let ends = false; !ends; ) {
		const step = stream.next(8);
		tokens += step.tokens;
		slots += step.slots;
		means.push(step.tokens / step.examples);
		ends = step.endsEpoch;
	}
	expect(1 - tokens / slots).toBeLessThan(0.05);
	const half = means.length / 2;
	const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
	expect(Math.abs(mean(means.slice(0, half)) / mean(means.slice(half)) - 1)).toBeLessThan(0.1);
});

test("evaluation goes over every example once", () => {
	using store = storeOf(300);
	const firsts: number[] = [];
	let labels = 0;
	for (const { ids, batch, time, rows } of evaluationBatches({ store, tokenBudget: 512 })) {
		for (let b = 0; b < batch; b++) firsts.push(ids[b * time] as number);
		labels += rows.length;
	}
	expect(sorted(firsts)).toEqual(all(300));
	expect(labels).toBe(store.supervisedTokens);
});

// Silent failures of order at resume, from the field: batches that repeat, epochs that are skipped.
import { expect, test } from "vitest";
import { BatchStream, ExampleStore, TokenArchive, WindowStream } from "../../src/data/index.ts";

const store = new ExampleStore();
for (let i = 0; i < 21; i++) {
	store.add(
		{ ids: Int32Array.from({ length: 3 + (i % 9) }, () => i), supervised: new Uint8Array(2 + (i % 9)).fill(1) },
		{ conversation: i, line: i },
	);
}
const options = { store, seed: 1, tokenBudget: 64, groupSize: 4 };

test("batch order repeats after resume (nanoGPT #467)", () => {
	const whole = new BatchStream(options);
	const seen = Array.from({ length: 12 }, () => [...whole.next(4).indices].join());
	const first = new BatchStream(options);
	for (let i = 0; i < 5; i++) first.next(4);
	const second = BatchStream.restore(JSON.parse(JSON.stringify(first.state)), options);
	expect(Array.from({ length: 7 }, () => [...second.next(4).indices].join())).toEqual(seen.slice(5));

	const tokens = new TokenArchive();
	tokens.append(Int32Array.from({ length: 500 }, (_, i) => i));
	const windows = { tokens, blockSize: 8, seed: 1, tokenBudget: 64, order: "random" as const };
	const stream = new WindowStream(windows);
	const before = [stream.next(3), stream.next(3)].map(({ microBatches }) => microBatches[0]?.ids);
	const resumed = WindowStream.restore(stream.state, windows).next(3).microBatches[0]?.ids;
	expect(before).not.toContainEqual(resumed);
	expect(resumed).toEqual(stream.next(3).microBatches[0]?.ids);
});

test("epoch skipped at the boundary (verl #7401)", () => {
	// Stopped at the very end of an epoch, the state stands at the start of the next, which is then seen whole.
	const stream = new BatchStream(options);
	while (!stream.next(4).endsEpoch);
	expect(stream.state).toMatchObject({ epoch: 1, position: 0, examples: 21 });
	const resumed = BatchStream.restore(stream.state, options);
	const seen: number[] = [];
	for (let ends = false; !ends; ) {
		const step = resumed.next(4);
		expect(step.epoch).toBe(1);
		seen.push(...step.indices);
		ends = step.endsEpoch;
	}
	expect(seen.sort((a, b) => a - b)).toEqual(Array.from({ length: 21 }, (_, i) => i));
});

test("resuming with another seed or grouping, which would repeat and skip examples, is refused", () => {
	const { state } = new BatchStream(options);
	for (const change of [{ seed: 2 }, { groupSize: 8 }, { indices: Uint32Array.of(1, 2, 3) }]) {
		expect(() => BatchStream.restore(state, { ...options, ...change })).toThrow(
			expect.objectContaining({ code: "RESUME_DATA_CHANGED" }),
		);
	}
});

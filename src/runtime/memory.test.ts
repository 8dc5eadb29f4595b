// What must survive the garbage collector, and what must not: arrays that native code points at, and native objects.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, test } from "vitest";
import { encodeModel } from "./onnx.fixture.ts";
import { Session } from "./session.ts";
import { Tensor } from "./tensor.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Collects, moves what can be moved, and lets finalizers run. */
async function collect(): Promise<void> {
	for (let i = 0; i < 4; i++) {
		gc();
		await new Promise((resolve) => setImmediate(resolve));
	}
}

const megabyte = 2 ** 20;
const rss = () => process.memoryUsage.rss() / megabyte;

/** Megabytes by which memory grows over `times` of `work`, when some have warmed it up. */
async function growth(times: number, work: (i: number) => Promise<void>): Promise<number> {
	let warm = 0;
	for (let i = -times / 2; i < times; i++) {
		if (i % Math.ceil(times / 8) === 0) await collect();
		if (i === 0) warm = rss();
		await work(i);
	}
	await collect();
	return rss() - warm;
}

const add = encodeModel({
	nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }],
	inputs: [
		{ name: "a", shape: ["n"] },
		{ name: "b", shape: ["n"] },
	],
	outputs: [{ name: "c", shape: ["n"] }],
});
const filled = (value: number, length: number) => Tensor.from(new Float32Array(length).fill(value), [length]);

let session: Session;
beforeAll(async () => {
	session = await Session.create(add);
});

describe("survives", () => {
	// At most 64 bytes: such an array lives in V8's heap, and moves, unless it was made to leave.
	test.each([1, 16, 100_000])("the library, and a binding over arrays of %i elements that only it holds", async (n) => {
		const c = filled(0, n);
		const bound = session.bind({ a: filled(1, n), b: filled(2, n) }, { c });
		for (let i = 0; i < 3; i++) {
			// Garbage of the same size would soon lie where a freed array was.
			const garbage = Array.from({ length: 50 }, () => filled(9, n));
			await collect();
			c.data.fill(0 as never);
			bound.runSync();
			expect(c.data[0]).toBe(3);
			await bound.run();
			expect(c.data[n - 1]).toBe(3);
			expect(garbage.length).toBe(50);
		}
		bound.dispose();
	});

	test("an initializer that only its session holds", async () => {
		const model = encodeModel({
			nodes: [{ op: "Add", inputs: ["x", "w"], outputs: ["y"] }],
			inputs: [{ name: "x", shape: [1000] }],
			outputs: [{ name: "y", shape: [1000] }],
			initializers: [{ name: "w", shape: [1000] }],
		});
		const owner = await Session.create(model, { initializers: { w: filled(2, 1000) } });
		await collect();
		const garbage = Array.from({ length: 50 }, () => filled(9, 1000));
		expect(owner.runSync({ x: filled(1, 1000) }, { y: "allocate" }).y?.data[999]).toBe(3);
		expect(garbage.length).toBe(50);
		owner.dispose();
	});

	test("a run whose tensors and session nobody else holds", async () => {
		const start = async () => {
			const own = await Session.create(add);
			return own.run({ a: filled(1, 100_000), b: filled(2, 100_000) }, { c: "allocate" });
		};
		const running = [start(), start(), start(), start()];
		await collect();
		for (const { c } of await Promise.all(running)) expect(c?.data[99_999]).toBe(3);
	});
});

describe("goes", () => {
	test("a tensor, its array and its binding, when nobody holds them", async () => {
		const refs = (() => {
			const a = filled(1, 1000);
			const bound = session.bind({ a, b: a }, { c: filled(0, 1000) });
			bound.runSync();
			session.runSync({ a, b: a }, { c: "allocate" });
			return [a, a.data, bound].map((object) => new WeakRef<object>(object));
		})();
		// Twice: the tensor can go only after its binding has been finalized.
		await collect();
		await collect();
		expect(refs.map((ref) => ref.deref())).toEqual([undefined, undefined, undefined]);
	});

	test("what 10,000 runs make, disposed of or not", async () => {
		const grown = await growth(2_000, async (i) => {
			const [a, b, c] = [filled(1, 10_000), filled(2, 10_000), filled(0, 10_000)];
			session.runSync({ a, b }, { c });
			session.runSync({ a, b }, { c: "allocate" });
			await session.run({ a, b }, { c });
			await session.run({ a, b }, { c: "allocate" }, { signal: new AbortController().signal });
			const bound = session.bind({ a, b }, { c });
			bound.runSync();
			if (i % 10 === 0) expect(() => session.runSync({ a, b: filled(2, 9) }, { c: "allocate" })).toThrow("Add");
			if (i % 2 === 0) for (const owned of [bound, a, b, c]) owned.dispose();
		});
		// An output or an array left behind in each iteration would be 80 MB.
		expect(grown).toBeLessThan(40);
	});

	test("sessions, with 4 MB of initializer each", async () => {
		const size = megabyte;
		const model = encodeModel({
			nodes: [{ op: "Add", inputs: ["x", "w"], outputs: ["y"] }],
			inputs: [{ name: "x", shape: [size] }],
			outputs: [{ name: "y", shape: [size] }],
			initializers: [{ name: "w", shape: [size] }],
		});
		const x = filled(1, size);
		const y = filled(0, size);
		const grown = await growth(24, async (i) => {
			const own = await Session.create(model, { initializers: { w: filled(i, size) } });
			own.runSync({ x }, { y });
			expect(y.data[7]).toBe(i + 1);
			own.dispose();
		});
		// Left behind, they would be 96 MB.
		expect(grown).toBeLessThan(48);
	});
});

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { library, ORT_VERSION, runtimeVersion } from "./library.ts";
import { encodeModel, type TestNode } from "./onnx.fixture.ts";
import { PROOF_MODEL } from "./prove.ts";
import { Session } from "./session.ts";
import { Tensor } from "./tensor.ts";

const vector = (name: string) => ({ name, shape: ["n"] });
const matrix = (name: string) => ({ name, shape: ["n", "n"] });
const f32 = (...values: number[]) => Tensor.from(Float32Array.from(values), [values.length]);
const square = (size: number, value: number) => Tensor.from(new Float32Array(size * size).fill(value), [size, size]);

const addModel = encodeModel({
	nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }],
	inputs: [vector("a"), vector("b")],
	outputs: [vector("c")],
});

/** y = x^(2^count): work enough, in nodes enough, to be stopped between two of them. */
function powers(count: number) {
	const nodes = Array.from({ length: count }, (_, i): TestNode => {
		const x = i === 0 ? "x" : `h${i}`;
		return { op: "MatMul", inputs: [x, x], outputs: [i === count - 1 ? "y" : `h${i + 1}`] };
	});
	return encodeModel({ nodes, inputs: [matrix("x")], outputs: [matrix("y")] });
}

let add: Session;
beforeAll(async () => {
	add = await Session.create(addModel, { name: "adder" });
});
afterAll(() => add.dispose());

describe("running", () => {
	test("writes into the given tensor, or allocates", async () => {
		expect([add.inputs, add.outputs]).toEqual([["a", "b"], ["c"]]);
		const c = f32(0, 0);
		const result = await add.run({ a: f32(1, 2), b: f32(10, 20) }, { c });
		expect(result.c).toBe(c);
		expect([...c.data]).toEqual([11, 22]);
		const { c: allocated } = add.runSync({ b: f32(1, 2, 3), a: f32(10, 20, 30) }, { c: "allocate" });
		expect(allocated).toMatchObject({ shape: [3], data: Float32Array.of(11, 22, 33) });
	});

	test("a binding adds in place, and sees what is written between", async () => {
		const a = f32(0, 0);
		const step = Float32Array.of(1, 2);
		const b = Tensor.from(step, [2]);
		const bound = add.bind({ a, b }, { c: a });
		bound.runSync();
		await bound.run();
		expect([...a.data]).toEqual([2, 4]);
		step.fill(10);
		bound.runSync();
		expect([...a.data]).toEqual([12, 14]);
		bound.dispose();
	});

	test("only the asked outputs", async () => {
		const session = await Session.create(
			encodeModel({
				nodes: [
					{ op: "Neg", inputs: ["x"], outputs: ["minus"] },
					{ op: "Abs", inputs: ["x"], outputs: ["abs"] },
				],
				inputs: [vector("x")],
				outputs: [vector("minus"), vector("abs")],
			}),
		);
		expect(Object.keys(session.runSync({ x: f32(-1) }, { abs: "allocate" }))).toEqual(["abs"]);
		session.dispose();
	});

	test("leaves the event loop free, also many at once on one session", async () => {
		const session = await Session.create(powers(6), { threads: 1 });
		let turns = 0;
		const timer = setInterval(() => turns++, 1);
		const values = Array.from({ length: 12 }, (_, i) => i / 12);
		const results = await Promise.all(values.map((v) => session.run({ x: square(200, v / 200) }, { y: "allocate" })));
		clearInterval(timer);
		expect(turns).toBeGreaterThan(1);
		// A square of equal entries v/n has the powers v^k/n.
		for (const [i, { y }] of results.entries()) {
			expect(Number(y?.data[77]) * 200).toBeCloseTo((values[i] as number) ** 64, 4);
		}
		session.dispose();
	});

	test("more runs at once than koffi would queue", async () => {
		const runs = Array.from({ length: 600 }, (_, i) => add.run({ a: f32(i), b: f32(1) }, { c: "allocate" }));
		const results = await Promise.all(runs);
		expect(results.map(({ c }) => c?.data[0])).toEqual(runs.map((_, i) => i + 1));
	});

	test("the same bits again, in another session", async () => {
		const data = Float32Array.from({ length: 300 * 300 }, (_, i) => Math.sin(i) / 20);
		const bits = async () => {
			const session = await Session.create(powers(4), { threads: 2 });
			const { y } = await session.run({ x: Tensor.from(data, [300, 300]) }, { y: "allocate" });
			session.dispose();
			return Buffer.from(y?.data.buffer as ArrayBuffer);
		};
		const first = await bits();
		expect(first.equals(await bits())).toBe(true);
		expect(new Float32Array(first.buffer, first.byteOffset, 9).some((value) => value !== 0)).toBe(true);
	});
});

describe("options", () => {
	test.each(["none", "basic", "extended", "all"] as const)("optimization %s", async (optimization) => {
		const session = await Session.create(addModel, { optimization, memoryPattern: true, arena: false, threads: 1 });
		expect(session.runSync({ a: f32(1), b: f32(2) }, { c: "allocate" }).c?.data[0]).toBe(3);
		session.dispose();
	});

	test("a profile is written on dispose", async () => {
		const directory = await mkdtemp(join(tmpdir(), "attune-runtime-"));
		const session = await Session.create(addModel, { profile: join(directory, "trace") });
		session.runSync({ a: f32(1), b: f32(2) }, { c: "allocate" });
		session.dispose();
		const [file] = await readdir(directory);
		expect(await readFile(join(directory, file as string), "utf8")).toContain('"op_name" : "Add"');
		await rm(directory, { recursive: true });
	});

	test("an unknown configuration value is an error", async () => {
		await expect(
			Session.create(addModel, { threads: 2, config: { "session.intra_op_thread_affinities": "nonsense" } }),
		).rejects.toThrow("session: ");
	});
});

describe("initializers", () => {
	const model = encodeModel({
		nodes: [
			{ op: "Neg", inputs: ["folded"], outputs: ["minus"] },
			{ op: "Add", inputs: ["w", "minus"], outputs: ["sum"] },
			{ op: "Mul", inputs: ["x", "sum"], outputs: ["h"] },
			{ op: "Add", inputs: ["h", "w"], outputs: ["y"] },
		],
		inputs: [vector("x")],
		outputs: [vector("y")],
		initializers: [
			{ name: "w", shape: [2] },
			{ name: "folded", shape: [2] },
		],
	});

	test("are used, folded or not, and shared in memory", async () => {
		const weights = Float32Array.of(1, 2);
		const w = Tensor.from(weights, [2]);
		const folded = f32(3, 4);
		const session = await Session.create(model, { initializers: { w, folded } });
		expect(session.inputs).toEqual(["x"]);
		const run = () => session.runSync({ x: f32(1, 1) }, { y: "allocate" }).y?.data;
		expect(run()).toEqual(Float32Array.of(1 - 3 + 1, 2 - 4 + 2));
		weights.set([100, 200]);
		// The last Add reads w where it lies; what could be folded has been.
		expect(run()).toEqual(Float32Array.of(1 - 3 + 100, 2 - 4 + 200));
		w.dispose();
		expect(run()).toEqual(Float32Array.of(98, 198));
		session.dispose();
	});

	test.each([
		["missing", {}, "for initializer: w"],
		["of another shape", { w: f32(1), folded: f32(3, 4) }, "dimensions do not match"],
		["unknown", { w: f32(1, 2), folded: f32(3, 4), v: f32(1) }, "with name v"],
	])("%s: an error", async (_, initializers, message) => {
		await expect(Session.create(model, { initializers })).rejects.toThrow(message);
	});
});

describe("errors", () => {
	test("bytes that are no model", async () => {
		await expect(Session.create(Uint8Array.of(1, 2, 3), { name: "broken" })).rejects.toMatchObject({
			code: "ONNX_RUNTIME",
			where: "broken",
			message: "broken: Failed to load model because protobuf parsing failed.",
		});
		await expect(Session.create(new Uint8Array(0))).rejects.toThrow("session: ");
	});

	test("an unknown operator is named", async () => {
		const model = encodeModel({
			nodes: [{ op: "NoSuchOp", inputs: ["x"], outputs: ["y"] }],
			inputs: [vector("x")],
			outputs: [vector("y")],
		});
		await expect(Session.create(model)).rejects.toThrow("NoSuchOp");
	});

	test("unknown, missing and misspelt names", () => {
		const c = f32(0);
		expect(() => add.runSync({ a: f32(1) }, { c })).toThrow("adder: no value for input b");
		expect(() => add.runSync({ a: f32(1), b: f32(1), weights: f32(1) }, { c })).toThrow('no input "weights"');
		expect(() => add.bind({ a: f32(1), b: f32(1) }, { d: c })).toThrow('no output "d": did you mean c?');
	});

	test("a wrong shape or type names the node, and the tensors stay good", () => {
		const a = f32(1, 2);
		const wrong = () => add.runSync({ a, b: f32(1, 2, 3) }, { c: "allocate" });
		expect(wrong).toThrow(/adder: .*running Add node/);
		expect(() => add.runSync({ a, b: f32(1, 2) }, { c: f32(0) })).toThrow("shape {1}");
		expect(() => add.runSync({ a, b: Tensor.from(new Float64Array(2), [2]) }, { c: "allocate" })).toThrow("double");
		expect(add.runSync({ a, b: a }, { c: "allocate" }).c?.data).toEqual(Float32Array.of(2, 4));
	});

	test.each([true, false])("out of memory has its own code (arena: %s)", async (arena) => {
		const expand = encodeModel({
			nodes: [{ op: "Expand", inputs: ["x", "shape"], outputs: ["y"], name: "huge" }],
			inputs: [
				{ name: "x", shape: [1] },
				{ name: "shape", type: 7, shape: [2] },
			],
			outputs: [{ name: "y", shape: ["a", "b"] }],
		});
		const session = await Session.create(expand, { arena });
		// 64 TiB of float32: no machine of ours has them, even as address space.
		const shape = Tensor.from(BigInt64Array.of(2n ** 24n, 2n ** 24n), [2]);
		await expect(session.run({ x: f32(1), shape }, { y: "allocate" })).rejects.toMatchObject({
			code: "OUT_OF_MEMORY",
			message: expect.stringContaining("huge"),
		});
		const small = Tensor.from(BigInt64Array.of(1n, 2n), [2]);
		expect(session.runSync({ x: f32(7), shape: small }, { y: "allocate" }).y?.data).toEqual(Float32Array.of(7, 7));
		session.dispose();
	});
});

describe("cancellation", () => {
	test("stops a run between nodes, rejects with the reason, and the tensors stay good", async () => {
		const session = await Session.create(powers(400), { threads: 1 });
		const x = square(256, 1 / 256);
		const y = square(256, 0);
		const bound = session.bind({ x }, { y });
		const controller = new AbortController();
		const running = bound.run({ signal: controller.signal });
		setTimeout(() => controller.abort(new Error("changed my mind")), 5);
		await expect(running).rejects.toThrow("changed my mind");
		expect(y.data[0]).toBe(0);
		await bound.run({ signal: new AbortController().signal });
		expect(y.data[0]).toBe(1 / 256);
		bound.dispose();
		session.dispose();
	});

	test("before it starts, nothing runs", async () => {
		const c = f32(0);
		const signal = AbortSignal.abort(new Error("too late"));
		await expect(add.run({ a: f32(1), b: f32(1) }, { c }, { signal })).rejects.toThrow("too late");
		expect(c.data[0]).toBe(0);
	});
});

describe("disposing", () => {
	test("while runs are under way waits for them", async () => {
		const session = await Session.create(powers(20), { threads: 1 });
		const x = square(128, 1 / 128);
		const running = [1, 2, 3, 4].map(() => session.run({ x }, { y: "allocate" }));
		session.dispose();
		x.dispose();
		for (const { y } of await Promise.all(running)) expect(y?.data[0]).toBe(1 / 128);
		expect(() => session.runSync({ x }, { y: "allocate" })).toThrow("used after dispose()");
		session.dispose();
	});

	test("a binding outlives its session and its tensors' dispose, not its own", () => {
		const a = f32(1);
		const c = f32(0);
		const bound = add.bind({ a, b: a }, { c });
		a.dispose();
		bound.runSync();
		expect(c.data[0]).toBe(2);
		bound.dispose();
		expect(() => bound.runSync()).toThrow("adder: used after dispose()");
	});

	test("a binding runs once at a time", async () => {
		const a = f32(1);
		const bound = add.bind({ a, b: a }, { c: f32(0) });
		const first = bound.run();
		expect(() => bound.runSync()).toThrow("already running");
		await expect(bound.run()).rejects.toThrow("already running");
		await first;
		bound.dispose();
	});
});

test("the library is the pinned one, and the package agrees", async () => {
	const manifest = JSON.parse(await readFile(join(import.meta.dirname, "../../package.json"), "utf8"));
	expect(manifest.dependencies["onnxruntime-node"]).toBe(ORT_VERSION);
	expect(runtimeVersion()).toBe(ORT_VERSION);
	expect(library()).toBe(library());
});

test("the proof's model is the one written here", () => {
	const one = { shape: [1] };
	const model = encodeModel({
		nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }],
		inputs: [
			{ name: "a", ...one },
			{ name: "b", ...one },
		],
		outputs: [{ name: "c", ...one }],
	});
	expect(Buffer.from(model).toString("base64")).toBe(PROOF_MODEL);
});

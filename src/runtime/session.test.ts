import { describe, expect, test } from "vitest";
import { encodeModel } from "./onnx.fixture.ts";
import { PROOF_MODEL } from "./prove.ts";
import { Session } from "./session.ts";
import { Tensor } from "./tensor.ts";

const add = encodeModel({
	nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }],
	inputs: [
		{ name: "a", shape: ["n"] },
		{ name: "b", shape: ["n"] },
	],
	outputs: [{ name: "c", shape: ["n"] }],
});
const f32 = (...values: number[]) => Tensor.from(Float32Array.from(values), [values.length]);

describe("running", () => {
	test("writes into the given tensor, or allocates", async () => {
		const session = await Session.create(add);
		expect([session.inputs, session.outputs]).toEqual([["a", "b"], ["c"]]);
		const c = f32(0, 0);
		await session.run({ a: f32(1, 2), b: f32(10, 20) }, { c });
		expect([...c.data]).toEqual([11, 22]);
		const { c: allocated } = session.runSync({ b: f32(1, 2, 3), a: f32(10, 20, 30) }, { c: "allocate" });
		expect(allocated?.shape).toEqual([3]);
		expect([...(allocated as Tensor).data]).toEqual([11, 22, 33]);
		session.dispose();
	});

	test("a binding adds in place, again and again", async () => {
		const session = await Session.create(add);
		const a = f32(0, 0);
		const bound = session.bind({ a, b: f32(1, 2) }, { c: a });
		bound.runSync();
		await bound.run();
		expect([...a.data]).toEqual([2, 4]);
		bound.dispose();
		session.dispose();
	});
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

// What must survive the garbage collector, and what must not.

import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { encodeModel } from "./onnx.fixture.ts";
import { Session } from "./session.ts";
import { Tensor } from "./tensor.ts";

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc") as () => void;

/** Collects, and lets finalizers run. */
async function collect(): Promise<void> {
	for (let i = 0; i < 4; i++) {
		gc();
		await new Promise((resolve) => setImmediate(resolve));
	}
}

const add = encodeModel({
	nodes: [{ op: "Add", inputs: ["a", "b"], outputs: ["c"] }],
	inputs: [
		{ name: "a", shape: ["n"] },
		{ name: "b", shape: ["n"] },
	],
	outputs: [{ name: "c", shape: ["n"] }],
});

test("the library stays loaded, and a binding valid, over collections", async () => {
	const session = await Session.create(add);
	const c = Tensor.from(new Float32Array(1), [1]);
	// At most 64 bytes: such an array lives in V8's heap, and moves, unless it was made to leave.
	const small = (value: number) => Tensor.from(new Float32Array([value]), [1]);
	const bound = session.bind({ a: small(1), b: small(2) }, { c });
	for (let i = 0; i < 3; i++) {
		await collect();
		c.data[0] = 0;
		bound.runSync();
		expect(c.data[0]).toBe(3);
		await bound.run();
	}
	bound.dispose();
	session.dispose();
});

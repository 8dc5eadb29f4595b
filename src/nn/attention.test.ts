import { describe, expect, test } from "vitest";
import { checkOp } from "../autodiff/testing/check-op.ts";
import { Graph, mul, type Value } from "../graph/index.ts";
import { at, build, type Nd, nd } from "../graph/testing/array.ts";
import { interpret } from "../graph/testing/interpret.ts";
import { Rng } from "../util/rng.ts";
import { causalMask, causalSelfAttention } from "./attention.ts";

const [batch, time, heads, size] = [2, 4, 3, 2];
const channels = heads * size;
const positions = { shape: ["T"], dtype: "int64" as const, values: [0, 1, 2, 3] };
const sizes = { B: batch, T: time };

/** One position after the other, one head after the other. */
function slowAttention(qkv: Nd): Nd {
	return build([batch * time, channels], ([row, channel]) => {
		const [b, t] = [Math.floor((row as number) / time), (row as number) % time];
		const head = Math.floor((channel as number) / size);
		const element = (part: number, s: number, d: number) => at(qkv, [b * time + s, part * channels + head * size + d]);
		const weights: number[] = [];
		for (let s = 0; s <= t; s++) {
			let score = 0;
			for (let d = 0; d < size; d++) score += element(0, t, d) * element(1, s, d);
			weights.push(Math.exp(score / Math.sqrt(size)));
		}
		const total = weights.reduce((a, b) => a + b);
		return weights.reduce((sum, weight, s) => sum + (weight / total) * element(2, s, (channel as number) % size), 0);
	});
}

function attend(qkv: Value, positions: Value, dropout?: (weights: Value) => Value): Value {
	const mask = causalMask(positions);
	return causalSelfAttention(qkv, { heads, batch: "B", time: "T", mask, ...(dropout && { dropout }) });
}

function evaluate(qkv: Nd): Nd {
	const graph = new Graph();
	const x = graph.input("qkv", "float32", ["B*T", 3 * channels]);
	const ids = graph.input("ids", "int64", ["B", "T"]);
	const mixed = attend(x, graph.input("positions", "int64", ["T"]));
	const feeds = { qkv, positions: nd([time], positions.values), ids: build([batch, time], () => 0) };
	expect(ids.shape).toEqual(["B", "T"]);
	return interpret(graph, feeds)(mixed);
}

const rng = new Rng("attention");
const qkv = build([batch * time, 3 * channels], () => rng.normal());

describe("causal self-attention", () => {
	test("equals a loop over positions", () => {
		const [actual, expected] = [evaluate(qkv), slowAttention(qkv)];
		expect(actual.shape).toEqual(expected.shape);
		// The scale is a float32.
		expected.data.forEach((value, i) => {
			expect(actual.data[i]).toBeCloseTo(value, 6);
		});
	});

	test("nothing that comes later, and no other sequence, is seen", () => {
		const before = evaluate(qkv);
		const row = 2;
		const changed = evaluate(build(qkv.shape, (index) => at(qkv, index) + (index[0] === row ? 1 : 0)));
		const rows = [...Array(batch * time).keys()].filter((i) => {
			const part = ({ data }: Nd) => data.slice(i * channels, (i + 1) * channels).join();
			return part(before) !== part(changed);
		});
		expect(rows).toEqual([2, 3]);
	});

	test("gradients, by the interpreter and by ONNX Runtime", async () => {
		await checkOp({
			inputs: { ids: { shape: ["B", "T"], dtype: "int64" }, qkv: ["B*T", 3 * channels], positions },
			build: ({ qkv, positions }) => attend(qkv, positions),
			sizes,
		});
	});

	test("gradients with dropout on the weights", async () => {
		await checkOp({
			inputs: {
				ids: { shape: ["B", "T"], dtype: "int64" },
				qkv: ["B*T", 3 * channels],
				positions,
				kept: ["B", heads, "T", "T"],
			},
			build: ({ qkv, positions, kept }) => attend(qkv, positions, (weights) => mul(weights, kept)),
			sizes,
		});
	});
});

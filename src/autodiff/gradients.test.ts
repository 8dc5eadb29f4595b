// What `gradients` does between the rules: sums, what is left out, recomputation, errors. The rules are in ops.test.ts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
	add,
	concat,
	detach,
	fastGelu,
	Graph,
	GraphError,
	gather,
	gemm,
	layerNormalization,
	less,
	matMul,
	mul,
	neg,
	reciprocal,
	reduceMax,
	reduceMean,
	reduceSum,
	reshape,
	sigmoid,
	slice,
	softmax,
	split,
	sub,
	tanh,
	transpose,
	type Value,
	where,
} from "../graph/index.ts";
import { build as buildArray, type Nd } from "../graph/testing/array.ts";
import { interpret } from "../graph/testing/interpret.ts";
import { Rng } from "../util/rng.ts";
import { gradients, type Segment } from "./gradients.ts";
import { checkOp, expectClose, run } from "./testing/check-op.ts";

/** A graph with inputs of one shape, and the gradients of sum(y). */
function differentiate(
	write: (x: Value, w: Value) => Value,
	{ withRespectTo = ["x"], shape = [2, 2] }: { withRespectTo?: readonly ("x" | "w")[]; shape?: number[] } = {},
) {
	const graph = new Graph();
	const inputs = { x: graph.input("x", "float32", shape), w: graph.input("w", "float32", shape) };
	const y = write(inputs.x, inputs.w);
	const cotangent = graph.input("cotangent", "float32", y.shape);
	const before = graph.nodes.length;
	const found = gradients({ of: new Map([[y, cotangent]]), withRespectTo: withRespectTo.map((name) => inputs[name]) });
	return { graph, y, added: graph.nodes.slice(before), x: found.get(inputs.x), w: found.get(inputs.w) };
}

describe("random expressions", () => {
	const binary: Record<string, (a: Value, b: Value) => Value> = { add, sub, mul };
	/** From any value of rank 2 to one of rank 2 that broadcasts with [3, 3]. */
	const shaped: Record<string, (x: Value, b: Value) => Value> = {
		tanh,
		sigmoid,
		softmax: (x) => softmax(x),
		"softmax of columns": (x) => softmax(x, 0),
		reciprocal: (x) => reciprocal(add(mul(x, x), 1)),
		"sum of rows": (x) => reduceSum(x, { axes: [1], keepDims: true }),
		"mean of columns": (x) => reduceMean(x, { axes: [0], keepDims: true }),
		"mean of all": (x) => reshape(reduceMean(x), [1, 1]),
	};
	/** From [3, 3]s to [3, 3]. */
	const square: Record<string, (a: Value, b: Value) => Value> = {
		matMul,
		"gemm with itself": (a, b) => gemm(a, a, { c: b, transB: true }),
		transpose: (a) => transpose(a, [1, 0]),
		"layer norm": (a, b) =>
			layerNormalization(a, reshape(slice(b, { axis: 0, start: 0, end: 1 }), [3]), { epsilon: 0.1 }),
		"rows again": (a) => gather(a, a.graph.int64([2, 0, 2])),
		"two halves": (a, b) =>
			concat([slice(a, { axis: 1, start: 0, end: 1 }), slice(b, { axis: 1, start: 1, end: 3 })], 1),
		gelu: (a) => fastGelu(a),
		"the smaller": (a, b) => where(less(a, b), a, b),
		"split and joined": (a, b) => concat(split(concat([a, b], 0), { axis: 1, parts: 3 }).reverse(), 1),
	};
	const names = [...Object.keys(binary), ...Object.keys(shaped), ...Object.keys(square)];
	const program = fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(), fc.nat()), { minLength: 3, maxLength: 9 });

	test("gradients equal finite differences, and ONNX Runtime's the interpreter's", async () => {
		await fc.assert(
			fc.asyncProperty(program, async (steps) => {
				await checkOp({
					inputs: { a: [3, 3], b: [3, 3], c: [1, 3], d: [3, 1], e: [] },
					build: (inputs) => {
						const values: Value[] = Object.values(inputs);
						for (const [name, i, j] of steps) {
							const any = [i, j].map((at) => values[at % values.length] as Value) as [Value, Value];
							const full = values.filter(({ shape }) => shape.join() === "3,3");
							const squares = [i, j].map((at) => full[at % full.length] as Value) as [Value, Value];
							const ranked = any[0].shape.length === 2 ? any[0] : squares[0];
							const next =
								binary[name]?.(...any) ?? shaped[name]?.(ranked, any[1]) ?? (square[name]?.(...squares) as Value);
							// "split and joined" is twice as tall.
							values.push(next.shape[0] === 6 ? slice(next, { axis: 0, start: 1, end: 4 }) : next);
						}
						return values.slice(-2);
					},
					tolerance: 1e-4,
					numericTolerance: 1e-5,
				});
			}),
			{ numRuns: 60, seed: 2 },
		);
	});
});

describe("what is built", () => {
	test("a value used many times receives the sum", () => {
		const { graph, x } = differentiate((x) => add(mul(x, x), add(x, neg(mul(x, 3)))));
		const feeds = { x: array([1, 2, -1, 0]), cotangent: array([1, 1, 1, 10]) };
		// d/dx (x^2 + x - 3x) = 2x - 2
		expect([...interpret(graph, feeds)(x as Value).data]).toEqual([0, 2, -4, -20]);
	});

	test("undefined, and no nodes, for a value that nothing depends on", () => {
		const { added, w } = differentiate((x) => tanh(x), { withRespectTo: ["w"] });
		expect(w).toBeUndefined();
		expect(added).toEqual([]);
	});

	test("undefined when the only path goes through a comparison or an integer", () => {
		const { x } = differentiate((x, w) => where(less(x, 0), w, 1));
		expect(x).toBeUndefined();
	});

	test("a detached value counts as a constant", () => {
		const { graph, x, y } = differentiate((x) => mul(x, detach(tanh(x))));
		const feeds = { x: array([1, 2, -1, 0]), cotangent: array([1, 1, 1, 1]) };
		const value = interpret(graph, feeds);
		expect([...value(x as Value).data]).toEqual([1, 2, -1, 0].map(Math.tanh));
		expect([...value(y).data]).toEqual([1, 2, -1, 0].map((v) => v * Math.tanh(v)));
	});

	test("the cotangent itself for the output itself", () => {
		const { added, x } = differentiate((x) => x);
		expect(x?.name).toBe("cotangent");
		expect(added).toEqual([]);
	});

	test.each<[string, (x: Value, w: Value) => Value, number]>([
		["matMul", (x, w) => matMul(tanh(w), x), 1],
		["gemm", (x, w) => gemm(tanh(w), x), 1],
		["layerNormalization", (x, w) => layerNormalization(w, reshape(x, [4]), { epsilon: 1e-5 }), 5],
		["a tower of frozen layers below", (x, w) => mul(x, sigmoid(matMul(tanh(w), softmax(w)))), 1],
	])("nothing is computed for what is frozen: %s", (name, write, count) => {
		const { added } = differentiate(write, { shape: name === "layerNormalization" ? [1, 4] : [2, 2] });
		expect(added.map(({ op }) => op)).toHaveLength(count);
	});

	test("a wanted value in the middle stops the way down", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", [2]);
		const middle = tanh(x);
		const y = mul(middle, 2);
		const cotangent = graph.input("cotangent", "float32", [2]);
		const before = graph.nodes.length;
		const found = gradients({ of: new Map([[y, cotangent]]), withRespectTo: [middle] });
		expect(graph.nodes.slice(before).map(({ op }) => op)).toEqual(["Mul"]);
		expect(found.get(middle)).toBeDefined();
	});

	test("several outputs, one of them on the way to another", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", [2]);
		const middle = mul(x, 3);
		const y = mul(middle, 5);
		const one = graph.input("one", "float32", [2]);
		const found = gradients({
			of: new Map([
				[middle, one],
				[y, one],
			]),
			withRespectTo: [x, middle],
		});
		const value = interpret(graph, { x: array([1, 2], [2]), one: array([1, 1], [2]) });
		expect([...value(found.get(x) as Value).data]).toEqual([18, 18]);
		expect([...value(found.get(middle) as Value).data]).toEqual([6, 6]);
	});

	test("no outputs, no gradients", () => {
		expect(gradients({ of: new Map(), withRespectTo: [] }).size).toBe(0);
	});
});

// Wide matrices take another way through the rules of products; finite differences would take too long for them.
test.each<[string, number, number, (x: Value, w: Value) => Value]>([
	["gemm", 96, 130, (x, w) => gemm(x, w, { alpha: 0.5 })],
	["gemm", 130, 96, (x, w) => gemm(x, w, { alpha: 0.5 })],
	["gemm", 520, 560, (x, w) => gemm(x, w, { alpha: 0.5 })],
	["gemm", 560, 520, (x, w) => gemm(x, w, { alpha: 0.5 })],
	["gemm, transposed", 96, 130, (x, w) => gemm(x, transpose(w, [1, 0]), { transB: true, alpha: 0.5 })],
	["matMul of a stack", 96, 130, (x, w) => matMul(reshape(mul(x, 0.5), [1, 3, 96]), w)],
	["matMul of a stack", 130, 96, (x, w) => matMul(reshape(mul(x, 0.5), [1, 3, 130]), w)],
])("gradients of a wide %s, %d by %d, equal a loop", async (_, inner, columns, write) => {
	const rows = 3;
	const graph = new Graph();
	const x = graph.input("x", "float32", [rows, inner]);
	const w = graph.input("w", "float32", [inner, columns]);
	const y = write(x, w);
	const found = gradients({ of: new Map([[y, graph.input("g", "float32", y.shape)]]), withRespectTo: [x, w] });
	graph.output("dx", found.get(x) as Value);
	graph.output("dw", found.get(w) as Value);
	const rng = new Rng("wide");
	const random = (shape: readonly number[]) => buildArray(shape, () => Math.fround(rng.normal()));
	const feeds = { x: random([rows, inner]), w: random([inner, columns]), g: random(y.shape as number[]) };
	const { dx, dw } = await run(graph, feeds);
	const expected = { dx: new Float64Array(rows * inner), dw: new Float64Array(inner * columns) };
	for (let n = 0; n < rows; n++) {
		for (let i = 0; i < inner; i++) {
			for (let o = 0; o < columns; o++) {
				const g = 0.5 * (feeds.g.data[n * columns + o] as number);
				expected.dx[n * inner + i] =
					(expected.dx[n * inner + i] as number) + g * (feeds.w.data[i * columns + o] as number);
				expected.dw[i * columns + o] =
					(expected.dw[i * columns + o] as number) + g * (feeds.x.data[n * inner + i] as number);
			}
		}
	}
	expectClose(dx as Nd, { shape: [rows, inner], data: expected.dx }, { tolerance: 1e-5, what: "dx" });
	expectClose(dw as Nd, { shape: [inner, columns], data: expected.dw }, { tolerance: 1e-5, what: "dw" });
});

describe("recomputed segments", () => {
	const width = 4;
	type Step = "gemm" | "norm" | "gelu" | "residual" | "softmax" | "earlier";
	const block = fc.array(fc.constantFrom<Step>("gemm", "norm", "gelu", "residual", "softmax", "earlier"), {
		minLength: 1,
		maxLength: 6,
	});

	/** Blocks from [N, 4] to [N, 4]; the values that `earlier` brings in come from inside of former blocks. */
	function write(blocks: Step[][], recompute: boolean) {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["N", width]);
		const w = graph.input("w", "float32", [width, width]);
		const bias = graph.input("bias", "float32", [width]);
		const segments: Segment[] = [];
		const inside: Value[] = [x];
		let value = x;
		for (const steps of blocks) {
			const start = graph.nodes.length;
			const input = value;
			for (const step of steps) {
				if (step === "gemm") value = gemm(value, w, { c: bias });
				else if (step === "norm") value = layerNormalization(value, bias, { epsilon: 1e-2 });
				else if (step === "gelu") value = fastGelu(value);
				else if (step === "residual") value = add(value, input);
				else if (step === "softmax") value = mul(softmax(value), value);
				else value = mul(value, sigmoid(inside[Math.floor(inside.length / 2)] as Value));
				inside.push(value);
			}
			segments.push({ start, end: graph.nodes.length });
		}
		const cotangent = graph.input("cotangent", "float32", ["N", width]);
		const found = gradients({
			of: new Map([[value, cotangent]]),
			withRespectTo: [x, w, bias],
			...(recompute && { recompute: segments }),
		});
		for (const input of [x, w, bias]) {
			const gradient = found.get(input);
			if (gradient) graph.output(`gradient.${input.name}`, gradient);
		}
		return graph;
	}

	test("give the same gradients, to the last bit in ONNX Runtime", async () => {
		const rng = new Rng("recompute");
		const random = (...shape: number[]) => buildArray(shape, () => Math.fround(rng.normal()));
		const feeds = { x: random(3, width), w: random(width, width), bias: random(width), cotangent: random(3, width) };
		await fc.assert(
			fc.asyncProperty(fc.array(block, { minLength: 1, maxLength: 4 }), async (blocks) => {
				const plain = write(blocks, false);
				const again = write(blocks, true);
				expect([...again.outputs.keys()]).toEqual([...plain.outputs.keys()]);
				const [expected, actual] = [interpret(plain, feeds), interpret(again, feeds)];
				for (const [name, value] of plain.outputs) {
					const found = actual(again.outputs.get(name) as Value);
					expectClose(found, expected(value), { tolerance: 0, what: name });
				}
				expect(await run(again, feeds)).toEqual(await run(plain, feeds));
			}),
			{ numRuns: 40, seed: 1 },
		);
	});

	test("whose end nobody uses pass on what their inside receives", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", [2]);
		const inside = tanh(x);
		neg(inside);
		const recompute = [{ start: 0, end: graph.nodes.length }];
		const of = new Map([[mul(inside, 2), graph.input("cotangent", "float32", [2])]]);
		const gradient = gradients({ of, withRespectTo: [x], recompute }).get(x) as Value;
		const value = interpret(graph, { x: array([0, 1], [2]), cotangent: array([1, 1], [2]) });
		expect(value(gradient).data[1]).toBeCloseTo(2 * (1 - Math.tanh(1) ** 2), 12);
	});

	test("compute the inside once more, held back until the gradient of their end is there", () => {
		const graph = write([["gemm", "gelu", "gemm", "residual"], ["gelu"]], true);
		const held = graph.nodes.filter(({ op }) => op === "Shape");
		expect(held.length).toBeGreaterThan(0);
		expect(graph.nodes.filter(({ op }) => op === "FastGelu")).toHaveLength(4);
	});
});

describe("errors", () => {
	test.each<[string, (x: Value, w: Value) => Value, string]>([
		["ReduceMax", (x) => reduceMax(x), "gradient of ReduceMax(x: float32[2, 2]): the operator has no gradient"],
		[
			"SkipLayerNormalization",
			(x, w) =>
				x.graph.add("SkipLayerNormalization", [
					x,
					x,
					reshape(slice(w, { axis: 0, start: 0, end: 1 }), [2]),
				])[0] as Value,
			"gradient of SkipLayerNormalization(x: float32[2, 2], x: float32[2, 2], Reshape.",
		],
		[
			"Gather along another axis",
			(x) => gather(x, x.graph.int64([0, 1]), 1),
			"only a lookup along axis 0 has a gradient",
		],
		[
			"ScatterElements that writes over",
			(x) => {
				const indices = x.graph.constant(BigInt64Array.of(0n, 0n), [1, 2], "int64");
				return x.graph.add("ScatterElements", [x, indices, slice(x, { axis: 0, start: 0, end: 1 })], {
					axis: 0,
				})[0] as Value;
			},
			"only reduction=add has a gradient",
		],
		[
			"a slice along two axes",
			(x) => x.graph.add("Slice", [x, x.graph.int64([0, 0]), x.graph.int64([1, 1]), x.graph.int64([0, 1])])[0] as Value,
			"only a slice along one axis has a gradient",
		],
		[
			"the statistics of a LayerNormalization",
			(x) => x.graph.add("LayerNormalization", [x, reshape(slice(x, { axis: 0, start: 0, end: 1 }), [2])])[1] as Value,
			"only its first output has a gradient",
		],
	])("named operator and values: %s", (_, write, message) => {
		expect(() => differentiate(write)).toThrow(GraphError);
		expect(() => differentiate(write)).toThrow(message);
	});

	test("the mean over an axis without a known size", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["N", 2]);
		const y = reduceMean(x);
		const of = new Map([[y, graph.input("cotangent", "float32", [])]]);
		expect(() => gradients({ of, withRespectTo: [x] })).toThrow(
			"gradient of ReduceMean(x: float32[N, 2]): axis 0 of x has no known size",
		);
	});

	test("a cotangent of another shape", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["N", 2]);
		const of = new Map([[tanh(x), graph.input("g", "float32", ["N", 1])]]);
		expect(() => gradients({ of, withRespectTo: [x] })).toThrow(
			/the cotangent of Tanh\.\d+: float32\[N, 2\] is g: float32\[N, 1\]/,
		);
	});
});

function array(values: number[], shape = [2, 2]): Nd {
	return { shape, data: Float64Array.from(values) };
}

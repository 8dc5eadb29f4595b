// What is checked while a graph is built. Each message names the operator, its values with types and shapes, and the reason.
import { describe, expect, test } from "vitest";
import {
	add,
	bitShift,
	bitwiseXor,
	concat,
	div,
	exp,
	expand,
	fastGelu,
	Graph,
	GraphError,
	gather,
	gatherElements,
	gemm,
	after as heldBack,
	layerNormalization,
	matMul,
	mul,
	neg,
	reduceSum,
	reshape,
	scatterAddRows,
	shapeOf,
	slice,
	softmax,
	split,
	transpose,
	type Value,
	where,
} from "./index.ts";
import { nd } from "./testing/array.ts";
import { interpret } from "./testing/interpret.ts";

function inputs() {
	const graph = new Graph();
	return {
		graph,
		x: graph.input("x", "float32", ["B", 3]),
		y: graph.input("y", "float32", [4, 3]),
		row: graph.input("row", "float32", [3]),
		double: graph.input("double", "float64", [3]),
		ids: graph.input("ids", "int64", ["B"]),
		bits: graph.input("bits", "uint32", [3]),
		flag: graph.input("flag", "bool", [3]),
	};
}
type Inputs = ReturnType<typeof inputs>;

describe("shapes and types that do not fit", () => {
	test.each<[string, (v: Inputs) => unknown]>([
		["Add(x: float32[B, 3], y: float32[4, 3]): shapes [B, 3] and [4, 3] do not broadcast", ({ x, y }) => add(x, y)],
		["Add(x: float32[B, 3], double: float64[3]): types differ: float32 and float64", ({ x, double }) => add(x, double)],
		['Mul(flag: bool[3], flag: bool[3]): "flag" is bool, not a number', ({ flag }) => mul(flag, flag)],
		[
			"Div(double: float64[3], constant.0: float32[]): types differ: float64 and float32",
			({ double }) => div(double, 2),
		],
		['Exp(ids: int64[B]): "ids" is int64, not floating point', ({ ids }) => exp(ids)],
		['Neg(flag: bool[3]): "flag" is bool, not a number', ({ flag }) => neg(flag)],
		['Softmax(bits: uint32[3]): "bits" is uint32, not floating point', ({ bits }) => softmax(bits)],
		["Softmax(row: float32[3]): axis 1 is outside rank 1", ({ row }) => softmax(row, 1)],
		[
			'BitwiseXor(row: float32[3], row: float32[3]): "row" is float32, not an integer',
			({ row }) => bitwiseXor(row, row),
		],
		[
			'BitShift(ids: int64[B], ids: int64[B]): "ids" is int64, not an unsigned integer',
			({ ids }) => bitShift(ids, ids, "LEFT"),
		],
		[
			"BitShift(bits: uint32[3], bits: uint32[3]): direction is left",
			({ graph, bits }) => graph.add("BitShift", [bits, bits], { direction: "left" }),
		],
		[
			"Where(row: float32[3], row: float32[3], row: float32[3]): the condition is float32, not bool",
			({ row }) => where(row, row, row),
		],
		[
			"FastGelu(x: float32[B, 3], y: float32[4, 3]): the bias is float32[4, 3], expected float32[3]",
			({ x, y }) => fastGelu(x, y),
		],
		[
			"MatMul(x: float32[B, 3], y: float32[4, 3]): the inner sizes 3 and 4 of [B, 3] and [4, 3] differ",
			({ x, y }) => matMul(x, y),
		],
		["MatMul(x: float32[B, 3], row: float32[3]): both sides need rank 2 or more", ({ x, row }) => matMul(x, row)],
		[
			"Gemm(x: float32[B, 3], y: float32[4, 3], y: float32[4, 3]): shapes [4, 3] and [B, 4] do not broadcast",
			({ x, y }) => gemm(x, y, { c: y, transB: true }),
		],
		[
			"Gemm(x: float32[B, 3], y: float32[4, 3], double: float64[3]): types differ: float32 and float64",
			({ x, y, double }) => gemm(x, y, { c: double, transB: true }),
		],
		["[B, 3] has not the size of [4, 3]", ({ x }) => reshape(x, [4, 3])],
		["Transpose(x: float32[B, 3]): perm [0,0] does not permute the axes of [B, 3]", ({ x }) => transpose(x, [0, 0])],
		["Split(x: float32[B, 3]): axis 1 of [B, 3] does not divide by 2", ({ x }) => split(x, { axis: 1, parts: 2 })],
		["Split(x: float32[B, 3]): axis 0 of [B, 3] does not divide by 2", ({ x }) => split(x, { axis: 0, parts: 2 })],
		["Concat(x: float32[B, 3], row: float32[3]): the other axes differ", ({ x, row }) => concat([x, row], 0)],
		[
			"Concat(row: float32[3], bits: uint32[3]): types differ: float32 and uint32",
			({ row, bits }) => concat([row, bits], 0),
		],
		["Concat: no inputs", () => concat([], 0)],
		["axis 0 of [B, 3] has no known size", ({ x }) => slice(x, { axis: 0, start: 0, end: 1 })],
		["shapes [4, 3] and [4, 2] do not broadcast", ({ y }) => expand(y, [4, 2])],
		['no input of the graph has an axis of size "T"', ({ row }) => expand(row, ["T", 3])],
		["Gather(x: float32[B, 3], row: float32[3]): indices are float32", ({ x, row }) => gather(x, row)],
		["Gather(row: float32[3], ids: int64[B]): axis 1 is outside rank 1", ({ row, ids }) => gather(row, ids, 1)],
		[
			"GatherElements(x: float32[B, 3], ids: int64[B]): indices [B] have not the rank of [B, 3]",
			({ x, ids }) => gatherElements(x, ids, 0),
		],
		["[B] has not the size of [3]", ({ y, ids, row }) => scatterAddRows(y, ids, row)],
		[
			"ReduceSum(x: float32[B, 3], constant.0: int64[1]): axis 2 is outside rank 2",
			({ x }) => reduceSum(x, { axes: [2] }),
		],
		[
			'LayerNormalization(y: float32[4, 3], x: float32[B, 3]): "x" is [B, 3], expected [3]',
			({ x, y }) => layerNormalization(y, x, { epsilon: 1e-5 }),
		],
		[
			"LayerNormalization(y: float32[4, 3], double: float64[3]): types differ: float32 and float64",
			({ y, double }) => layerNormalization(y, double, { epsilon: 1e-5 }),
		],
		[
			"LayerNormalization(y: float32[4, 3], row: float32[3]): axis 0 is not the last",
			({ graph, y, row }) => graph.add("LayerNormalization", [y, row], { axis: 0 }),
		],
		['input 1 ("ids") must be a constant', ({ graph, x, ids }) => graph.add("ReduceSum", [x, ids])],
		["input 1 holds no shape that is known while building", ({ graph, x, ids }) => graph.add("Expand", [x, ids])],
		["Add(x: float32[B, 3]): input 1 is missing", ({ graph, x }) => graph.add("Add", [x])],
		["Add(x: float32[B, 3], (absent)): input 1 is missing", ({ graph, x }) => graph.add("Add", [x, undefined])],
		[
			"Tanh(x: float32[B, 3], x: float32[B, 3]): 2 inputs, at most 1 are known",
			({ graph, x }) => graph.add("Tanh", [x, x]),
		],
	])("%s", (message, build) => {
		const given = inputs();
		expect(() => build(given)).toThrow(GraphError);
		expect(() => build(inputs())).toThrow(message);
		expect(given.graph.nodes.map(({ op }) => op)).not.toContain(message.split(/[(:]/)[0]);
	});

	test("fused operators of generation", () => {
		const graph = new Graph();
		const query = graph.input("query", "float32", ["B", "T", 16]);
		const past = graph.input("past", "float32", ["B", 1, "M", 4]);
		const last = graph.input("last", "int32", ["B"]);
		const attend = (inputs: (Value | undefined)[], heads = 2) =>
			graph.add("GroupQueryAttention", inputs, { num_heads: heads, kv_num_heads: 1 });
		const [mixed] = attend([query, undefined, undefined, past, past, last, last]) as [Value];
		expect(mixed.shape).toEqual(["B", "T", 8]);
		expect(() => attend([query, undefined, undefined, past, past, last, last], 3)).toThrow(
			"the packed query is [B, T, 16], not [B, T, (H + 2 KVH) * D]",
		);
		expect(() => attend([query, undefined, undefined, query, query, last, last])).toThrow(GraphError);
		expect(() => attend([query, undefined, undefined, past, past, past, last])).toThrow('"past" is float32, not int32');
		expect(() => attend([query, query, query, past, past, last, last])).toThrow("packed in the first input");
		expect(() => graph.add("MatMulNBits", [query, last, past], { K: 16, N: 2 })).toThrow(
			"the blocks are int32, not uint8",
		);
	});
});

describe("attributes", () => {
	const { graph, x } = inputs();
	test.each<[Parameters<Graph["add"]>, string]>([
		[["Softmax", [x], { axes: 1 }], 'Softmax: unknown attribute "axes"'],
		[["Softmax", [x], { axis: 0.5 }], 'Softmax: attribute "axis" is 0.5, expected int'],
		[["Softmax", [x], { axis: "0" }], 'Softmax: attribute "axis" is 0, expected int'],
		[["FusedMatMul", [x, x], { alpha: "1" }], 'FusedMatMul: attribute "alpha" is 1, expected float'],
		[["Transpose", [x], { perm: 1 }], 'Transpose: attribute "perm" is 1, expected ints'],
		[["Transpose", [x]], "perm [] does not permute the axes of [B, 3]"],
		[["ScatterElements", [x, x, x], { reduction: 1 }], 'attribute "reduction" is 1, expected string'],
		[["Cast", [x], { to: 99 }], "no element type has the number 99"],
	])("%j", (call, message) => {
		expect(() => graph.add(...call)).toThrow(GraphError);
		expect(() => graph.add(...call)).toThrow(message);
	});
});

describe("names and belonging", () => {
	test("a value of another graph", () => {
		const [one, other] = [inputs(), inputs()];
		expect(() => add(one.x, other.row)).toThrow(new GraphError('Add: "row" belongs to another graph'));
		expect(() => one.graph.output("y2", other.x)).toThrow('output "y2": "x" belongs to another graph');
	});

	test("a name that is taken", () => {
		const { graph, x } = inputs();
		expect(() => graph.input("x", "float32", [])).toThrow('the name "x" is taken in this graph');
		expect(() => graph.initializer("row", "float32", [])).toThrow('the name "row" is taken in this graph');
		expect(() => graph.output("x", x)).toThrow('the name "x" is taken in this graph');
		graph.output("z", x);
		expect(() => graph.output("z", neg(x))).toThrow('output "z" is declared twice');
	});

	test("names are free of each other", () => {
		const { graph, x } = inputs();
		const names = [exp(x), exp(x), exp(exp(x))].map(({ name }) => name);
		expect(new Set([...names, graph.fresh("Exp")]).size).toBe(4);
	});
});

describe("constants", () => {
	test("are stored once when they are equal in type, shape and bits", () => {
		const { graph } = inputs();
		expect(graph.scalar(1)).toBe(graph.scalar(1));
		expect(graph.int64([1, 2])).toBe(graph.int64([1, 2]));
		const different = [
			graph.scalar(1),
			graph.scalar(0),
			graph.scalar(-0),
			graph.constant(Float32Array.of(1), [1], "float32"),
			graph.constant(Float64Array.of(1), [], "float64"),
			graph.int64([1]),
			graph.int64([1, 2]),
		];
		expect(new Set(different).size).toBe(different.length);
	});

	test("fill their shape", () => {
		const { graph } = inputs();
		expect(() => graph.constant(Float32Array.of(1, 2), [3], "float32")).toThrow(
			new GraphError("constant: 2 elements for float32[3], which has 3"),
		);
	});
});

describe("shapes that follow", () => {
	test("names are brought into one order", () => {
		const graph = new Graph();
		expect(graph.input("x", "float32", ["T*B", 2]).shape).toEqual(["B*T", 2]);
	});

	test("through the vectors that hold them", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["B", "T", 4]);
		const sizes = shapeOf(x);
		const at = (start: number, end: number) => slice(sizes, { axis: 0, start, end });
		expect(at(-1, 3).shapeOf).toEqual([4]);
		const target = concat([mul(at(0, 1), at(1, 2)), at(2, 9)], 0);
		expect(graph.add("Reshape", [x, target])[0]?.shape).toEqual(["B*T", 4]);
		// What is computed with a shape is no shape any more.
		expect(neg(sizes).shapeOf).toBeUndefined();
		expect(add(sizes, sizes).shapeOf).toBeUndefined();
	});

	test("of what waits for another value, which may have another shape", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["B", 4]);
		const w = graph.input("w", "float32", [2, 2]);
		expect(heldBack(x, neg(x)).shape).toEqual(["B", 4]);
		expect(heldBack(w, neg(x)).shape).toEqual([2, 2]);
		expect(heldBack(x, w).shape).toEqual(["B", 4]);
		expect(heldBack(w, w).shape).toEqual([2, 2]);
		const value = interpret(graph, { x: nd([1, 4], [1, 2, 3, 4]), w: nd([2, 2], [5, 6, 7, 8]) });
		expect([...value(heldBack(w, neg(x))).data]).toEqual([5, 6, 7, 8]);
		expect([...value(heldBack(x, w)).data]).toEqual([1, 2, 3, 4]);
	});

	test("a sum of names gets a name of its own", () => {
		const graph = new Graph();
		const a = graph.input("a", "float32", ["B", 2]);
		const b = graph.input("b", "float32", ["T", 2]);
		const [one, two] = [concat([a, b], 0), concat([a, b], 0)];
		expect(one.shape[1]).toBe(2);
		expect(one.shape[0]).not.toBe(two.shape[0]);
		expect(concat([a, a], 0).shape).toEqual(["2*B", 2]);
	});
});

// Every operator: ONNX Runtime against the interpreter, gradients against finite differences (testing/check-op.ts). A new
// operator breaks the build until it stands in one of the two tables.
import { describe, expect, test } from "vitest";
import {
	abs,
	add,
	bitShift,
	bitwiseXor,
	cast,
	concat,
	dequantizeLinear,
	div,
	exp,
	expand,
	fastGelu,
	fusedMatMul,
	Graph,
	gather,
	gatherElements,
	gemm,
	greaterOrEqual,
	identity,
	layerNormalization,
	less,
	log,
	logSoftmax,
	matMul,
	max,
	mul,
	neg,
	type OpName,
	quickGelu,
	reciprocal,
	reduceMax,
	reduceMean,
	reduceSum,
	reduceSumSquare,
	reshape,
	type Shape,
	scatterAddRows,
	shapeOf,
	sigmoid,
	slice,
	softmax,
	split,
	sqrt,
	sub,
	tanh,
	transpose,
	type Value,
	where,
	zeros,
} from "../graph/index.ts";
import { rules } from "./rules.ts";
import { checkOp, type OpCheck } from "./testing/check-op.ts";
import { type WithoutGradient, withoutGradient } from "./testing/without-gradient.ts";

type Case = [title: string, run: () => Promise<Graph>];
function of<K extends string>(title: string, check: OpCheck<K>): Case {
	return [title, () => checkOp(check)];
}
function forward<K extends string>(title: string, check: OpCheck<K>): Case {
	return of(title, { ...check, forwardOnly: true });
}

const positive: [number, number] = [0.3, 3];
/** Pairs of shapes that broadcast: either side, both, scalars, axes of size 1, names. */
const pairs: [Shape, Shape][] = [
	[
		[2, 3],
		[2, 3],
	],
	[[2, 3], [3]],
	[[3], [2, 3]],
	[
		[2, 1, 3],
		[4, 1],
	],
	[[], [2, 2]],
	[[2, 2], []],
	[[], []],
	[
		[1, 1],
		[2, 3],
	],
	[
		["B", "T", 2],
		["T", 1],
	],
	[
		["B*T", 2],
		["B*T", 1],
	],
	[["N"], [3, 1, "N"]],
];
function broadcasting(build: (a: Value, b: Value) => Value, range?: [number, number]): Case[] {
	const spec = (shape: Shape) => (range ? { shape, range } : shape);
	return pairs.map(([a, b]) =>
		of(`[${a}] and [${b}]`, {
			// B and T on their own, so that their sizes can be had from an input.
			inputs: { a: spec(a), b: spec(b), sizes: { shape: ["B", "T"], dtype: "uint8" } },
			build: ({ a, b }) => build(a, b),
		}),
	);
}
function elementwise(build: (x: Value) => Value, range?: [number, number]): Case[] {
	return [[], [5], [2, 3], ["B", 1, "T"]].map((shape: Shape) =>
		of(`[${shape}]`, { inputs: { x: range ? { shape, range } : shape }, build: ({ x }) => build(x) }),
	);
}
const both = [false, true];
function reductions(reduce: typeof reduceSum, check: typeof of): Case[] {
	return both.flatMap((keepDims) => [
		check(`every axis, keepDims ${keepDims}`, { inputs: { x: [2, 3] }, build: ({ x }) => reduce(x, { keepDims }) }),
		...[[0], [-1], [0, 2], [-2, 0], [1]].map((axes) =>
			check(`axes ${axes}, keepDims ${keepDims}`, {
				inputs: { x: [2, 3, 4] },
				build: ({ x }) => reduce(x, { axes, keepDims }),
			}),
		),
		check(`beside names, keepDims ${keepDims}`, {
			inputs: { x: ["B", 1, 3, "T"] },
			build: ({ x }) => reduce(x, { axes: [1, 2], keepDims }),
		}),
	]);
}
function normalizing(build: (x: Value, axis: number) => Value): Case[] {
	return [-1, 0, 1].flatMap((axis) => [
		of(`axis ${axis}`, { inputs: { x: [2, 3, 4] }, build: ({ x }) => build(x, axis) }),
		of(`axis ${axis}, names`, { inputs: { x: ["B", "T"] }, build: ({ x }) => build(x, axis) }),
	]);
}
const ints = (shape: Shape, values: number[], dtype: "int64" | "int32" = "int64") => ({ shape, values, dtype });

const withGradient = {
	Add: broadcasting(add),
	Sub: broadcasting(sub),
	Mul: [
		...broadcasting(mul),
		of("a value with itself", { inputs: { x: [3] }, build: ({ x }) => mul(x, x) }),
		of("a number", { inputs: { x: [3] }, build: ({ x }) => mul(-2.5, x) }),
	],
	Div: broadcasting(div, positive),
	Max: broadcasting(max),
	Neg: elementwise(neg),
	Exp: elementwise(exp),
	Log: elementwise(log, positive),
	Sqrt: elementwise(sqrt, positive),
	Reciprocal: elementwise(reciprocal, positive),
	Tanh: elementwise(tanh),
	Sigmoid: elementwise(sigmoid),
	Abs: elementwise(abs),
	Identity: elementwise(identity),
	FastGelu: [
		of("alone", { inputs: { x: { shape: ["B", 5], range: [-6, 6] } }, build: ({ x }) => fastGelu(x) }),
		of("with a bias", { inputs: { x: ["B", "T", 4], bias: [4] }, build: ({ x, bias }) => fastGelu(x, bias) }),
	],
	QuickGelu: elementwise((x) => quickGelu(x, 1.702), [-6, 6]),
	Cast: [
		of("to the same type", { inputs: { x: ["B", 2] }, build: ({ x }) => cast(x, "float32") }),
		of("there and back", { inputs: { x: [3] }, build: ({ x }) => cast(cast(x, "float64"), "float32") }),
		// Steps have the slope 0, not that of a line.
		of("through an integer", {
			inputs: { x: { shape: [4], values: [-1.75, -0.25, 0.5, 2.75] } },
			build: ({ x }) => mul(x, cast(cast(x, "int32"), "float32")),
		}),
		forward("to and from integers and bool", {
			inputs: { x: { shape: [4], values: [-1.75, 0, 0.5, 2.75] }, i: ints([2], [0, 7]) },
			build: ({ x, i }) => [cast(x, "int64"), cast(x, "bool"), cast(i, "float32"), cast(i, "int32"), cast(i, "bool")],
		}),
	],
	Where: [
		of("all broadcast", {
			inputs: { c: { shape: [2, 1], dtype: "bool", values: [1, 0] }, a: [3], b: ["B", 1, 1] },
			build: ({ c, a, b }) => where(c, a, b),
		}),
		of("against numbers", {
			inputs: { c: { shape: [4], dtype: "bool", values: [1, 0, 0, 1] }, a: [4] },
			build: ({ c, a }) => add(where(c, a, -7), where(c, 7, a)),
		}),
	],

	MatMul: [
		of("matrices", { inputs: { a: [2, 3], b: [3, 4] }, build: ({ a, b }) => matMul(a, b) }),
		of("rows against one matrix", { inputs: { a: ["B", "T", 3], b: [3, 2] }, build: ({ a, b }) => matMul(a, b) }),
		of("one matrix against a stack", { inputs: { a: [2, 3], b: [4, 3, 2] }, build: ({ a, b }) => matMul(a, b) }),
		of("stacks that broadcast", { inputs: { a: [2, 1, 2, 3], b: [4, 3, 2] }, build: ({ a, b }) => matMul(a, b) }),
		of("names inside", { inputs: { a: ["B", 2, "T"], b: ["B", "T", 3] }, build: ({ a, b }) => matMul(a, b) }),
		of("sizes of 1", { inputs: { a: [1, 1], b: [1, 1] }, build: ({ a, b }) => matMul(a, b) }),
		of("a matrix with itself", { inputs: { a: [2, 2] }, build: ({ a }) => matMul(a, a) }),
	],
	FusedMatMul: both
		.flatMap((transA) =>
			both.flatMap((transB) =>
				(
					[
						[[], []],
						[["B", 4], []],
						[[], [4]],
						[[2, 1], [3]],
					] as [Shape, Shape][]
				).map(([left, right]) =>
					of(`[${left}] x [${right}], transA ${transA}, transB ${transB}`, {
						inputs: {
							a: [...left, ...(transA ? [3, 2] : [2, 3])],
							b: [...right, ...(transB ? [5, 3] : [3, 5])],
						},
						build: ({ a, b }) => fusedMatMul(a, b, { transA, transB, alpha: -0.75 }),
					}),
				),
			),
		)
		.concat([
			of("alpha 1", { inputs: { a: [4, 2, 3], b: [5, 3] }, build: ({ a, b }) => fusedMatMul(a, b, { transB: true }) }),
		]),
	Gemm: both
		.flatMap((transA) =>
			both.flatMap((transB) =>
				([undefined, [], [1], [4], [2, 4], [2, 1], [1, 4], [1, 1]] as (Shape | undefined)[]).map((c) =>
					of(`c ${c && `[${c}]`}, transA ${transA}, transB ${transB}`, {
						inputs: { a: transA ? [3, 2] : [2, 3], b: transB ? [4, 3] : [3, 4], ...(c && { c }) } as Record<
							"a" | "b" | "c",
							Shape
						>,
						build: ({ a, b, c }) => gemm(a, b, { transA, transB, alpha: 1.5, ...(c && { c }) }),
					}),
				),
			),
		)
		.concat([
			of("names", { inputs: { a: ["B*T", 3], b: [3, 2], c: ["B*T", 1] }, build: ({ a, b, c }) => gemm(a, b, { c }) }),
			// Unpacked once more in the backward pass.
			of("a frozen matrix in few bits", {
				inputs: {
					a: ["N", 3],
					x: { shape: [3, 32], dtype: "uint8", range: [0, 256] },
					scale: { shape: [3, 2], range: [0.01, 0.02] },
					zero: { shape: [3, 2], dtype: "uint8", range: [0, 256] },
					c: [32],
				},
				frozen: ["scale"],
				build: ({ a, x, scale, zero, c }) =>
					gemm(a, dequantizeLinear(x, { scale, zero, blockSize: 16 }), { c, alpha: 0.5 }),
			}),
			of("beta", {
				inputs: { a: [2, 3], b: [3, 2], c: [2] },
				build: ({ a, b, c }, graph) => graph.add("Gemm", [a, b, c], { beta: -0.5 }),
			}),
		]),

	Reshape: [
		of("known sizes", { inputs: { x: [2, 3, 4] }, build: ({ x }) => reshape(x, [4, 6]) }),
		of("to a scalar", { inputs: { x: [1, 1] }, build: ({ x }) => reshape(x, []) }),
		of("names flattened", { inputs: { x: ["B", "T", 4] }, build: ({ x }) => reshape(x, ["B*T", 4]) }),
		of("names unfolded", {
			inputs: { x: ["B*T", 4], sizes: { shape: ["B", "T"], dtype: "uint8" } },
			build: ({ x }) => reshape(x, ["B", "T", 2, 2]),
		}),
	],
	Transpose: [
		...[
			[0, 1, 2],
			[2, 1, 0],
			[1, 2, 0],
			[2, 0, 1],
		].map((perm) => of(`perm ${perm}`, { inputs: { x: [2, 3, 4] }, build: ({ x }) => transpose(x, perm) })),
		of("names", { inputs: { x: ["B", "T", 2] }, build: ({ x }) => transpose(x, [1, 2, 0]) }),
	],
	Split: [0, -1].flatMap((axis) => [
		of(`axis ${axis}`, { inputs: { x: [4, 2, 6] }, build: ({ x }) => split(x, { axis, parts: 2 }) }),
		of(`one part used, axis ${axis}`, {
			inputs: { x: [3, 3] },
			build: ({ x }) => tanh(split(x, { axis, parts: 3 })[1] as Value),
		}),
		of(`a named axis, axis ${axis}`, {
			inputs: { x: axis === 0 ? ["2*T", 3] : [3, "2*T"] },
			build: ({ x }) => split(x, { axis, parts: 2 }),
		}),
	]),
	Concat: [0, 1, -1].flatMap((axis) => [
		of(`equal parts, axis ${axis}`, {
			inputs: { a: [2, 3], b: [2, 3], c: [2, 3] },
			build: ({ a, b, c }) => concat([a, b, c], axis),
		}),
		of(`unequal parts, axis ${axis}`, {
			inputs: axis === 0 ? { a: [1, 2], b: [3, 2] } : { a: [2, 1], b: [2, 3] },
			build: ({ a, b }) => concat([a, b], axis),
		}),
		of(`the same twice, axis ${axis}`, {
			inputs: { a: ["B", "T"] },
			build: ({ a }) => concat([a, a], axis),
		}),
		of(`alone, axis ${axis}`, { inputs: { a: [2, 2] }, build: ({ a }) => concat([a], axis) }),
	]),
	Slice: (
		[
			[0, 0, 2],
			[0, 1, 4],
			[1, 1, 2],
			[-1, 0, 3],
			[-1, 1, 3],
			[1, -2, 3],
			[0, -4, -1],
			[1, -9, 9],
			[0, 2, 2],
		] as const
	).map(([axis, start, end]) =>
		of(`axis ${axis} from ${start} to ${end}`, {
			inputs: { x: [4, 3] },
			build: ({ x }) => slice(x, { axis, start, end }),
		}),
	),
	Expand: [
		of("an axis of 1", { inputs: { x: [2, 1] }, build: ({ x }) => expand(x, [2, 3]) }),
		of("new axes", { inputs: { x: [3] }, build: ({ x }) => expand(x, [2, 2, 3]) }),
		of("a scalar", { inputs: { x: [] }, build: ({ x }) => expand(x, [2, 3]) }),
		of("to names", {
			inputs: { x: ["T", 1], sizes: { shape: ["B", "T"], dtype: "uint8" } },
			build: ({ x }) => expand(x, ["B", "T", 2]),
		}),
		of("a shape that is smaller", { inputs: { x: [2, 3] }, build: ({ x }) => expand(x, [1]) }),
	],
	Gather: [
		of("rows, some twice", { inputs: { x: [3, 2], i: ints([4], [2, 0, 2, 2]) }, build: ({ x, i }) => gather(x, i) }),
		of("a block of indices", {
			inputs: { x: [3, 2, 2], i: ints(["B", "T"], [0, 1, 0, 1, 1, 0]) },
			build: ({ x, i }) => gather(x, i),
		}),
		of("one index", { inputs: { x: [3, 2], i: ints([], [1]) }, build: ({ x, i }) => gather(x, i) }),
		of("int32, from the end", {
			inputs: { x: [3], i: ints([3], [-1, 0, -3], "int32") },
			build: ({ x, i }) => gather(x, i),
		}),
		of("of a named axis, and used elsewhere", {
			inputs: { x: ["N", 2], i: ints([3], [3, 3, 0]) },
			build: ({ x, i }) => [gather(x, i), mul(x, x)],
		}),
		forward("along another axis", {
			inputs: { x: [2, 3, 2], i: ints([2, 2], [0, 2, 1, -1]) },
			build: ({ x, i }) => [gather(x, i, 1), gather(x, i, -2)],
		}),
	],
	GatherElements: [
		of("axis 0", {
			inputs: { x: [3, 2], i: ints([2, 2], [2, 0, 2, 1]) },
			build: ({ x, i }) => gatherElements(x, i, 0),
		}),
		of("axis -1, the same twice", {
			inputs: { x: ["B", 3], i: ints(["B", 2], [1, 1, -1, 0]) },
			build: ({ x, i }) => gatherElements(x, i, -1),
		}),
	],
	ScatterElements: [
		of("adding, the same place twice", {
			inputs: { x: [2, 3], i: ints([2, 2], [1, 1, 2, 0]), u: [2, 2] },
			build: ({ x, i, u }, graph) => graph.add("ScatterElements", [x, i, u], { axis: 1, reduction: "add" }),
		}),
		of("rows, some twice", {
			inputs: { x: [3, 2], i: ints(["N"], [1, 1, 0, 1]), u: ["N", 2] },
			build: ({ x, i, u }) => scatterAddRows(x, i, u),
		}),
		of("rows of one element", {
			inputs: { x: [3], i: ints([2], [2, 2], "int32"), u: [2] },
			build: ({ x, i, u }) => scatterAddRows(x, i, u),
		}),
		of("rows of rank 3", {
			inputs: { x: [3, 2, 2], i: ints([2], [2, 0]), u: [2, 2, 2] },
			build: ({ x, i, u }) => scatterAddRows(x, i, u),
		}),
		forward("writing over", {
			inputs: { x: [2, 3], i: ints([1, 3], [1, 0, -1]), u: [1, 3] },
			build: ({ x, i, u }, graph) => graph.add("ScatterElements", [x, i, u], { axis: 0 }),
		}),
	],

	ReduceSum: reductions(reduceSum, of),
	ReduceMean: reductions(reduceMean, of),
	ReduceSumSquare: reductions(reduceSumSquare, of),
	Softmax: [
		...normalizing(softmax),
		of("large and masked scores", {
			inputs: { x: { shape: [2, 3], values: [80, 79, 81, -1e30, 2, 1] } },
			build: ({ x }) => softmax(x),
		}),
		of("axis by default", { inputs: { x: [2, 3] }, build: ({ x }, graph) => graph.add("Softmax", [x]) }),
	],
	LogSoftmax: [
		...normalizing(logSoftmax),
		of("large scores", { inputs: { x: { shape: [3], values: [800, 790, 801] } }, build: ({ x }) => logSoftmax(x) }),
	],
	LayerNormalization: [
		of("with a bias", {
			inputs: { x: ["B", "T", 4], weight: [4], bias: [4] },
			build: ({ x, weight, bias }) => layerNormalization(x, weight, { bias, epsilon: 1e-5 }),
		}),
		of("without", {
			inputs: { x: [3, 5], weight: [5] },
			build: ({ x, weight }) => layerNormalization(x, weight, { epsilon: 1e-2 }),
		}),
		of("a vector", {
			inputs: { x: [3], weight: [3], bias: [3] },
			build: ({ x, weight, bias }) => layerNormalization(x, weight, { bias, epsilon: 1e-5 }),
		}),
	],
} satisfies Record<Exclude<OpName, WithoutGradient>, Case[]>;

const uint32 = (values: number[]) => ({ shape: [values.length], dtype: "uint32" as const, values });

const forwardOnly = {
	Less: [
		forward("broadcast", { inputs: { a: ["B", 3], b: [3] }, build: ({ a, b }) => less(a, b) }),
		forward("equal", { inputs: { a: ints([2], [3, 4]), b: ints([2], [3, 5]) }, build: ({ a, b }) => less(a, b) }),
	],
	GreaterOrEqual: [
		forward("broadcast", { inputs: { a: ["B", 3], b: [3] }, build: ({ a, b }) => greaterOrEqual(a, b) }),
		forward("a column and a row", {
			inputs: { a: ints(["T", 1], [0, 1, 2]), b: ints(["T"], [0, 1, 2]) },
			build: ({ a, b }) => greaterOrEqual(a, b),
		}),
	],
	BitwiseXor: [
		forward("uint32", {
			inputs: { a: uint32([0xffffffff, 0x80000001]), b: uint32([0x12345678, 1]) },
			build: ({ a, b }) => bitwiseXor(a, b),
		}),
	],
	BitShift: (["LEFT", "RIGHT"] as const).map((direction) =>
		forward(direction, {
			inputs: { a: uint32([0xdeadbeef, 1, 7]), b: uint32([5, 31, 1]) },
			build: ({ a, b }) => [bitShift(a, b, direction), mul(a, a), add(a, a)],
		}),
	),
	Shape: [
		forward("names", { inputs: { x: ["B", 1, "T"] }, build: ({ x }) => shapeOf(x) }),
		forward("a scalar", { inputs: { x: [] }, build: ({ x }) => shapeOf(x) }),
	],
	ConstantOfShape: [
		forward("names", { inputs: { x: ["B", "T"] }, build: (_, graph) => zeros(graph, ["T", 2, "B"]) }),
		forward("numbers", { inputs: { x: [1] }, build: (_, graph) => zeros(graph, [2, 3]) }),
	],
	ReduceMax: reductions(reduceMax, forward),
	SkipLayerNormalization: [
		forward("y and the sum", {
			inputs: { x: ["B", "T", 4], skip: ["B", "T", 4], weight: [4], bias: [4] },
			build: ({ x, skip, weight, bias }, graph) => {
				const [y, , , sum] = graph.add("SkipLayerNormalization", [x, skip, weight, bias], { epsilon: 1e-5 });
				return [y as Value, sum as Value];
			},
		}),
	],
	// The cache is compared where it is one memory with the past, in graph/ops/attention.test.ts.
	GroupQueryAttention: (
		[
			["prompts", { time: 3, ends: [2, 2], total: 3, rows: [0, 1, 2, 3, 4, 5] }],
			["prompts of different length, padding not read", { time: 3, ends: [2, 1], total: 3, rows: [0, 1, 2, 3, 4] }],
			["one token each, after histories of different length", { time: 1, ends: [2, 4], total: 5, rows: [0, 1] }],
			["several tokens after a history", { time: 2, ends: [4], total: 5, rows: [0, 1] }],
		] as const
	).map(([title, { time, ends, total, rows }]) =>
		forward(title, {
			inputs: {
				// Four heads on two of keys and values, heads of size 8, room for six positions.
				query: [ends.length, time, 64],
				key: [ends.length, 2, 6, 8],
				value: [ends.length, 2, 6, 8],
				last: ints([ends.length], [...ends], "int32"),
				total: ints([1], [total], "int32"),
			},
			build: ({ query, key, value, last, total }, graph) => {
				const attributes = { num_heads: 4, kv_num_heads: 2, scale: 0.3 };
				const inputs = [query, undefined, undefined, key, value, last, total];
				const [mixed] = graph.add("GroupQueryAttention", inputs, attributes);
				return gather(reshape(mixed as Value, [ends.length * time, 32]), graph.int64(rows));
			},
		}),
	),
	DequantizeLinear: (["uint8", "uint4"] as const).flatMap((dtype) =>
		[32, 40].map((columns) =>
			forward(`${dtype}, blocks of 16 in rows of ${columns}`, {
				inputs: {
					x: { shape: [3, columns], dtype, range: [0, dtype === "uint4" ? 16 : 256] },
					scale: { shape: [3, Math.ceil(columns / 16)], range: [0.01, 0.02] },
					zero: { shape: [3, Math.ceil(columns / 16)], dtype, range: [0, dtype === "uint4" ? 16 : 256] },
				},
				build: ({ x, scale, zero }) => dequantizeLinear(x, { scale, zero, blockSize: 16 }),
			}),
		),
	),
	MatMulNBits: [4, 8].flatMap((bits) =>
		both.map((zeroPoints) =>
			forward(`${bits} bits, zero points ${zeroPoints}`, {
				inputs: {
					x: ["B", "T", 32],
					blocks: { shape: [3, 2, 2 * bits], dtype: "uint8", range: [0, 255.9] },
					scales: { shape: [3, 2], range: [0.01, 0.02] },
					zeros: { shape: [3, bits === 4 ? 1 : 2], dtype: "uint8", range: [0, 255.9] },
				},
				build: ({ x, blocks, scales, zeros }, graph) =>
					graph.add("MatMulNBits", [x, blocks, scales, ...(zeroPoints ? [zeros] : [])], {
						K: 32,
						N: 3,
						bits,
						block_size: 16,
					}),
			}),
		),
	),
} satisfies Record<WithoutGradient, Case[]>;

describe.each(Object.entries<Case[]>({ ...withGradient, ...forwardOnly }))("%s", (op, cases) => {
	test.each(cases)("%s", async (_, run) => {
		const graph = await run();
		expect(graph.nodes.map((node) => node.op)).toContain(op);
	});
});

test.each(Object.entries(withoutGradient))("%s has no gradient", (op, { passes }) => {
	const graph = new Graph();
	const rule = () =>
		rules[op as WithoutGradient]({
			node: { op: op as OpName, inputs: [], outputs: [], attributes: {} },
			gradients: [graph.scalar(1)],
			needed: () => true,
		});
	if (passes === "refused") expect(rule).toThrow("the operator has no gradient");
	else expect(rule()).toEqual([]);
});

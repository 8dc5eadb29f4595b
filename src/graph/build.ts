// One function per operator, for writing graphs as expressions: `add(matMul(x, w), b)`. Each adds a node to the graph of
// its first argument. Shapes in the comments follow design.md: B batch, T time, C channels, N rows.

import type { DType } from "../runtime/index.ts";
import { type Dim, formatShape, type Shape, sameShape } from "./dim.ts";
import { type Graph, GraphError, type Value } from "./graph.ts";
import { onnxTypes } from "./ops/elementwise.ts";
import type { OpName } from "./ops/index.ts";
import type { Attributes } from "./ops/op.ts";

function one(op: OpName, inputs: readonly (Value | undefined)[], attributes?: Attributes): Value {
	const graph = inputs.find((input) => input !== undefined)?.graph;
	if (!graph) throw new GraphError(`${op}: no inputs`);
	return graph.add(op, inputs, attributes)[0] as Value;
}

/** A number where a value is expected becomes a float32 scalar. */
type Operand = Value | number;
function lift(graph: Graph, operands: readonly Operand[]): Value[] {
	return operands.map((operand) => (typeof operand === "number" ? graph.scalar(operand) : operand));
}
function pair(a: Operand, b: Operand): Value[] {
	return lift((typeof a === "number" ? (b as Value) : a).graph, [a, b]);
}

export const add = (a: Operand, b: Operand) => one("Add", pair(a, b));
export const sub = (a: Operand, b: Operand) => one("Sub", pair(a, b));
export const mul = (a: Operand, b: Operand) => one("Mul", pair(a, b));
export const div = (a: Operand, b: Operand) => one("Div", pair(a, b));
export const max = (a: Operand, b: Operand) => one("Max", pair(a, b));
export const less = (a: Operand, b: Operand) => one("Less", pair(a, b));
export const greaterOrEqual = (a: Operand, b: Operand) => one("GreaterOrEqual", pair(a, b));
export const bitwiseXor = (a: Value, b: Value) => one("BitwiseXor", [a, b]);
export const bitShift = (a: Value, b: Value, direction: "LEFT" | "RIGHT") => one("BitShift", [a, b], { direction });
export const neg = (x: Value) => one("Neg", [x]);
export const exp = (x: Value) => one("Exp", [x]);
export const log = (x: Value) => one("Log", [x]);
export const sqrt = (x: Value) => one("Sqrt", [x]);
export const reciprocal = (x: Value) => one("Reciprocal", [x]);
export const tanh = (x: Value) => one("Tanh", [x]);
export const sigmoid = (x: Value) => one("Sigmoid", [x]);
export const abs = (x: Value) => one("Abs", [x]);
export const identity = (x: Value) => one("Identity", [x]);
/** x, as a constant for gradients: nothing behind it is differentiated. */
export function detach(x: Value): Value {
	const y = identity(x);
	x.graph.detached.add(y);
	return y;
}
export const where = (condition: Value, a: Operand, b: Operand) =>
	one("Where", [condition, ...lift(condition.graph, [a, b])]);
export const cast = (x: Value, to: DType) => one("Cast", [x], { to: onnxTypes[to] });
/** GELU with the tanh approximation, as GPT-2 uses it; `bias` [C] is added first. */
export const fastGelu = (x: Value, bias?: Value) => one("FastGelu", bias ? [x, bias] : [x]);
export const quickGelu = (x: Value, alpha: number) => one("QuickGelu", [x], { alpha });

export const matMul = (a: Value, b: Value) => one("MatMul", [a, b]);

export interface ProductOptions {
	transA?: boolean;
	transB?: boolean;
	alpha?: number;
}
/** alpha * A B over the last two axes, each side transposed if wished. */
export function fusedMatMul(a: Value, b: Value, { transA = false, transB = false, alpha = 1 }: ProductOptions): Value {
	return one("FusedMatMul", [a, b], { transA: Number(transA), transB: Number(transB), alpha });
}
/** A B + c for matrices; c broadcasts to the result. */
export function gemm(
	a: Value,
	b: Value,
	{ c, transA = false, transB = false, alpha = 1 }: ProductOptions & { c?: Value } = {},
): Value {
	return one("Gemm", c ? [a, b, c] : [a, b], { transA: Number(transA), transB: Number(transB), alpha });
}

/** (x - zero) * scale, where `blockSize` elements along the last axis share a scale and a zero. */
export const dequantizeLinear = (
	x: Value,
	{ scale, zero, blockSize }: { scale: Value; zero: Value; blockSize: number },
) => one("DequantizeLinear", [x, scale, zero], { axis: x.shape.length - 1, block_size: blockSize });

export const shapeOf = (x: Value) => one("Shape", [x]);
/** The same elements in another shape. Two or more sizes with names (`"B"`) must be sizes of the graph's inputs. */
export function reshape(x: Value, shape: Shape): Value {
	const named = shape.filter((dim) => typeof dim === "string");
	const target =
		named.length === 1
			? x.graph.int64(shape.map((dim) => (typeof dim === "string" ? -1 : dim)))
			: shapeVector(x.graph, shape);
	return one("Reshape", [x, target]);
}
export const expand = (x: Value, shape: Shape) => one("Expand", [x, shapeVector(x.graph, shape)]);
/** x broadcast to the shape of another value, which must be there when it runs. */
export const expandLike = (x: Value, like: Value) => one("Expand", [x, shapeOf(like)]);
/** Float32 zeros. */
export const zeros = (graph: Graph, shape: Shape) => one("ConstantOfShape", [shapeVector(graph, shape)]);
export const transpose = (x: Value, perm: readonly number[]) => one("Transpose", [x], { perm });
export const concat = (values: readonly Value[], axis: number) => one("Concat", values, { axis });
export const gather = (data: Value, indices: Value, axis = 0) => one("Gather", [data, indices], { axis });
export const gatherElements = (data: Value, indices: Value, axis: number) =>
	one("GatherElements", [data, indices], { axis });
export function split(x: Value, { axis, parts }: { axis: number; parts: number }): Value[] {
	const outputs = x.graph.add("Split", [x], { axis, num_outputs: parts });
	return outputs;
}
export function slice(x: Value, { axis, start, end }: { axis: number; start: number; end: number }): Value {
	const { graph } = x;
	return one("Slice", [x, graph.int64([start]), graph.int64([end]), graph.int64([axis])]);
}
/**
 * data with `updates` [N, ...] added to the rows `indices` [N], of which the same may come many times. By elements and not
 * by ScatterND, whose threads overwrite each other's sums of one row (ONNX Runtime 1.30): additions were lost.
 */
export function scatterAddRows(data: Value, indices: Value, updates: Value): Value {
	const rows = indices.dtype === "int32" ? indices : cast(indices, "int32");
	const column = reshape(
		rows,
		updates.shape.map((dim, axis) => (axis === 0 ? dim : 1)),
	);
	return one("ScatterElements", [data, expandLike(column, updates), updates], { axis: 0, reduction: "add" });
}

interface ReduceOptions {
	axes?: readonly number[];
	keepDims?: boolean;
}
function reduction(op: "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceSumSquare") {
	return (x: Value, { axes, keepDims = false }: ReduceOptions = {}) =>
		one(op, axes ? [x, x.graph.int64(axes)] : [x], { keepdims: Number(keepDims) });
}
export const reduceSum = reduction("ReduceSum");
export const reduceMean = reduction("ReduceMean");
export const reduceMax = reduction("ReduceMax");
export const reduceSumSquare = reduction("ReduceSumSquare");
export const softmax = (x: Value, axis = -1) => one("Softmax", [x], { axis });
export const logSoftmax = (x: Value, axis = -1) => one("LogSoftmax", [x], { axis });

/** Over the last axis, with its mean and inverse standard deviation, which the gradient uses. */
export function layerNormalization(
	x: Value,
	weight: Value,
	{ bias, epsilon }: { bias?: Value; epsilon: number },
): Value {
	return one("LayerNormalization", bias ? [x, weight, bias] : [x, weight], { axis: -1, epsilon });
}

/**
 * x itself, but not before `dependency` has been computed: how recomputation, row chunks and unpacking are kept from
 * running early. The Reshape copies nothing.
 */
export function after(x: Value, dependency: Value): Value {
	if (sameShape(x.shape, dependency.shape) && !isKnown(dependency.shape)) {
		return one("Reshape", [x, shapeOf(dependency)]);
	}
	const shape = isKnown(x.shape) ? x.graph.int64(x.shape as number[]) : shapeOf(x);
	return one("Reshape", [x, concat([nothingOf(dependency), shape], 0)]);
}

/** A vector of no elements that depends on a value. The shape of one that is known would be computed beforehand. */
function nothingOf(value: Value): Value {
	if (!isKnown(value.shape)) return slice(shapeOf(value), { axis: 0, start: 0, end: 0 });
	const flat = value.shape.length === 1 ? value : reshape(value, [-1]);
	return cast(slice(flat, { axis: 0, start: 0, end: 0 }), "int64");
}

const isKnown = (shape: Shape) => shape.every((dim) => typeof dim === "number");

const vectors = new WeakMap<Graph, Map<string, Value>>();

/** A shape as a vector of int64; sizes that are named come from the inputs that have them. */
function shapeVector(graph: Graph, shape: Shape): Value {
	if (shape.every((dim) => typeof dim === "number")) return graph.int64(shape as number[]);
	const cache = vectors.get(graph) ?? new Map<string, Value>();
	vectors.set(graph, cache);
	const key = formatShape(shape);
	let vector = cache.get(key);
	if (!vector) {
		const parts = shape.map((dim) => sizeVector(graph, dim));
		vector = parts.length === 1 ? (parts[0] as Value) : concat(parts, 0);
		cache.set(key, vector);
	}
	return vector;
}

function sizeVector(graph: Graph, dim: Dim): Value {
	if (typeof dim === "number") return graph.int64([dim]);
	for (const input of graph.inputs) {
		const axis = input.shape.indexOf(dim);
		if (axis >= 0) return slice(shapeOf(input), { axis: 0, start: axis, end: axis + 1 });
	}
	const [first, ...rest] = dim.split("*");
	if (rest.length === 0) throw new GraphError(`no input of the graph has an axis of size "${dim}"`);
	const factor = Number(first);
	const head = Number.isInteger(factor) ? graph.int64([factor]) : sizeVector(graph, first as string);
	return mul(head, sizeVector(graph, rest.join("*")));
}

/** The known size of an axis. Throws when it is symbolic. */
export function knownSize(x: Value, axis: number): number {
	const dim = x.shape.at(axis) as Dim;
	if (typeof dim !== "number") throw new Error(`axis ${axis} of ${x.name} has no known size`);
	return dim;
}

// The slow twin of ONNX Runtime: every operator of the graph by its definition, in double precision. It is the oracle of
// the finite differences, and it checks that each value has the shape that was inferred while building.

import type { Graph, Value } from "../graph.ts";
import { onnxTypes } from "../ops/elementwise.ts";
import type { OpName } from "../ops/index.ts";
import { normalizeAxis } from "../ops/op.ts";
import { along, at, broadcastShapes, build, type Index, indexOf, type Nd, nd, sizeOf } from "./array.ts";
import { groupQueryAttention, matMulNBits } from "./interpret-fused.ts";
import { type Kernel, Settings } from "./kernel.ts";
import { Sizes } from "./sizes.ts";

/** A function that gives the contents of any value of the graph, computing what it needs. */
export function interpret(graph: Graph, feeds: Readonly<Record<string, Nd>>): (value: Value) => Nd {
	const sizes = new Sizes();
	const known = new Map<Value, Nd>();
	const learn = (value: Value, array: Nd) => {
		sizes.match(value, array.shape);
		known.set(value, array);
	};
	for (const value of [...graph.inputs, ...graph.initializers]) {
		const array = feeds[value.name];
		if (array) learn(value, array);
	}
	const contents = (value: Value): Nd => {
		const found = known.get(value);
		if (found) return found;
		if (value.constant) {
			learn(value, nd(value.shape as number[], value.constant));
		} else {
			const { node } = value;
			if (!node) throw new Error(`"${value.name}" is not fed`);
			const inputs = node.inputs.map((input) => input && contents(input));
			const results = kernels[node.op](inputs as Nd[], new Settings(node));
			for (const [i, result] of [results].flat().entries()) learn(node.outputs[i] as Value, result);
		}
		return known.get(value) as Nd;
	};
	return contents;
}

const unary =
	(f: (x: number) => number): Kernel =>
	([x]) =>
		map(x as Nd, f);

function map(x: Nd, f: (x: number) => number): Nd {
	return { shape: x.shape, data: x.data.map(f) };
}

function zip(a: Nd, b: Nd, f: (a: number, b: number) => number): Nd {
	return build(broadcastShapes(a.shape, b.shape), (index) => f(at(a, index), at(b, index)));
}

const comparison =
	(f: (a: number, b: number) => boolean): Kernel =>
	([a, b]) =>
		zip(a as Nd, b as Nd, (x, y) => Number(f(x, y)));

/** Floats by `float`; integers exactly, wrapped to the size of their type. */
const arithmetic =
	(float: (a: number, b: number) => number, integer: (a: bigint, b: bigint) => bigint): Kernel =>
	([a, b], { dtype }) =>
		zip(a as Nd, b as Nd, (x, y) => (dtype.includes("int") ? wrap(integer(BigInt(x), BigInt(y)), dtype) : float(x, y)));

function wrap(value: bigint, dtype: string): number {
	const bits = Number(dtype.replace(/\D+/, ""));
	return Number(dtype.startsWith("u") ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value));
}

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const gelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const integersOnly = () => {
	throw new Error("for integers only");
};

/** alpha A B over the last two axes. */
function product(a: Nd, b: Nd, { alpha = 1, transA = 0, transB = 0 } = {}): Nd {
	const [rows, inner] = transA ? [a.shape.at(-1), a.shape.at(-2)] : [a.shape.at(-2), a.shape.at(-1)];
	const columns = b.shape.at(transB ? -2 : -1);
	const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
	// Not `at`, which takes a row of one as a row for all: the inner sizes must agree.
	if (inner !== b.shape.at(transB ? -1 : -2)) throw new Error("the inner sizes differ");
	return build([...batch, rows as number, columns as number], (index) => {
		const [m, n] = index.slice(-2) as [number, number];
		const lead = index.slice(0, -2);
		let total = 0;
		for (let k = 0; k < (inner as number); k++) {
			total += at(a, [...lead, ...(transA ? [k, m] : [m, k])]) * at(b, [...lead, ...(transB ? [n, k] : [k, n])]);
		}
		return alpha * total;
	});
}

const reduction =
	(f: (values: readonly number[]) => number): Kernel =>
	([x, axes], settings) => {
		const { shape, data } = x as Nd;
		const reduced = new Set(axes ? [...axes.data].map((axis) => normalizeAxis(axis, shape.length)) : shape.keys());
		const groups = new Map<string, number[]>();
		const key = (index: Index) => index.map((i, axis) => (reduced.has(axis) ? 0 : i)).join();
		data.forEach((value, i) => {
			const group = key(indexOf(i, shape));
			groups.set(group, [...(groups.get(group) ?? []), value]);
		});
		const kept = build(
			shape.map((size, axis) => (reduced.has(axis) ? 1 : size)),
			(index) => f(groups.get(key(index)) ?? []),
		);
		if (settings.number("keepdims", 1) === 1) return kept;
		return { shape: shape.filter((_, axis) => !reduced.has(axis)), data: kept.data };
	};

/** y, mean, 1 / standard deviation over the last axis. */
function layerNormalization(x: Nd, { weight, bias, epsilon }: { weight: Nd; bias?: Nd | undefined; epsilon: number }) {
	const last = x.shape.length - 1;
	const statistics = x.shape.with(last, 1);
	const mean = build(statistics, (index) => sum(along(x, { axis: last, index })) / (x.shape[last] as number));
	const inverse = build(statistics, (index) => {
		const squares = along(x, { axis: last, index }).map((value) => (value - at(mean, index)) ** 2);
		return 1 / Math.sqrt(sum(squares) / squares.length + epsilon);
	});
	const y = build(x.shape, (index) => {
		const normal = (at(x, index) - at(mean, index)) * at(inverse, index);
		return normal * at(weight, index) + (bias ? at(bias, index) : 0);
	});
	return [y, mean, inverse] as const;
}

/** log of the softmax along an axis, the largest value taken off first. */
function logSoftmax(x: Nd, axis: number): Nd {
	return build(x.shape, (index) => {
		const values = along(x, { axis, index });
		const largest = Math.max(...values);
		return at(x, index) - largest - Math.log(sum(values.map((value) => Math.exp(value - largest))));
	});
}

const fromEnd = (i: number, size: number) => (i < 0 ? i + size : i);

const kernels = {
	Add: arithmetic(
		(a, b) => a + b,
		(a, b) => a + b,
	),
	Sub: arithmetic(
		(a, b) => a - b,
		(a, b) => a - b,
	),
	Mul: arithmetic(
		(a, b) => a * b,
		(a, b) => a * b,
	),
	Div: arithmetic(
		(a, b) => a / b,
		(a, b) => a / b,
	),
	Max: ([a, b]) => zip(a as Nd, b as Nd, Math.max),
	BitwiseXor: arithmetic(integersOnly, (a, b) => a ^ b),
	BitShift: (inputs, settings) => {
		const left = settings.node.attributes.direction === "LEFT";
		return arithmetic(integersOnly, (a, b) => (left ? a << b : a >> b))(inputs, settings);
	},
	Less: comparison((a, b) => a < b),
	GreaterOrEqual: comparison((a, b) => a >= b),
	Neg: unary((x) => -x),
	Exp: unary(Math.exp),
	Log: unary(Math.log),
	Sqrt: unary(Math.sqrt),
	Reciprocal: unary((x) => 1 / x),
	Tanh: unary(Math.tanh),
	Sigmoid: unary(sigmoid),
	Abs: unary(Math.abs),
	Identity: unary((x) => x),
	FastGelu: ([x, bias]) => map(bias ? zip(x as Nd, bias, (a, b) => a + b) : (x as Nd), gelu),
	QuickGelu: ([x], settings) => map(x as Nd, (value) => value * sigmoid(settings.number("alpha") * value)),
	Cast: ([x], settings) => {
		const [to] = Object.entries(onnxTypes).find(([, number]) => number === settings.number("to")) as [string, number];
		if (to === "bool") return map(x as Nd, (value) => Number(value !== 0));
		return to.includes("int") ? map(x as Nd, (value) => wrap(BigInt(Math.trunc(value)), to)) : (x as Nd);
	},
	Where: ([condition, a, b]) => {
		const [c, x, y] = [condition, a, b] as [Nd, Nd, Nd];
		return build(broadcastShapes(c.shape, x.shape, y.shape), (index) => (at(c, index) ? at(x, index) : at(y, index)));
	},

	MatMul: ([a, b]) => product(a as Nd, b as Nd),
	FusedMatMul: ([a, b], { node }) => product(a as Nd, b as Nd, node.attributes),
	Gemm: ([a, b, c], settings) => {
		const ab = product(a as Nd, b as Nd, settings.node.attributes);
		const beta = settings.number("beta", 1);
		return c ? build(ab.shape, (index) => at(ab, index) + beta * at(c, index)) : ab;
	},
	MatMulNBits: matMulNBits,

	Reshape: ([x, target]) => {
		const { shape, data } = x as Nd;
		const asked = [...(target as Nd).data].map((size, axis) => (size === 0 ? (shape[axis] as number) : size));
		const rest = data.length / sizeOf(asked.filter((size) => size !== -1));
		return nd(
			asked.map((size) => (size === -1 ? rest : size)),
			data,
		);
	},
	Shape: ([x]) => nd([(x as Nd).shape.length], (x as Nd).shape),
	Transpose: ([x], { node }) => {
		const perm = node.attributes.perm as readonly number[];
		const { shape } = x as Nd;
		return build(
			perm.map((axis) => shape[axis] as number),
			(index) =>
				at(
					x as Nd,
					shape.map((_, axis) => index[perm.indexOf(axis)] as number),
				),
		);
	},
	Split: ([x], settings) => {
		const whole = x as Nd;
		const axis = settings.axis(whole, 0);
		const parts = settings.number("num_outputs");
		const size = (whole.shape[axis] as number) / parts;
		return Array.from({ length: parts }, (_, part) =>
			build(whole.shape.with(axis, size), (index) =>
				at(whole, index.with(axis, part * size + (index[axis] as number))),
			),
		);
	},
	Concat: (inputs, settings) => {
		const first = inputs[0] as Nd;
		const axis = settings.axis(first);
		const size = sum(inputs.map((input) => input.shape[axis] as number));
		return build(first.shape.with(axis, size), (index) => {
			let place = index[axis] as number;
			const input = inputs.find(({ shape }) => {
				if (place < (shape[axis] as number)) return true;
				place -= shape[axis] as number;
				return false;
			});
			return at(input as Nd, index.with(axis, place));
		});
	},
	Slice: ([x, starts, ends, axes]) => {
		const { shape } = x as Nd;
		const first = shape.map(() => 0);
		const out = [...shape];
		for (const [i, given] of (axes as Nd).data.entries()) {
			const axis = normalizeAxis(given, shape.length);
			const size = shape[axis] as number;
			const clamp = (bound: number) => Math.min(Math.max(fromEnd(bound, size), 0), size);
			first[axis] = clamp((starts as Nd).data[i] as number);
			out[axis] = Math.max(0, clamp((ends as Nd).data[i] as number) - first[axis]);
		}
		return build(out, (index) =>
			at(
				x as Nd,
				index.map((i, axis) => i + (first[axis] as number)),
			),
		);
	},
	Expand: ([x, shape]) =>
		build(broadcastShapes((x as Nd).shape, [...(shape as Nd).data]), (index) => at(x as Nd, index)),
	Gather: ([data, indices], settings) => {
		const [table, rows] = [data, indices] as [Nd, Nd];
		const axis = settings.axis(table, 0);
		const end = axis + rows.shape.length;
		return build([...table.shape.slice(0, axis), ...rows.shape, ...table.shape.slice(axis + 1)], (index) => {
			const row = fromEnd(at(rows, index.slice(axis, end)), table.shape[axis] as number);
			return at(table, [...index.slice(0, axis), row, ...index.slice(end)]);
		});
	},
	GatherElements: ([data, indices], settings) => {
		const axis = settings.axis(data as Nd, 0);
		const size = (data as Nd).shape[axis] as number;
		return build((indices as Nd).shape, (index) =>
			at(data as Nd, index.with(axis, fromEnd(at(indices as Nd, index), size))),
		);
	},
	ScatterElements: ([data, indices, updates], settings) => {
		const { shape, data: old } = data as Nd;
		const axis = settings.axis(data as Nd, 0);
		const out = old.slice();
		(updates as Nd).data.forEach((update, i) => {
			const index = indexOf(i, (updates as Nd).shape);
			const place = index.with(axis, fromEnd(at(indices as Nd, index), shape[axis] as number));
			const offset = place.reduce((total, step, dim) => total * (shape[dim] as number) + step, 0);
			out[offset] = settings.node.attributes.reduction === "add" ? (out[offset] as number) + update : update;
		});
		return { shape, data: out };
	},
	ConstantOfShape: ([shape]) => build([...(shape as Nd).data], () => 0),

	ReduceSum: reduction(sum),
	ReduceMean: reduction((values) => sum(values) / values.length),
	ReduceMax: reduction((values) => Math.max(...values)),
	ReduceSumSquare: reduction((values) => sum(values.map((value) => value * value))),
	Softmax: ([x], settings) => map(logSoftmax(x as Nd, settings.axis(x as Nd, -1)), Math.exp),
	LogSoftmax: ([x], settings) => logSoftmax(x as Nd, settings.axis(x as Nd, -1)),
	LayerNormalization: ([x, weight, bias], settings) => [
		...layerNormalization(x as Nd, { weight: weight as Nd, bias, epsilon: settings.number("epsilon", 1e-5) }),
	],
	SkipLayerNormalization: ([x, skip, weight, bias, inner], settings) => {
		const both = zip(x as Nd, skip as Nd, (a, b) => a + b);
		const total = inner ? zip(both, inner, (a, b) => a + b) : both;
		const epsilon = settings.number("epsilon", 1e-12);
		return [...layerNormalization(total, { weight: weight as Nd, bias, epsilon }), total];
	},
	GroupQueryAttention: groupQueryAttention,
	DequantizeLinear: ([x, scale, zero], settings) => {
		const axis = settings.axis(x as Nd);
		const blockSize = settings.number("block_size");
		return build((x as Nd).shape, (index) => {
			const block = index.with(axis, Math.floor((index[axis] as number) / blockSize));
			return (at(x as Nd, index) - at(zero as Nd, block)) * at(scale as Nd, block);
		});
	},
} satisfies Record<OpName, Kernel>;

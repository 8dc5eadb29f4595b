// One gradient rule per operator. A rule is given the node and the gradients of its outputs, and returns what each input
// receives. y is the node's output, g the gradient of y. A new operator breaks the build until it has its row here.

import {
	add,
	after,
	cast,
	concat,
	div,
	exp,
	expand,
	formatShape,
	fusedMatMul,
	gemm,
	greaterOrEqual,
	knownSize,
	less,
	matMul,
	mul,
	multiplyDims,
	type Node,
	neg,
	type OpName,
	reduceMean,
	reduceSum,
	reshape,
	type Shape,
	sigmoid,
	slice,
	split,
	sub,
	transpose,
	type Value,
	where,
	zeros,
} from "../graph/index.ts";

/** A gradient: dense, or rows [N] of it with `updates` [N, ...], zero elsewhere (the gradient of a lookup). */
export type Contribution = Value | { rows: Value; updates: Value };

export interface RuleInput {
	node: Node;
	/** One per output of the node; undefined where nothing depends on that output. */
	gradients: readonly (Value | undefined)[];
	/** Whether input `index` needs a gradient at all. */
	needed(index: number): boolean;
}

export type GradientRule = (input: RuleInput) => readonly (Contribution | undefined)[];

interface Parts extends RuleInput {
	/** The gradient of the first output. */
	g: Value;
	y: Value;
	a: Value;
	b: Value;
}

/** A rule for operators whose first output alone has a gradient. */
function rule(build: (parts: Parts) => readonly (Contribution | undefined)[]): GradientRule {
	return (input) => {
		if (input.gradients.some((gradient, i) => i > 0 && gradient))
			throw new Error("only its first output has a gradient");
		const [a, b] = input.node.inputs as [Value, Value];
		return build({ ...input, a, b, y: input.node.outputs[0] as Value, g: input.gradients[0] as Value });
	};
}

/** Gradients of both sides of a broadcasting operator, each computed only when needed. */
function binary(left: (p: Parts) => Value, right: (p: Parts) => Value): GradientRule {
	return rule((p) => [
		p.needed(0) ? sumTo(left(p), p.a.shape) : undefined,
		p.needed(1) ? sumTo(right(p), p.b.shape) : undefined,
	]);
}

const unary = (build: (p: Parts) => Value): GradientRule => rule((p) => [build(p)]);

/** No rule is written, for want of a use: reaching one is a mistake in the graph. */
const none: GradientRule = () => {
	throw new Error("the operator has no gradient");
};
/** The output does not depend smoothly on the inputs: zero gradient. */
const constant: GradientRule = () => [];

const sqrtTwoOverPi = Math.sqrt(2 / Math.PI);

export const rules = {
	Add: binary(
		(p) => p.g,
		(p) => p.g,
	),
	Sub: binary(
		(p) => p.g,
		(p) => neg(p.g),
	),
	Mul: binary(
		(p) => mul(p.g, p.b),
		(p) => mul(p.g, p.a),
	),
	Div: binary(
		(p) => div(p.g, p.b),
		(p) => neg(div(mul(p.g, p.y), p.b)),
	),
	Max: binary(
		(p) => where(greaterOrEqual(p.a, p.b), p.g, 0),
		(p) => where(greaterOrEqual(p.a, p.b), 0, p.g),
	),
	Neg: unary((p) => neg(p.g)),
	Exp: unary((p) => mul(p.g, p.y)),
	Log: unary((p) => div(p.g, p.a)),
	Sqrt: unary((p) => div(mul(p.g, 0.5), p.y)),
	Reciprocal: unary((p) => neg(mul(p.g, mul(p.y, p.y)))),
	Tanh: unary((p) => mul(p.g, sub(1, mul(p.y, p.y)))),
	Sigmoid: unary((p) => mul(p.g, mul(p.y, sub(1, p.y)))),
	Abs: unary((p) => where(less(p.a, 0), neg(p.g), p.g)),
	Identity: unary((p) => p.g),
	// What passes through an integer or a bool has no gradient.
	Cast: rule((p) => [
		p.a.dtype.startsWith("float") && p.y.dtype.startsWith("float") ? cast(p.g, p.a.dtype) : undefined,
	]),
	Where: rule((p) => {
		const [condition, a, b] = p.node.inputs as [Value, Value, Value];
		return [
			undefined,
			p.needed(1) ? sumTo(where(condition, p.g, 0), a.shape) : undefined,
			p.needed(2) ? sumTo(where(condition, 0, p.g), b.shape) : undefined,
		];
	}),
	// GELU(x) = x * s with s = sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3), since tanh(u) = 2 sigmoid(2u) - 1.
	FastGelu: rule((p) => {
		const x = p.node.inputs[1] ? add(p.a, p.b) : p.a;
		const square = mul(x, x);
		const twice = 2 * sqrtTwoOverPi;
		const s = sigmoid(mul(x, add(mul(square, twice * 0.044715), twice)));
		const slope = mul(x, add(mul(square, twice * 0.044715 * 3), twice));
		const gradient = mul(p.g, mul(s, add(mul(slope, sub(1, s)), 1)));
		return [gradient, p.node.inputs[1] && p.needed(1) ? sumTo(gradient, p.b.shape) : undefined];
	}),
	QuickGelu: unary((p) => {
		const scaled = mul(p.a, p.node.attributes.alpha as number);
		const s = sigmoid(scaled);
		return mul(p.g, mul(s, add(mul(scaled, sub(1, s)), 1)));
	}),

	MatMul: rule((p) => product(p, { transA: false, transB: false, alpha: 1 })),
	FusedMatMul: rule((p) => {
		const { transA = 0, transB = 0, alpha = 1 } = p.node.attributes as Record<string, number>;
		return product(p, { transA: transA === 1, transB: transB === 1, alpha });
	}),
	Gemm: rule((p) => {
		const { transA = 0, transB = 0, alpha = 1, beta = 1 } = p.node.attributes as Record<string, number>;
		const c = p.node.inputs[2];
		const dC = c && p.needed(2) ? sumTo(p.g, c.shape) : undefined;
		return [
			p.needed(0)
				? transA
					? gemm(p.b, p.g, { transA: transB === 1, transB: true, alpha })
					: gemm(p.g, unpackedAgain(p.b, p.g), { transB: transB === 0, alpha })
				: undefined,
			p.needed(1)
				? transB
					? gemm(p.g, p.a, { transA: true, transB: transA === 1, alpha })
					: transA
						? gemm(p.a, p.g, { alpha })
						: turnedProduct(p.a, p.g, alpha)
				: undefined,
			dC && (beta === 1 ? dC : mul(dC, beta)),
		];
	}),

	Reshape: unary((p) => reshape(p.g, p.a.shape)),
	Transpose: unary((p) => {
		const perm = p.node.attributes.perm as readonly number[];
		return transpose(
			p.g,
			perm.map((_, axis) => perm.indexOf(axis)),
		);
	}),
	Split: ({ node, gradients }) => {
		const parts = node.outputs.map((output, i) => gradients[i] ?? zeros(output.graph, output.shape));
		const { axis = 0 } = node.attributes as Record<string, number>;
		return [concat(parts, axis)];
	},
	Concat: rule((p) => {
		const inputs = p.node.inputs as readonly Value[];
		const axis = p.node.attributes.axis as number;
		if (inputs.every((input) => formatShape(input.shape) === formatShape(p.a.shape))) {
			return inputs.length === 1 ? [p.g] : split(p.g, { axis, parts: inputs.length });
		}
		let start = 0;
		return inputs.map((input, index) => {
			const end = start + knownSize(input, axis);
			const part = p.needed(index) ? slice(p.g, { axis, start, end }) : undefined;
			start = end;
			return part;
		});
	}),
	Slice: rule((p) => {
		if ((p.node.inputs[1] as Value).shape[0] !== 1) throw new Error("only a slice along one axis has a gradient");
		const [from, given] = [1, 3].map((i) => Number(p.node.inputs[i]?.constant?.[0])) as [number, number];
		const axis = given < 0 ? given + p.a.shape.length : given;
		const size = knownSize(p.a, axis);
		const start = Math.min(Math.max(from < 0 ? from + size : from, 0), size);
		const padding = (size: number) =>
			zeros(
				p.g.graph,
				p.a.shape.map((dim, i) => (i === axis ? size : dim)),
			);
		const after = size - start - knownSize(p.y, axis);
		const parts = [...(start > 0 ? [padding(start)] : []), p.g, ...(after > 0 ? [padding(after)] : [])];
		return [parts.length === 1 ? p.g : concat(parts, axis)];
	}),
	Expand: unary((p) => sumTo(p.g, p.a.shape)),
	Gather: rule((p) => {
		if ((p.node.attributes.axis ?? 0) !== 0) throw new Error("only a lookup along axis 0 has a gradient");
		const count = multiplyDims(p.b.shape);
		const rows = p.b.dtype === "int64" ? p.b : cast(p.b, "int64");
		return [{ rows: reshape(rows, [count]), updates: reshape(p.g, [count, ...p.a.shape.slice(1)]) }];
	}),
	GatherElements: rule((p) => {
		const { axis = 0 } = p.node.attributes;
		const inputs = [zeros(p.g.graph, p.a.shape), p.b, p.g];
		return [p.g.graph.add("ScatterElements", inputs, { axis, reduction: "add" })[0]];
	}),
	ScatterElements: rule((p) => {
		const { axis = 0, reduction } = p.node.attributes;
		if (reduction !== "add") throw new Error("only reduction=add has a gradient");
		const updates = () => p.g.graph.add("GatherElements", [p.g, p.b], { axis })[0];
		return [p.g, undefined, p.needed(2) ? updates() : undefined];
	}),

	ReduceSum: unary((p) => spread(p.g, p)),
	ReduceMean: unary((p) => {
		const sizes = reducedAxes(p).map((axis) => knownSize(p.a, axis));
		return spread(mul(p.g, 1 / sizes.reduce((x, y) => x * y, 1)), p);
	}),
	ReduceSumSquare: unary((p) => mul(spread(mul(p.g, 2), p), p.a)),
	ReduceMax: none,
	Softmax: unary((p) => {
		const { axis = -1 } = p.node.attributes as Record<string, number>;
		const axes = [axis];
		return mul(p.y, sub(p.g, reduceSum(mul(p.g, p.y), { axes, keepDims: true })));
	}),
	LogSoftmax: unary((p) => {
		const { axis = -1 } = p.node.attributes as Record<string, number>;
		const axes = [axis];
		return sub(p.g, mul(exp(p.y), reduceSum(p.g, { axes, keepDims: true })));
	}),
	// x^ = (x - mean) / sd and h = g * weight: dx = (h - mean(h) - x^ mean(h x^)) / sd.
	LayerNormalization: rule((p) => {
		const [x, weight, bias] = p.node.inputs as [Value, Value, Value?];
		const [, mean, inverseDeviation] = p.node.outputs as [Value, Value, Value];
		const normal = p.needed(0) || p.needed(1) ? mul(sub(x, mean), inverseDeviation) : x;
		const dX = () => {
			const h = mul(p.g, weight);
			const last = { axes: [x.shape.length - 1], keepDims: true };
			const centred = sub(sub(h, reduceMean(h, last)), mul(normal, reduceMean(mul(h, normal), last)));
			return mul(centred, inverseDeviation);
		};
		return [
			p.needed(0) ? dX() : undefined,
			p.needed(1) ? sumTo(mul(p.g, normal), weight.shape) : undefined,
			bias && p.needed(2) ? sumTo(p.g, bias.shape) : undefined,
		];
	}),

	Less: constant,
	GreaterOrEqual: constant,
	Shape: constant,
	ConstantOfShape: constant,
	BitwiseXor: constant,
	BitShift: constant,
	SkipLayerNormalization: none,
	GroupQueryAttention: none,
	MatMulNBits: none,
	// What is held in few bits is frozen.
	DequantizeLinear: none,
} satisfies Record<OpName, GradientRule>;

/** A matrix held in few bits is unpacked once more when g is there, instead of being kept since the forward pass. */
function unpackedAgain(matrix: Value, g: Value): Value {
	if (matrix.node?.op !== "DequantizeLinear") return matrix;
	const { inputs, attributes } = matrix.node;
	const [packed, scale, zero] = inputs as [Value, Value, Value];
	return matrix.graph.add("DequantizeLinear", [packed, after(scale, g), zero], attributes)[0] as Value;
}

/** Sums a gradient over the axes along which an input of this shape was broadcast. */
function sumTo(gradient: Value, shape: Shape): Value {
	const extra = gradient.shape.length - shape.length;
	const axes = gradient.shape.flatMap((dim, axis) => (axis < extra || dim !== shape[axis - extra] ? [axis] : []));
	if (axes.length === 0) return gradient;
	if (extra === 0) return reduceSum(gradient, { axes, keepDims: true });
	const sum = reduceSum(gradient, { axes });
	return sum.shape.length === shape.length ? sum : reshape(sum, shape);
}

function reducedAxes({ node, a }: Parts): number[] {
	const constant = node.inputs[1]?.constant;
	const axes = constant ? Array.from(constant, Number) : a.shape.map((_, axis) => axis);
	return axes.map((axis) => (axis < 0 ? axis + a.shape.length : axis));
}

/** Undoes a reduction: the gradient of the result, repeated over the axes that were reduced. */
function spread(gradient: Value, p: Parts): Value {
	const reduced = new Set(reducedAxes(p));
	const kept = reshape(
		gradient,
		p.a.shape.map((dim, axis) => (reduced.has(axis) ? 1 : dim)),
	);
	return expand(kept, p.a.shape);
}

/** From this size on, turning a matrix over costs less than it saves. */
const WORTH_TURNING = 64;

/**
 * alpha * aᵀ g, with a [N, I] and g [N, O]. ONNX Runtime's kernel turns a transposed left side over piece by piece, again
 * for every 128 columns: turning over the narrower side once is faster (weight gradients of GPT-2: 10-15 %, of a model of
 * 128 channels: 40 %). Sessions must not merge the Transpose into the product again, see train/engine.ts.
 */
function turnedProduct(a: Value, g: Value, alpha: number): Value {
	const [inputs, outputs] = [a.shape[1], g.shape[1]];
	const known = typeof inputs === "number" && typeof outputs === "number";
	if (!known || Math.min(inputs, outputs) < WORTH_TURNING) return gemm(a, g, { transA: true, alpha });
	if (inputs <= outputs) return gemm(transpose(a, [1, 0]), g, { alpha });
	return transpose(gemm(transpose(g, [1, 0]), a, { alpha }), [1, 0]);
}

/** Both gradients of alpha * A B over the last two axes. */
function product(p: Parts, { transA, transB, alpha }: { transA: boolean; transB: boolean; alpha: number }) {
	const { a, b, g } = p;
	if (b.shape.length === 2 && a.shape.length > 2 && !transA) {
		// A stack of rows against one matrix: flattened, so that dB is one product instead of a sum of many.
		const rows = multiplyDims(a.shape.slice(0, -1));
		const dA = () => (transB && alpha === 1 ? matMul(g, b) : fusedMatMul(g, b, { transB: !transB, alpha }));
		const dB = () => {
			const flatA = reshape(a, [rows, a.shape.at(-1) as number]);
			const flatG = reshape(g, [rows, g.shape.at(-1) as number]);
			return transB ? gemm(flatG, flatA, { transA: true, alpha }) : gemm(flatA, flatG, { transA: true, alpha });
		};
		return [p.needed(0) ? dA() : undefined, p.needed(1) ? dB() : undefined];
	}
	const dA = () =>
		transA ? fusedMatMul(b, g, { transA: transB, transB: true, alpha }) : fusedMatMul(g, b, { transB: !transB, alpha });
	const dB = () =>
		transB ? fusedMatMul(g, a, { transA: true, transB: transA, alpha }) : fusedMatMul(a, g, { transA: !transA, alpha });
	return [p.needed(0) ? sumTo(dA(), a.shape) : undefined, p.needed(1) ? sumTo(dB(), b.shape) : undefined];
}

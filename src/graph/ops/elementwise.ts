// Operators that treat every element alone (with broadcasting).

import type { DType } from "../../runtime/index.ts";
import { formatShape, multiplyDims } from "../dim.ts";
import {
	heldShape,
	need,
	needAtMost,
	needBroadcast,
	needFloat,
	needInteger,
	needNumber,
	needSameType,
	type OpDefinition,
	type OpInput,
} from "./op.ts";

/** `accept` throws for a type that the operator does not take. */
function unaryOf(accept: (x: OpInput) => OpInput): OpDefinition {
	return {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			needAtMost(inputs, 1);
			const { dtype, shape } = accept(need(inputs, 0));
			return [{ dtype, shape }];
		},
	};
}

function binaryOf(accept: (x: OpInput) => OpInput): OpDefinition {
	return {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			needAtMost(inputs, 2);
			const a = accept(need(inputs, 0));
			const b = accept(need(inputs, 1));
			return [{ dtype: needSameType(a, b), shape: needBroadcast(a.shape, b.shape) }];
		},
	};
}

const unary = unaryOf(needFloat);
const binary = binaryOf(needNumber);
const bitwise = binaryOf(needInteger);

/** Also follows the product of two sizes, as in [B * T]. */
const product: OpDefinition = {
	...binary,
	infer: (inputs, attributes, freshName) => {
		const [a, b] = [heldShape(need(inputs, 0)), heldShape(need(inputs, 1))];
		const known = a?.length === 1 && b?.length === 1 ? { shapeOf: [multiplyDims([...a, ...b])] } : {};
		return binary.infer(inputs, attributes, freshName).map((type) => ({ ...type, ...known }));
	},
};

const comparison: OpDefinition = {
	...binary,
	infer: (inputs, attributes, freshName) =>
		binary.infer(inputs, attributes, freshName).map(({ shape }) => ({ dtype: "bool", shape })),
};

/** ONNX's numbers for element types, as `Cast` and the protobuf use them. */
export const onnxTypes = {
	float32: 1,
	uint8: 2,
	int8: 3,
	uint16: 4,
	int16: 5,
	int32: 6,
	int64: 7,
	bool: 9,
	float16: 10,
	float64: 11,
	uint32: 12,
	uint64: 13,
	bfloat16: 16,
	uint4: 21,
} as const satisfies Record<DType, number>;

export const elementwise = {
	Add: binary,
	Sub: binary,
	Mul: product,
	Div: binary,
	Max: binary,
	BitwiseXor: bitwise,
	/** direction: LEFT or RIGHT; unsigned integers only. */
	BitShift: {
		...bitwise,
		attributes: { direction: "string" },
		infer: (inputs, attributes, freshName) => {
			const { direction } = attributes;
			if (direction !== "LEFT" && direction !== "RIGHT") throw new Error(`direction is ${direction}`);
			const { dtype, name } = need(inputs, 0);
			if (!dtype.startsWith("uint")) throw new Error(`"${name}" is ${dtype}, not an unsigned integer`);
			return bitwise.infer(inputs, attributes, freshName);
		},
	},
	Less: comparison,
	GreaterOrEqual: comparison,
	Neg: unaryOf(needNumber),
	Exp: unary,
	Log: unary,
	Sqrt: unary,
	Reciprocal: unary,
	Tanh: unary,
	Sigmoid: unary,
	Abs: unaryOf(needNumber),
	Identity: unaryOf((x) => x),
	/** x * Phi(x), tanh approximation; the optional second input is a bias [C] added first. */
	FastGelu: {
		domain: "com.microsoft",
		attributes: {},
		infer: (inputs) => {
			needAtMost(inputs, 2);
			const x = needFloat(need(inputs, 0));
			if (x.shape.length === 0) throw new Error("rank 1 or more is needed");
			const bias = inputs[1];
			if (bias && (bias.shape.length !== 1 || bias.shape[0] !== x.shape.at(-1) || bias.dtype !== x.dtype)) {
				throw new Error(`the bias is ${bias.dtype}${formatShape(bias.shape)}, expected ${x.dtype}[${x.shape.at(-1)}]`);
			}
			return [{ dtype: x.dtype, shape: x.shape }];
		},
	},
	/** x * sigmoid(alpha * x) */
	QuickGelu: { ...unary, domain: "com.microsoft", attributes: { alpha: "float" } },
	Cast: {
		domain: "",
		attributes: { to: "int" },
		infer: (inputs, attributes) => {
			needAtMost(inputs, 1);
			const found = Object.entries(onnxTypes).find(([, number]) => number === attributes.to);
			if (!found) throw new Error(`no element type has the number ${attributes.to}`);
			return [{ dtype: found[0] as DType, shape: need(inputs, 0).shape }];
		},
	},
	Where: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			needAtMost(inputs, 3);
			const condition = need(inputs, 0);
			if (condition.dtype !== "bool") throw new Error(`the condition is ${condition.dtype}, not bool`);
			const dtype = needSameType(need(inputs, 1), need(inputs, 2));
			const shape = needBroadcast(condition.shape, needBroadcast(need(inputs, 1).shape, need(inputs, 2).shape));
			return [{ dtype, shape }];
		},
	},
} as const satisfies Record<string, OpDefinition>;

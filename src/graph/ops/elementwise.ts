// Operators that treat every element alone (with broadcasting).

import { multiplyDims } from "../dim.ts";
import { heldShape, need, needBroadcast, needSameType, type OpDefinition } from "./op.ts";

const unary: OpDefinition = {
	domain: "",
	attributes: {},
	infer: (inputs) => [need(inputs, 0)],
};

const binary: OpDefinition = {
	domain: "",
	attributes: {},
	infer: (inputs) => {
		const a = need(inputs, 0);
		const b = need(inputs, 1);
		return [{ dtype: needSameType(a, b), shape: needBroadcast(a.shape, b.shape) }];
	},
};

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
	int32: 6,
	int64: 7,
	bool: 9,
	float16: 10,
	float64: 11,
	uint32: 12,
} as const;
export type CastType = keyof typeof onnxTypes;

export const elementwise = {
	Add: binary,
	Sub: binary,
	Mul: product,
	Div: binary,
	Max: binary,
	BitwiseXor: binary,
	BitShift: { ...binary, attributes: { direction: "string" } },
	Less: comparison,
	GreaterOrEqual: comparison,
	Neg: unary,
	Exp: unary,
	Log: unary,
	Sqrt: unary,
	Reciprocal: unary,
	Tanh: unary,
	Sigmoid: unary,
	Abs: unary,
	Identity: unary,
	/** x * Phi(x), tanh approximation; the optional second input is a bias [C] added first. */
	FastGelu: { ...unary, domain: "com.microsoft" },
	/** x * sigmoid(alpha * x) */
	QuickGelu: { ...unary, domain: "com.microsoft", attributes: { alpha: "float" } },
	Cast: {
		domain: "",
		attributes: { to: "int" },
		infer: (inputs, attributes) => {
			const found = Object.entries(onnxTypes).find(([, number]) => number === attributes.to);
			if (!found) throw new Error(`no element type has the number ${attributes.to}`);
			return [{ dtype: found[0] as CastType, shape: need(inputs, 0).shape }];
		},
	},
	Where: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			const condition = need(inputs, 0);
			if (condition.dtype !== "bool") throw new Error(`the condition is ${condition.dtype}, not bool`);
			const dtype = needSameType(need(inputs, 1), need(inputs, 2));
			const shape = needBroadcast(condition.shape, needBroadcast(need(inputs, 1).shape, need(inputs, 2).shape));
			return [{ dtype, shape }];
		},
	},
} as const satisfies Record<string, OpDefinition>;

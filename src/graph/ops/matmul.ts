// Matrix products.

import type { Dim } from "../dim.ts";
import { formatShape } from "../dim.ts";
import {
	intAttribute,
	need,
	needAtMost,
	needBroadcast,
	needFloat,
	needSameType,
	type OpDefinition,
	type OpInput,
} from "./op.ts";

function product(a: OpInput, b: OpInput, transpose: { a: boolean; b: boolean }) {
	if (a.shape.length < 2 || b.shape.length < 2) throw new Error("both sides need rank 2 or more");
	const [rows, inner] = lastTwo(a, transpose.a);
	const [innerB, columns] = lastTwo(b, transpose.b);
	if (inner !== innerB) {
		throw new Error(
			`the inner sizes ${inner} and ${innerB} of ${formatShape(a.shape)} and ${formatShape(b.shape)} differ`,
		);
	}
	const batch = needBroadcast(a.shape.slice(0, -2), b.shape.slice(0, -2));
	return { dtype: needSameType(needFloat(a), needFloat(b)), shape: [...batch, rows, columns] };
}

function lastTwo({ shape }: OpInput, transposed: boolean): [Dim, Dim] {
	const pair: [Dim, Dim] = [shape[shape.length - 2] as Dim, shape[shape.length - 1] as Dim];
	return transposed ? [pair[1], pair[0]] : pair;
}

export const matmul = {
	MatMul: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			needAtMost(inputs, 2);
			return [product(need(inputs, 0), need(inputs, 1), { a: false, b: false })];
		},
	},
	/** alpha * A B over the last two axes, either side transposed. */
	FusedMatMul: {
		domain: "com.microsoft",
		attributes: { transA: "int", transB: "int", alpha: "float" },
		infer: (inputs, attributes) => {
			needAtMost(inputs, 2);
			const transpose = {
				a: intAttribute(attributes, "transA", 0) === 1,
				b: intAttribute(attributes, "transB", 0) === 1,
			};
			return [product(need(inputs, 0), need(inputs, 1), transpose)];
		},
	},
	/** alpha * A B + beta * C for matrices; C broadcasts. */
	Gemm: {
		domain: "",
		attributes: { transA: "int", transB: "int", alpha: "float", beta: "float" },
		infer: (inputs, attributes) => {
			needAtMost(inputs, 3);
			const a = need(inputs, 0);
			const b = need(inputs, 1);
			if (a.shape.length !== 2 || b.shape.length !== 2) throw new Error("Gemm takes matrices of rank 2");
			const transpose = {
				a: intAttribute(attributes, "transA", 0) === 1,
				b: intAttribute(attributes, "transB", 0) === 1,
			};
			const out = product(a, b, transpose);
			const c = inputs[2];
			if (c) needSameType(a, c);
			if (c && needBroadcast(c.shape, out.shape).some((dim, axis) => dim !== out.shape[axis])) {
				throw new Error(`C ${formatShape(c.shape)} does not broadcast to ${formatShape(out.shape)}`);
			}
			return [out];
		},
	},
	/** A [.., K] times a weight [N, K] held in blocks of 4 or 8 bits; the other inputs are its blocks, scales, zero points. */
	MatMulNBits: {
		domain: "com.microsoft",
		attributes: { K: "int", N: "int", bits: "int", block_size: "int", accuracy_level: "int" },
		infer: (inputs, attributes) => {
			const a = needFloat(need(inputs, 0));
			needSameType(a, need(inputs, 2));
			if (need(inputs, 1).dtype !== "uint8") throw new Error(`the blocks are ${need(inputs, 1).dtype}, not uint8`);
			if (a.shape.at(-1) !== attributes.K) throw new Error(`the last axis is ${a.shape.at(-1)}, K is ${attributes.K}`);
			return [{ dtype: a.dtype, shape: [...a.shape.slice(0, -1), attributes.N as number] }];
		},
	},
} as const satisfies Record<string, OpDefinition>;

// Operators that move elements without computing on them: layout, selection, scattering.

import { type Dim, divideDim, formatShape, multiplyDims, sameShape } from "../dim.ts";
import {
	type Attributes,
	heldShape,
	intAttribute,
	need,
	needAtMost,
	needBroadcast,
	needConstant,
	needSameType,
	needShape,
	normalizeAxis,
	type OpDefinition,
	type OpInput,
} from "./op.ts";

export const shape = {
	/** The target is a constant (-1: what is left) or a vector known in symbols (see `shapeVector` in build.ts). */
	Reshape: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			const x = need(inputs, 0);
			const target = needShape(inputs, 1);
			if (target.filter((dim) => dim === -1).length > 1)
				throw new Error(`${formatShape(target)} leaves two sizes open`);
			const rest = divideDim(multiplyDims(x.shape), multiplyDims(target.filter((dim) => dim !== -1)));
			const shape = target.map((dim) => (dim === -1 ? (rest ?? 0) : dim));
			if (multiplyDims(shape) !== multiplyDims(x.shape)) {
				throw new Error(`${formatShape(x.shape)} has not the size of ${formatShape(shape)}`);
			}
			return [{ dtype: x.dtype, shape }];
		},
	},
	Shape: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			const { shape } = need(inputs, 0);
			return [{ dtype: "int64", shape: [shape.length], shapeOf: shape }];
		},
	},
	Transpose: {
		domain: "",
		attributes: { perm: "ints" },
		infer: (inputs, attributes) => {
			const x = need(inputs, 0);
			const perm = (attributes.perm ?? []) as readonly number[];
			if (
				!sameShape(
					[...perm].sort((a, b) => a - b),
					x.shape.map((_, axis) => axis),
				)
			) {
				throw new Error(`perm [${perm}] does not permute the axes of ${formatShape(x.shape)}`);
			}
			return [{ dtype: x.dtype, shape: perm.map((axis) => x.shape[axis] as Dim) }];
		},
	},
	/** Into equal parts along an axis. */
	Split: {
		domain: "",
		attributes: { axis: "int", num_outputs: "int" },
		infer: (inputs, attributes) => {
			const x = need(inputs, 0);
			const axis = normalizeAxis(intAttribute(attributes, "axis", 0), x.shape.length);
			const parts = attributes.num_outputs as number;
			const size = divideDim(x.shape[axis] as Dim, parts);
			if (size === undefined) throw new Error(`axis ${axis} of ${formatShape(x.shape)} does not divide by ${parts}`);
			const part = { dtype: x.dtype, shape: x.shape.map((dim, i) => (i === axis ? size : dim)) };
			return Array.from({ length: parts }, () => part);
		},
	},
	Concat: {
		domain: "",
		attributes: { axis: "int" },
		infer: (inputs, attributes, freshName) => {
			const first = need(inputs, 0);
			const axis = normalizeAxis(attributes.axis as number, first.shape.length);
			const others = (s: readonly Dim[]) => s.filter((_, i) => i !== axis);
			for (let i = 1; i < inputs.length; i++) {
				needSameType(first, need(inputs, i));
				if (!sameShape(others(first.shape), others(need(inputs, i).shape))) throw new Error("the other axes differ");
			}
			const sizes = inputs.map((_, i) => need(inputs, i).shape[axis] as Dim);
			const same = sizes.every((size) => size === sizes[0]);
			const size = sizes.every((dim) => typeof dim === "number")
				? (sizes as number[]).reduce((a, b) => a + b, 0)
				: same
					? multiplyDims([inputs.length, sizes[0] as Dim])
					: freshName("Concat");
			const out = { dtype: first.dtype, shape: first.shape.map((dim, i) => (i === axis ? size : dim)) };
			if (first.dtype !== "int64" || first.shape.length !== 1) return [out];
			const parts = inputs.map((_, i) => heldShape(need(inputs, i)));
			return [parts.every((part) => part !== undefined) ? { ...out, shapeOf: parts.flat() } : out];
		},
	},
	/** starts, ends and axes are constants (no steps); a sliced axis must have a known size. */
	Slice: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			const x = need(inputs, 0);
			needAtMost(inputs, 4);
			const starts = needConstant(inputs, 1);
			const ends = needConstant(inputs, 2);
			const axes = needConstant(inputs, 3);
			if (ends.length !== starts.length || axes.length !== starts.length) {
				throw new Error("starts, ends and axes differ in length");
			}
			const out = [...x.shape];
			axes.forEach((given, i) => {
				const axis = normalizeAxis(given, x.shape.length);
				const size = x.shape[axis];
				if (typeof size !== "number") throw new Error(`axis ${axis} of ${formatShape(x.shape)} has no known size`);
				const clamp = (index: number) => Math.min(Math.max(index < 0 ? index + size : index, 0), size);
				out[axis] = Math.max(0, clamp(ends[i] as number) - clamp(starts[i] as number));
			});
			const held = starts.length === 1 ? heldShape(x) : undefined;
			return [{ dtype: x.dtype, shape: out, ...(held && { shapeOf: held.slice(starts[0], ends[0]) }) }];
		},
	},
	/** Broadcasts to the Shape of another value or to a constant shape. */
	Expand: {
		domain: "",
		attributes: {},
		infer: (inputs) => {
			const x = need(inputs, 0);
			return [{ dtype: x.dtype, shape: needBroadcast(x.shape, needShape(inputs, 1)) }];
		},
	},
	Gather: {
		domain: "",
		attributes: { axis: "int" },
		infer: (inputs, attributes) => {
			const data = need(inputs, 0);
			const indices = needIndices(need(inputs, 1));
			const axis = normalizeAxis(intAttribute(attributes, "axis", 0), data.shape.length);
			const out = [...data.shape.slice(0, axis), ...indices.shape, ...data.shape.slice(axis + 1)];
			return [{ dtype: data.dtype, shape: out }];
		},
	},
	/** out[i][j] = data[indices[i][j]][j] for axis 0, and so on: single elements, addressed along one axis. */
	GatherElements: {
		domain: "",
		attributes: { axis: "int" },
		infer: (inputs, attributes) => {
			const data = need(inputs, 0);
			return [{ dtype: data.dtype, shape: needElementIndices(data, need(inputs, 1), attributes).shape }];
		},
	},
	/** Data with `updates` written over (or, with reduction=add, added to) the elements that GatherElements would read. */
	ScatterElements: {
		domain: "",
		attributes: { axis: "int", reduction: "string" },
		infer: (inputs, attributes) => {
			const data = need(inputs, 0);
			const indices = needElementIndices(data, need(inputs, 1), attributes);
			const updates = need(inputs, 2);
			if (!sameShape(indices.shape, updates.shape)) {
				throw new Error(`updates are ${formatShape(updates.shape)}, indices ${formatShape(indices.shape)}`);
			}
			return [{ dtype: needSameType(data, updates), shape: data.shape }];
		},
	},
	/** Zeros (float32) of the shape given. */
	ConstantOfShape: {
		domain: "",
		attributes: {},
		infer: (inputs) => [{ dtype: "float32", shape: needShape(inputs, 0) }],
	},
} as const satisfies Record<string, OpDefinition>;

function needIndices(indices: OpInput): OpInput {
	if (indices.dtype !== "int64" && indices.dtype !== "int32") throw new Error(`indices are ${indices.dtype}`);
	return indices;
}

/** Indices that address single elements: of the rank of data. */
function needElementIndices(data: OpInput, indices: OpInput, attributes: Attributes): OpInput {
	normalizeAxis(intAttribute(attributes, "axis", 0), data.shape.length);
	if (indices.shape.length !== data.shape.length) {
		throw new Error(`indices ${formatShape(indices.shape)} have not the rank of ${formatShape(data.shape)}`);
	}
	return needIndices(indices);
}

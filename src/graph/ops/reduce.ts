// Reductions over axes, and the operators that normalise along the last axis.

import type { Dim } from "../dim.ts";
import { formatShape, sameShape } from "../dim.ts";
import {
	intAttribute,
	need,
	needAtMost,
	needConstant,
	needFloat,
	needNumber,
	needSameType,
	normalizeAxis,
	type OpDefinition,
	type OpInput,
} from "./op.ts";

/** axes: constant second input (absent: all); keepdims as in ONNX, 1 unless said. */
const reduction: OpDefinition = {
	domain: "",
	attributes: { keepdims: "int" },
	infer: (inputs, attributes) => {
		needAtMost(inputs, 2);
		const x = needNumber(need(inputs, 0));
		const axes = inputs[1] ? needConstant(inputs, 1) : x.shape.map((_, axis) => axis);
		const dropped = new Set(axes.map((axis) => normalizeAxis(axis, x.shape.length)));
		const keep = intAttribute(attributes, "keepdims", 1) === 1;
		const out: Dim[] = [];
		x.shape.forEach((dim, axis) => {
			if (!dropped.has(axis)) out.push(dim);
			else if (keep) out.push(1);
		});
		return [{ dtype: x.dtype, shape: out }];
	},
};

const softmax: OpDefinition = {
	domain: "",
	attributes: { axis: "int" },
	infer: (inputs, attributes) => {
		needAtMost(inputs, 1);
		const x = needFloat(need(inputs, 0));
		normalizeAxis(intAttribute(attributes, "axis", -1), x.shape.length);
		return [x];
	},
};

export const reduce = {
	ReduceSum: reduction,
	ReduceMean: reduction,
	ReduceMax: reduction,
	ReduceSumSquare: reduction,
	Softmax: softmax,
	LogSoftmax: softmax,
	/** Over the last axis. Outputs: y, mean [..., 1], inverse standard deviation [..., 1]. */
	LayerNormalization: {
		domain: "",
		attributes: { axis: "int", epsilon: "float" },
		infer: (inputs, attributes) => {
			needAtMost(inputs, 3);
			const x = needFloat(need(inputs, 0));
			const axis = intAttribute(attributes, "axis", -1);
			if (normalizeAxis(axis, x.shape.length) !== x.shape.length - 1) throw new Error(`axis ${axis} is not the last`);
			needChannels(x, [need(inputs, 1), inputs[2]]);
			const statistics = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
			return [x, statistics, statistics];
		},
	},
	/** LayerNormalization of input + skip (generation only). Outputs: y, and the sum as fourth output. */
	SkipLayerNormalization: {
		domain: "com.microsoft",
		attributes: { epsilon: "float" },
		infer: (inputs) => {
			needAtMost(inputs, 5);
			const x = needFloat(need(inputs, 0));
			const skip = need(inputs, 1);
			if (!sameShape(x.shape, skip.shape)) {
				throw new Error(`the input ${formatShape(x.shape)} and the skip ${formatShape(skip.shape)} differ`);
			}
			needSameType(x, skip);
			needChannels(x, [need(inputs, 2), inputs[3], inputs[4]]);
			const statistics = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
			return [x, statistics, statistics, x];
		},
	},
} as const satisfies Record<string, OpDefinition>;

/** Every weight given has the size of x's last axis. */
function needChannels(x: OpInput, weights: readonly (OpInput | undefined)[]): void {
	const channels = x.shape.at(-1);
	for (const weight of weights) {
		if (!weight) continue;
		if (weight.shape.length !== 1 || weight.shape[0] !== channels) {
			throw new Error(`"${weight.name}" is ${formatShape(weight.shape)}, expected [${channels}]`);
		}
		needSameType(x, weight);
	}
}

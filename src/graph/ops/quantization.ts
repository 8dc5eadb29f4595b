// Numbers held in few bits.

import { formatShape, sameShape } from "../dim.ts";
import { need, needAtMost, needFloat, normalizeAxis, type OpDefinition } from "./op.ts";

export const quantization = {
	/** (x - zero) * scale in blocks along an axis: scale and zero [.., ceil(size / block_size), ..]. */
	DequantizeLinear: {
		domain: "",
		attributes: { axis: "int", block_size: "int" },
		infer: (inputs, attributes) => {
			needAtMost(inputs, 3);
			const x = need(inputs, 0);
			const scale = needFloat(need(inputs, 1));
			const zero = need(inputs, 2);
			if (x.dtype !== "uint4" && x.dtype !== "uint8") throw new Error(`"${x.name}" is ${x.dtype}, not uint4 or uint8`);
			if (zero.dtype !== x.dtype) throw new Error(`the zeros are ${zero.dtype}, the numbers ${x.dtype}`);
			const axis = normalizeAxis(attributes.axis as number, x.shape.length);
			const blocks = x.shape.map((size, i) =>
				i === axis ? Math.ceil((size as number) / (attributes.block_size as number)) : size,
			);
			for (const { name, shape } of [scale, zero]) {
				if (!sameShape(shape, blocks)) {
					throw new Error(`"${name}" is ${formatShape(shape)}, expected ${formatShape(blocks)}`);
				}
			}
			return [{ dtype: scale.dtype, shape: x.shape }];
		},
	},
} as const satisfies Record<string, OpDefinition>;

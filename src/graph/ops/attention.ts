// Fused attention over a key-value cache, for generation.

import { formatShape, sameShape } from "../dim.ts";
import { need, needFloat, needSameType, type OpDefinition } from "./op.ts";

export const attention = {
	/**
	 * query is the packed projection [B, T, (H + 2 KVH) * D]; past and present key and value [B, KVH, M, D] are the same
	 * memory (M: capacity); seqlens_k [B] int32 is the valid length minus one of each sequence, total_sequence_length a
	 * scalar int32 with the largest. Outputs: attention [B, T, H * D], present key, present value.
	 */
	GroupQueryAttention: {
		domain: "com.microsoft",
		attributes: { num_heads: "int", kv_num_heads: "int", scale: "float", do_rotary: "int" },
		infer: (inputs, attributes) => {
			const query = needFloat(need(inputs, 0));
			const key = need(inputs, 3);
			const value = need(inputs, 4);
			const heads = attributes.num_heads as number;
			const keyValueHeads = attributes.kv_num_heads as number;
			const size = key.shape[3] as number;
			if (inputs[1] || inputs[2]) throw new Error("query, key and value are packed in the first input");
			if (query.shape.length !== 3 || query.shape[2] !== (heads + 2 * keyValueHeads) * size) {
				throw new Error(`the packed query is ${formatShape(query.shape)}, not [B, T, (H + 2 KVH) * D]`);
			}
			if (key.shape.length !== 4 || key.shape[1] !== keyValueHeads || !sameShape(key.shape, value.shape)) {
				throw new Error(
					`the past is ${formatShape(key.shape)} and ${formatShape(value.shape)}, not [B, KVH, M, D] twice`,
				);
			}
			needSameType(query, key);
			needSameType(query, value);
			for (const index of [5, 6]) {
				const { dtype, name } = need(inputs, index);
				if (dtype !== "int32") throw new Error(`"${name}" is ${dtype}, not int32`);
			}
			const mixed = { dtype: query.dtype, shape: [...query.shape.slice(0, -1), heads * size] };
			return [mixed, { dtype: key.dtype, shape: key.shape }, { dtype: value.dtype, shape: value.shape }];
		},
	},
} as const satisfies Record<string, OpDefinition>;

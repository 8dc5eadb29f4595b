// Fused attention over a key-value cache, for generation.

import { need, type OpDefinition } from "./op.ts";

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
			const query = need(inputs, 0);
			const past = need(inputs, 3);
			const width = (attributes.num_heads as number) * (past.shape[3] as number);
			return [{ dtype: query.dtype, shape: [...query.shape.slice(0, -1), width] }, past, need(inputs, 4)];
		},
	},
} as const satisfies Record<string, OpDefinition>;

// Causal self-attention over whole sequences, for training and evaluation. Generation uses ONNX Runtime's fused kernel
// with a cache instead (models/generation-graph.ts); a test joins the two.

import {
	add,
	type Dim,
	fusedMatMul,
	greaterOrEqual,
	matMul,
	reshape,
	softmax,
	split,
	transpose,
	type Value,
	where,
} from "../graph/index.ts";

/** Additive mask [T, T]: 0 where position t may see position s (s <= t), else a number that exp turns into 0. */
export function causalMask(positions: Value): Value {
	const time = positions.shape[0] as Dim;
	const seen = greaterOrEqual(reshape(positions, [time, 1]), reshape(positions, [1, time]));
	return where(seen, 0, -1e30);
}

export interface AttentionOptions {
	heads: number;
	batch: Dim;
	time: Dim;
	/** [T, T], from causalMask. */
	mask: Value;
	/** Applied to the attention weights. */
	dropout?: (weights: Value) => Value;
}

/** qkv [B*T, 3 C] to [B*T, C]. */
export function causalSelfAttention(qkv: Value, { heads, batch, time, mask, dropout }: AttentionOptions): Value {
	const channels = (qkv.shape[1] as number) / 3;
	const size = channels / heads;
	const byHead = transpose(reshape(qkv, [batch, time, 3, heads, size]), [2, 0, 3, 1, 4]); // [3, B, H, T, D]
	const [q, k, v] = split(byHead, { axis: 0, parts: 3 }).map((x) => reshape(x, [batch, heads, time, size]));
	const scores = fusedMatMul(q as Value, k as Value, { transB: true, alpha: 1 / Math.sqrt(size) }); // [B, H, T, T]
	const weights = softmax(add(scores, mask));
	const mixed = matMul(dropout ? dropout(weights) : weights, v as Value); // [B, H, T, D]
	return reshape(transpose(mixed, [0, 2, 1, 3]), [qkv.shape[0] as Dim, channels]);
}

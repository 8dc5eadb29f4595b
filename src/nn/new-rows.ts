// Rows at the end of a table that are trained while the rest of it is frozen: those of tokens that were added to a model.
// Their gradient is a product with as many columns as there are new rows; the rest of the table's is never computed.

import { gather, gemm, max, multiplyDims, reshape, sub, type Value } from "../graph/index.ts";

export interface NewRows {
	/** First row that is trained; all after it are, too. */
	from: number;
	/** Rows that are trained. */
	count: number;
}

/** For each id the unit vector of its new row, zeros for an id below `from`. ids: [N] int64; [N, count]. */
export function newRowOf(ids: Value, { from, count }: NewRows): Value {
	const units = new Float32Array((count + 1) * count);
	for (let row = 0; row < count; row++) units[(row + 1) * count + row] = 1;
	const integer = (value: number) => ids.graph.constant(BigInt64Array.of(BigInt(value)), [], "int64");
	const index = max(sub(ids, integer(from - 1)), integer(0));
	return gather(ids.graph.constant(units, [count + 1, count], "float32"), index);
}

/** What a lookup gives the new rows: [count, C]. ids of any shape, gradient [..., C]. */
export function lookupGradient(ids: Value, { gradient, rows }: { gradient: Value; rows: NewRows }): Value {
	const count = multiplyDims(ids.shape);
	const flat = reshape(gradient, [count, gradient.shape.at(-1) as number]);
	return gemm(newRowOf(reshape(ids, [count]), rows), flat, { transA: true });
}

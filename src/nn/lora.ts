// Low-rank adapters (Hu et al., 2021): a frozen linear layer y = x W + b gets s (x A^T) B^T added, of which only A and B
// are trained; DoRA (Liu et al., 2024) also trains the length of each column of W + s (B A)^T. Shapes and names are those
// of PEFT; W is [in, out]. Only the graph: which layers carry an adapter, and its files, are the business of models/.

import {
	add,
	detach,
	div,
	gemm,
	mul,
	reduceSum,
	reduceSumSquare,
	sqrt,
	transpose,
	type Value,
} from "../graph/index.ts";
import type { ModelContext } from "./context.ts";

export interface LoraOptions {
	/** s: alpha / r, or alpha / sqrt(r) under rsLoRA. */
	scale: number;
	/** Part of the elements of x that A does not see, in training. */
	dropout: number;
	/** Whether layers have a `lora_magnitude_vector`. */
	dora: boolean;
	/** Whether this layer carries an adapter. */
	adapts(layer: string): boolean;
}

/** The tensors that an adapter adds to the layer `name`. A: [r, in], B: [out, r], magnitude: [out]. */
export const loraNames = (name: string) => ({
	a: `${name}.lora_A.weight`,
	b: `${name}.lora_B.weight`,
	magnitude: `${name}.lora_magnitude_vector`,
});

/** The context with adapters on its linear layers. */
export function withLora(context: ModelContext, options: LoraOptions): ModelContext {
	const { scale, dropout, dora, adapts } = options;
	return {
		...context,
		linear(name, x) {
			if (!adapts(name)) return context.linear(name, x);
			const names = loraNames(name);
			const a = context.weight(names.a);
			const b = context.weight(names.b);
			const narrow = gemm(dropout > 0 ? context.dropout(x, dropout) : x, a, { transB: true }); // [N, r]
			// The product starts from what the layer gives: it costs no pass of its own over [N, out].
			const onto = (c: Value) => gemm(narrow, b, { transB: true, alpha: scale, c });
			if (!dora) return onto(context.linear(name, x));
			const w = context.weight(`${name}.weight`, x);
			const ratio = div(context.weight(names.magnitude), detach(columnLengths({ w, a, b, scale })));
			return add(mul(onto(gemm(x, w)), ratio), context.weight(`${name}.bias`));
		},
	};
}

interface Factors {
	w: Value;
	a: Value;
	b: Value;
	scale: number;
}

/**
 * Lengths of the columns of W + s (B A)^T: [out]. The square is multiplied out, so that the sum, as large as W, is never
 * written: |w|^2 + 2 s b (A w) + s^2 b (A A^T) b.
 */
export function columnLengths({ w, a, b, scale }: Factors): Value {
	const products = gemm(a, w, { alpha: 2 * scale }); // [r, out]
	const gram = gemm(a, a, { transB: true, alpha: scale * scale }); // [r, r]
	const flipped = transpose(b, [1, 0]); // [r, out]
	const rest = reduceSum(mul(flipped, gemm(gram, flipped, { c: products })), { axes: [0] });
	return sqrt(add(reduceSumSquare(w, { axes: [0] }), rest));
}

/** The weight of one layer that does what the layer and its adapter do together: [in, out]. */
export function mergedWeight({ w, a, b, scale, magnitude }: Factors & { magnitude?: Value }): Value {
	const sum = gemm(a, b, { transA: true, transB: true, alpha: scale, c: w });
	return magnitude ? mul(sum, div(magnitude, columnLengths({ w, a, b, scale }))) : sum;
}

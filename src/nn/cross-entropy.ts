// The last linear layer and the cross-entropy together, in chunks of rows, with their gradients written by hand: the
// logits [N, V] are the largest tensor of a small GPT, and differentiating node by node would keep three copies of them.
// Here one chunk of rows lives at a time, and its gradient is taken while its logits are at hand.

import {
	add,
	after,
	concat,
	type Dim,
	exp,
	gather,
	gatherElements,
	gemm,
	logSoftmax,
	mul,
	neg,
	reduceSum,
	reshape,
	scatterAddRows,
	slice,
	split,
	sub,
	transpose,
	type Value,
} from "../graph/index.ts";
import { type NewRows, newRowOf } from "./new-rows.ts";

export interface CrossEntropyOptions {
	/** Output table, [V, C]; logits are hidden times its transpose. */
	table: Value;
	/** Token to be predicted per row, [N] int64. */
	labels: Value;
	/** Weight of each row in the loss, [N]: 1 / supervised tokens of the step, or 0 for a row that only fills up. */
	weights: Value;
	/** N is divisible by it. */
	chunks: number;
	/** Share of the target spread evenly over the vocabulary (Szegedy et al., 2016). */
	labelSmoothing?: number;
	/** Which gradients to compute. */
	gradient: { hidden: boolean; table: boolean; newRows?: NewRows };
}

export interface CrossEntropy {
	/** Sum over the rows of weight times negative log-likelihood, a scalar (without label smoothing). */
	loss: Value;
	/** Gradient of the (smoothed) loss, [N, C]. */
	hidden?: Value;
	/** [V, C] */
	table?: Value;
	/** Of the table's new rows alone, [count, C]. */
	newRows?: Value;
}

/** hidden: [N, C]. */
export function linearCrossEntropy(hidden: Value, options: CrossEntropyOptions): CrossEntropy {
	const { table, labels, weights, chunks, labelSmoothing = 0, gradient } = options;
	/** The target of a row: this much at its label, the rest spread. */
	const peak = 1 - labelSmoothing;
	const parts = (x: Value) => (chunks === 1 ? [x] : split(x, { axis: 0, parts: chunks }));
	const labelChunks = parts(labels);
	const weightChunks = parts(weights);
	let loss: Value | undefined;
	let flippedGradient: Value | undefined;
	let rowsGradient: Value | undefined;
	const hiddenGradients: Value[] = [];
	let previous: Value | undefined;
	parts(hidden).forEach((chunk, i) => {
		// Without this, ONNX Runtime may compute the logits of every chunk before it uses the first.
		const h = previous ? after(chunk, previous) : chunk;
		const rows = h.shape[0] as Dim;
		const label = reshape(labelChunks[i] as Value, [rows, 1]);
		const weight = reshape(weightChunks[i] as Value, [rows, 1]);
		const logProbabilities = logSoftmax(gemm(h, table, { transB: true })); // [R, V]
		const likelihood = gatherElements(logProbabilities, label, 1); // [R, 1]
		const chunkLoss = neg(reduceSum(mul(likelihood, weight)));
		loss = loss ? add(loss, chunkLoss) : chunkLoss;
		if (!gradient.hidden && !gradient.table) {
			previous = undefined;
			return;
		}
		// d loss / d logits = weight * (softmax - target). The weight is applied on the narrow side of the products, and
		// the peak of the target is a row of the table (or of h): the wide tensor is not written once more for it.
		let hiddenGradient: Value | undefined;
		let last = likelihood;
		const spread = exp(logProbabilities);
		const wide = labelSmoothing > 0 ? sub(spread, labelSmoothing / (spread.shape[1] as number)) : spread;
		if (gradient.hidden) {
			const target = gather(table, labelChunks[i] as Value); // [R, C]
			const dHidden = mul(sub(gemm(wide, table), scaleBy(target, peak)), weight); // [R, C]
			hiddenGradient = dHidden;
		}
		if (gradient.table) {
			const sum: Value | undefined = flippedGradient;
			flippedGradient = gemm(transpose(mul(h, weight), [1, 0]), wide, sum && { c: sum }); // [C, V]
			last = after(last, flippedGradient);
		}
		if (gradient.newRows) {
			const { from, count } = gradient.newRows;
			const target = newRowOf(labelChunks[i] as Value, gradient.newRows);
			const narrow = sub(slice(wide, { axis: 1, start: from, end: from + count }), scaleBy(target, peak)); // [R, count]
			const sum: Value | undefined = rowsGradient;
			rowsGradient = gemm(narrow, mul(h, weight), { transA: true, ...(sum && { c: sum }) });
			last = after(last, rowsGradient);
		}
		// What comes next waits for all that is read from the wide tensors, so that they are let go.
		if (hiddenGradient) hiddenGradients.push(after(hiddenGradient, last));
		previous = hiddenGradients.at(-1) ?? last;
	});
	const dTable = () => {
		const column = reshape(weights, [hidden.shape[0] as Dim, 1]);
		// Summed as [C, V] and turned over once: the tall [V, C] would stream through memory for every few rows of a chunk.
		const flipped = transpose(flippedGradient as Value, [1, 0]);
		return scatterAddRows(flipped, labels, mul(hidden, mul(column, -peak)));
	};
	return {
		loss: loss as Value,
		...(gradient.hidden && {
			hidden: hiddenGradients.length === 1 ? (hiddenGradients[0] as Value) : concat(hiddenGradients, 0),
		}),
		...(gradient.table && { table: dTable() }),
		...(rowsGradient && { newRows: rowsGradient }),
	};
}

const scaleBy = (x: Value, factor: number) => (factor === 1 ? x : mul(x, factor));

// The last linear layer and the cross-entropy together, in chunks of rows, with their gradients written by hand: the
// logits [N, V] are the largest tensor of a small GPT, and differentiating node by node would keep three copies of them.
// Here one chunk of rows lives at a time, and its gradient is taken while its logits are at hand.

import {
	add,
	after,
	concat,
	type Dim,
	exp,
	expandLike,
	gatherElements,
	gemm,
	logSoftmax,
	mul,
	neg,
	reduceSum,
	reshape,
	split,
	sub,
	type Value,
} from "../graph/index.ts";

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
	gradient: { hidden: boolean; table: boolean };
}

export interface CrossEntropy {
	/** Sum over the rows of weight times negative log-likelihood, a scalar (without label smoothing). */
	loss: Value;
	/** Gradient of the (smoothed) loss, [N, C]. */
	hidden?: Value;
	/** [V, C] */
	table?: Value;
}

/** hidden: [N, C]. */
export function linearCrossEntropy(hidden: Value, options: CrossEntropyOptions): CrossEntropy {
	const { table, labels, weights, chunks, labelSmoothing = 0, gradient } = options;
	const parts = (x: Value) => (chunks === 1 ? [x] : split(x, { axis: 0, parts: chunks }));
	const labelChunks = parts(labels);
	const weightChunks = parts(weights);
	let loss: Value | undefined;
	let tableGradient: Value | undefined;
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
		// d loss / d logits = weight * (softmax - target); the weight is applied on the narrow side of the products.
		const difference = subtractTarget(exp(logProbabilities), { label, like: likelihood, labelSmoothing });
		if (gradient.hidden) {
			const dHidden = mul(gemm(difference, table), weight); // [R, C]
			hiddenGradients.push(dHidden);
			previous = dHidden;
		}
		if (gradient.table) {
			const scaled = mul(h, weight);
			const sum: Value | undefined = tableGradient;
			tableGradient = gemm(difference, scaled, { transA: true, ...(sum && { c: sum }) }); // [V, C]
		}
	});
	return {
		loss: loss as Value,
		...(gradient.hidden && {
			hidden: hiddenGradients.length === 1 ? (hiddenGradients[0] as Value) : concat(hiddenGradients, 0),
		}),
		...(gradient.table && { table: tableGradient as Value }),
	};
}

interface TargetOptions {
	label: Value;
	/** [R, 1], any values: gives the shape of the column. */
	like: Value;
	labelSmoothing: number;
}

/** probabilities [R, V] minus the target distribution of each row. */
function subtractTarget(probabilities: Value, { label, like, labelSmoothing }: TargetOptions): Value {
	const smooth =
		labelSmoothing > 0 ? sub(probabilities, labelSmoothing / (probabilities.shape[1] as number)) : probabilities;
	const peak = expandLike(like.graph.scalar(labelSmoothing - 1), like);
	return smooth.graph.add("ScatterElements", [smooth, label, peak], { axis: 1, reduction: "add" })[0] as Value;
}

// Gradient noise scale: how large a batch is useful. The simple noise scale of McCandlish et al., "An Empirical Model of
// Large-Batch Training" (2018), appendix A.1, from the norms of a part of a step's gradient and of the whole. Only
// observed: nothing in training depends on it. The parts are micro-batches, which hold examples of similar length, so
// they are not quite the random parts of the paper.

/** Steps between two measurements: each takes one more pass over the gradients. */
export const noiseScaleEvery = 10;
/** Single measurements scatter widely: both sides are averaged over about the last ten. */
const decay = 0.9;

interface Measured {
	/** Supervised tokens that the gradient is the mean of. */
	tokens: number;
	/** Norm of that mean. */
	norm: number;
}

export class NoiseScale {
	/** Moving averages: trace of the covariance of one token's gradient, and the squared length of the true gradient. */
	#noise: number | undefined;
	#signal: number | undefined;

	/** `part` is of fewer tokens than `whole` and belongs to it. */
	observe({ part, whole }: { part: Measured; whole: Measured }): void {
		const [partSquare, wholeSquare] = [part.norm ** 2, whole.norm ** 2];
		const signal = (whole.tokens * wholeSquare - part.tokens * partSquare) / (whole.tokens - part.tokens);
		const noise = (partSquare - wholeSquare) / (1 / part.tokens - 1 / whole.tokens);
		if (!Number.isFinite(signal) || !Number.isFinite(noise)) return;
		this.#signal = averaged(this.#signal, signal);
		this.#noise = averaged(this.#noise, noise);
	}

	/** Supervised tokens of a step at which twice as many would help half as much; undefined while it is not known. */
	get tokens(): number | undefined {
		if (this.#noise === undefined || this.#signal === undefined) return undefined;
		return this.#noise > 0 && this.#signal > 0 ? this.#noise / this.#signal : undefined;
	}
}

function averaged(average: number | undefined, value: number): number {
	return average === undefined ? value : decay * average + (1 - decay) * value;
}

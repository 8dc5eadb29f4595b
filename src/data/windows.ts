// Windows of a long text for pretraining: blockSize positions and the token after each, every one of them supervised.
// Two ways to go through the text, both a function of seed and place alone, so that resuming is exact:
// "random" draws an offset for every window (as nanoGPT does); "epoch" visits windows that do not overlap, shuffled anew
// each epoch, and begins each epoch at another offset, so that window borders do not always fall on the same tokens.
import { UserError } from "../util/errors.ts";
import { Rng } from "../util/rng.ts";
import type { HeldOut, MicroBatch, StepBatch } from "./micro-batch.ts";
import type { TokenArchive } from "./token-archive.ts";

export type WindowOrder = "random" | "epoch";

export interface WindowStreamOptions {
	/** The text; it must have more than blockSize tokens. The stream reads it and does not dispose of it. */
	tokens: TokenArchive;
	blockSize: number;
	seed: number | string;
	/** Default "epoch". */
	order?: WindowOrder;
	/** Greatest B * T of a micro-batch. */
	tokenBudget: number;
}

/** Small and JSON-able. */
export interface WindowStreamState {
	/** From 0; always 0 in random order. */
	epoch: number;
	/** Windows of this epoch that are done. */
	position: number;
	steps: number;
	examples: number;
	supervisedTokens: number;
	/** What the order depends on; restoring under another is refused. */
	order: string;
}

export interface WindowStep extends StepBatch {
	epoch: number;
	/** Never true in random order. */
	endsEpoch: boolean;
}

export class WindowStream {
	readonly #options: Required<WindowStreamOptions>;
	#state: WindowStreamState;
	#epoch: { number: number; starts: Float64Array } | undefined;

	/** Error TEXT_TOO_SHORT. */
	constructor(options: WindowStreamOptions) {
		this.#options = { order: "epoch", ...options };
		const { tokens, blockSize, seed, order } = this.#options;
		assertLongEnough(tokens, blockSize);
		this.#state = {
			epoch: 0,
			position: 0,
			steps: 0,
			examples: 0,
			supervisedTokens: 0,
			order: `${tokens.fingerprint}/${blockSize}/${seed}/${order}`,
		};
	}

	/** A stream that goes on where `state` was taken. Error RESUME_DATA_CHANGED when text, block size, seed or order differ. */
	static restore(state: WindowStreamState, options: WindowStreamOptions): WindowStream {
		const stream = new WindowStream(options);
		if (state.order !== stream.#state.order) {
			throw new UserError("RESUME_DATA_CHANGED", "The training text or its order is not that of the saved state.", {
				expected: state.order,
				found: stream.#state.order,
				hint: "resume with the same files, tokenizer, block size and seed",
			});
		}
		stream.#state = { ...state };
		return stream;
	}

	get state(): WindowStreamState {
		return { ...this.#state };
	}

	/** Windows that do not overlap: as many as make an epoch. */
	get examplesPerEpoch(): number {
		return Math.max(1, Math.floor((this.#options.tokens.length - this.#options.blockSize) / this.#options.blockSize));
	}

	get supervisedTokensPerEpoch(): number {
		return this.examplesPerEpoch * this.#options.blockSize;
	}

	get tokensPerEpoch(): number {
		return this.supervisedTokensPerEpoch;
	}

	/** The next step: `batchSize` windows, or what is left of the epoch. Goes on for ever. */
	next(batchSize: number): WindowStep {
		if (!Number.isInteger(batchSize) || batchSize < 1) throw new RangeError(`batch size ${batchSize}`);
		const { epoch, position } = this.#state;
		const random = this.#options.order === "random";
		const starts = random
			? this.#randomStarts(batchSize)
			: this.#epochStarts(epoch).slice(position, position + batchSize);
		const step = windowStep(this.#options.tokens, { ...this.#options, starts });
		const endsEpoch = !random && position + starts.length === this.examplesPerEpoch;
		this.#state = {
			...this.#state,
			epoch: endsEpoch ? epoch + 1 : epoch,
			position: random || endsEpoch ? 0 : position + starts.length,
			steps: this.#state.steps + 1,
			examples: this.#state.examples + starts.length,
			supervisedTokens: this.#state.supervisedTokens + step.supervisedTokens,
		};
		return { ...step, epoch, endsEpoch };
	}

	#randomStarts(count: number): Float64Array {
		const rng = new Rng([this.#options.seed, "step", this.#state.steps]);
		const last = this.#options.tokens.length - this.#options.blockSize;
		return Float64Array.from({ length: count }, () => rng.integer(last));
	}

	#epochStarts(epoch: number): Float64Array {
		if (this.#epoch?.number !== epoch) {
			const { tokens, blockSize, seed } = this.#options;
			const rng = new Rng([seed, "epoch", epoch]);
			const spare = tokens.length - 1 - this.examplesPerEpoch * blockSize;
			const first = rng.integer(spare + 1);
			const starts = Float64Array.from({ length: this.examplesPerEpoch }, (_, window) => first + window * blockSize);
			this.#epoch = { number: epoch, starts: rng.shuffle(starts) };
		}
		return this.#epoch.starts;
	}
}

/** Tokens of a text that are scored at most: more would say little more, and every evaluation would wait for them. */
const mostScored = 2 ** 18;

export interface EvaluationOptions extends Omit<WindowStreamOptions, "seed" | "order"> {
	/** Default 2 ** 18. */
	most?: number;
}

/**
 * All windows of the text in order, each token but the first a target once; the last window may be shorter. Of a text of
 * more than `most` tokens as many whole windows as these allow, evenly spread over it.
 */
export function evaluationWindows(options: EvaluationOptions): HeldOut {
	const { tokens, blockSize, tokenBudget, most = mostScored } = options;
	if (tokens.length < 2) throw tooShort(tokens, blockSize);
	const perBatch = Math.max(1, Math.floor(tokenBudget / blockSize));
	const targets = tokens.length - 1;
	const whole = Math.floor(targets / blockSize);
	const windows = targets <= most ? whole : Math.min(whole, Math.max(1, Math.floor(most / blockSize)));
	const rest = targets <= most ? targets - whole * blockSize : 0;
	const startOf = (window: number) => Math.floor((window * whole) / windows) * blockSize;
	return {
		supervisedTokens: windows * blockSize + rest,
		*batches() {
			for (let window = 0; window < windows; window += perBatch) {
				const count = Math.min(perBatch, windows - window);
				yield windowBatch(tokens, { blockSize, starts: Array.from({ length: count }, (_, i) => startOf(window + i)) });
			}
			if (rest > 0) yield windowBatch(tokens, { blockSize: rest, starts: [whole * blockSize] });
		},
	};
}

function windowStep(
	tokens: TokenArchive,
	{ starts, blockSize, tokenBudget }: { starts: Float64Array; blockSize: number; tokenBudget: number },
): StepBatch {
	// Micro-batches of sizes as equal as they can be: one shape or two.
	const parts = Math.ceil(starts.length / Math.max(1, Math.floor(tokenBudget / blockSize)));
	const microBatches = Array.from({ length: parts }, (_, part) => {
		const from = Math.floor((starts.length * part) / parts);
		const to = Math.floor((starts.length * (part + 1)) / parts);
		return windowBatch(tokens, { blockSize, starts: Array.from(starts.subarray(from, to)) });
	});
	const count = starts.length * blockSize;
	return { microBatches, supervisedTokens: count, tokens: count, slots: count, examples: starts.length };
}

function windowBatch(
	tokens: TokenArchive,
	{ blockSize, starts }: { blockSize: number; starts: readonly number[] },
): MicroBatch {
	const batch = starts.length;
	const ids = new Int32Array(batch * blockSize);
	const labels = new Int32Array(batch * blockSize);
	for (const [b, start] of starts.entries()) {
		const window = tokens.read(start, blockSize + 1);
		ids.set(window.subarray(0, blockSize), b * blockSize);
		labels.set(window.subarray(1), b * blockSize);
	}
	return {
		ids,
		batch,
		time: blockSize,
		lengths: new Int32Array(batch).fill(blockSize),
		rows: Int32Array.from(ids, (_, row) => row),
		labels,
		tokens: ids.length,
	};
}

function assertLongEnough(tokens: TokenArchive, blockSize: number): void {
	if (tokens.length <= blockSize) throw tooShort(tokens, blockSize);
}

function tooShort(tokens: TokenArchive, blockSize: number): UserError {
	return new UserError("TEXT_TOO_SHORT", `The text has ${tokens.length} tokens, too few for a block of ${blockSize}.`, {
		expected: `at least ${blockSize + 1} tokens`,
		hint: "give more text, a smaller --block-size, or hold out a smaller part",
	});
}

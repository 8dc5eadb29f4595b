// The order of training: which examples make which step. Everything follows from the seed, the epoch and the position,
// so the state is a few numbers, and a run that is resumed sees what it would have seen.
//
// An epoch is one permutation of the examples. It is cut into windows; inside a window examples are sorted by length and
// cut into groups, and the groups are shuffled. A step takes the next `batchSize` examples, whatever that number is, so
// every example comes exactly once an epoch under any sequence of batch sizes. A step never crosses the end of an
// epoch: the last one may be smaller.
import { UserError } from "../util/errors.ts";
import { Rng } from "../util/rng.ts";
import type { ExampleStore } from "./example-store.ts";
import {
	type CutOptions,
	cutByLength,
	type MicroBatch,
	makeMicroBatch,
	makeStep,
	type StepBatch,
} from "./micro-batch.ts";

export interface BatchStreamOptions extends CutOptions {
	store: ExampleStore;
	/** Examples to train on; all by default. Each counts once. */
	indices?: Uint32Array;
	seed: number | string;
	/** Examples of similar length that stay together; best the usual batch size. It may not change in a run. Default 8. */
	groupSize?: number;
	/** Groups sorted together. More means less padding and less randomness. Default 50. */
	groupsPerWindow?: number;
}

/** Small and JSON-able. */
export interface BatchStreamState {
	/** From 0. */
	epoch: number;
	/** Examples of this epoch that are done. */
	position: number;
	/** Steps, examples and supervised tokens handed out since the start. */
	steps: number;
	examples: number;
	supervisedTokens: number;
	/** What the order depends on; restoring under another is refused. */
	order: string;
}

export interface TrainingStep extends StepBatch {
	/** From 0. */
	epoch: number;
	endsEpoch: boolean;
	/** The examples, by their index in the store. */
	indices: Uint32Array;
}

export class BatchStream {
	readonly #options: BatchStreamOptions;
	readonly #indices: Uint32Array;
	#state: BatchStreamState;
	#order: { epoch: number; indices: Uint32Array } | undefined;

	/** Error NOTHING_TO_TRAIN_ON when there is no example. */
	constructor(options: BatchStreamOptions) {
		const { store } = options;
		this.#options = options;
		this.#indices = options.indices ?? Uint32Array.from({ length: store.count }, (_, index) => index);
		if (this.#indices.length === 0) throw new UserError("NOTHING_TO_TRAIN_ON", "There is no example to train on.");
		const { seed, groupSize = 8, groupsPerWindow = 50 } = options;
		const order = `${store.fingerprint}/${hashOf(this.#indices)}/${seed}/${groupSize}x${groupsPerWindow}`;
		this.#state = { epoch: 0, position: 0, steps: 0, examples: 0, supervisedTokens: 0, order };
	}

	/** A stream that goes on where `state` was taken. Error RESUME_DATA_CHANGED when data, seed or grouping differ. */
	static restore(state: BatchStreamState, options: BatchStreamOptions): BatchStream {
		const stream = new BatchStream(options);
		if (state.order !== stream.#state.order) {
			throw new UserError("RESUME_DATA_CHANGED", "The training data or its order is not that of the saved state.", {
				expected: state.order,
				found: stream.#state.order,
				hint: "resume with the same files, tokenizer, chat template, maximum length, seed and group size",
			});
		}
		stream.#state = { ...state };
		return stream;
	}

	get state(): BatchStreamState {
		return { ...this.#state };
	}

	get examplesPerEpoch(): number {
		return this.#indices.length;
	}

	get supervisedTokensPerEpoch(): number {
		return this.#indices.reduce((sum, index) => sum + this.#options.store.supervisedTokensOf(index), 0);
	}

	/** Positions that are not padding: what time goes by. */
	get tokensPerEpoch(): number {
		return this.#indices.reduce((sum, index) => sum + this.#options.store.timeOf(index), 0);
	}

	/** The next step: `batchSize` examples, or what is left of the epoch when that is less. Goes on for ever. */
	next(batchSize: number): TrainingStep {
		if (!Number.isInteger(batchSize) || batchSize < 1) throw new RangeError(`batch size ${batchSize}`);
		const { epoch, position } = this.#state;
		const order = this.#epochOrder(epoch);
		const indices = order.slice(position, position + batchSize);
		const step = makeStep(
			Array.from(indices, (index) => this.#options.store.get(index)),
			this.#options,
		);
		const endsEpoch = position + indices.length === order.length;
		this.#state = {
			...this.#state,
			epoch: endsEpoch ? epoch + 1 : epoch,
			position: endsEpoch ? 0 : position + indices.length,
			steps: this.#state.steps + 1,
			examples: this.#state.examples + indices.length,
			supervisedTokens: this.#state.supervisedTokens + step.supervisedTokens,
		};
		return { ...step, epoch, endsEpoch, indices };
	}

	#epochOrder(epoch: number): Uint32Array {
		if (this.#order?.epoch !== epoch) {
			const { store, seed, groupSize = 8, groupsPerWindow = 50 } = this.#options;
			const indices = epochOrder(this.#indices, {
				timeOf: (index) => store.timeOf(index),
				seed,
				epoch,
				groupSize,
				groupsPerWindow,
			});
			this.#order = { epoch, indices };
		}
		return this.#order.indices;
	}
}

interface OrderOptions {
	timeOf: (index: number) => number;
	seed: number | string;
	epoch: number;
	groupSize: number;
	groupsPerWindow: number;
}

/** The order of one epoch: a permutation of `indices`. */
export function epochOrder(indices: Uint32Array, options: OrderOptions): Uint32Array {
	const { timeOf, seed, epoch, groupSize, groupsPerWindow } = options;
	const rng = new Rng([seed, "epoch", epoch]);
	const order = rng.shuffle(indices.slice());
	// Windows of equal size in whole groups, so that no window is left with few examples to choose from.
	const groups = Math.ceil(order.length / groupSize);
	const windows = Math.max(1, Math.round(groups / groupsPerWindow));
	for (let window = 0; window < windows; window++) {
		const start = Math.floor((groups * window) / windows) * groupSize;
		const end = Math.floor((groups * (window + 1)) / windows) * groupSize;
		groupByLength(order.subarray(start, end), { timeOf, rng, groupSize });
	}
	return order;
}

/** Sorts by length, cuts into groups, shuffles the groups; in place. A group that is not full comes last. */
function groupByLength(
	window: Uint32Array,
	{ timeOf, rng, groupSize }: { timeOf: (index: number) => number; rng: Rng; groupSize: number },
): void {
	const sorted = Array.from(window).sort((a, b) => timeOf(a) - timeOf(b));
	const full = Math.floor(sorted.length / groupSize);
	// The short group is taken from anywhere, or an epoch would always end with its longest examples.
	const rest = sorted.splice(rng.integer(full + 1) * groupSize, sorted.length % groupSize);
	const groups = rng.shuffle(Array.from({ length: full }, (_, group) => group));
	for (const [place, group] of groups.entries()) {
		window.set(sorted.slice(group * groupSize, (group + 1) * groupSize), place * groupSize);
	}
	window.set(rest, full * groupSize);
}

/** Micro-batches of all examples, each once, from short to long: for evaluation. */
export function* evaluationBatches(
	options: CutOptions & { store: ExampleStore; indices?: Uint32Array },
): Generator<MicroBatch> {
	const { store } = options;
	const indices = options.indices ?? Uint32Array.from({ length: store.count }, (_, index) => index);
	const sorted = Array.from(indices).sort((a, b) => store.timeOf(a) - store.timeOf(b));
	// Cut in blocks: the cut is quadratic in the number of examples under one budget.
	for (let block = 0; block < sorted.length; block += 1024) {
		const part = sorted.slice(block, block + 1024);
		const sizes = cutByLength(
			part.map((index) => store.timeOf(index)),
			options,
		);
		let at = 0;
		for (const size of sizes) {
			yield makeMicroBatch(part.slice(at, at + size).map((index) => store.get(index)));
			at += size;
		}
	}
}

function hashOf(indices: Uint32Array): string {
	let hash = 0x811c9dc5;
	for (const index of indices) hash = Math.imul(hash ^ index, 0x01000193);
	return `${indices.length}-${(hash >>> 0).toString(16)}`;
}

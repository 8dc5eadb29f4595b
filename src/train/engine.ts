// Runs the training graph: micro-batches in, loss and gradients out. It owns the gradients' memory and the sessions; it
// knows no optimizer and no schedule.

import type { MicroBatch } from "../data/micro-batch.ts";
import { resolveDim, toOnnx } from "../graph/index.ts";
import type { AnyArchitecture } from "../models/architectures.ts";
import type { Sizes } from "../models/execution.ts";
import { parameterFeeds } from "../models/parameters.ts";
import {
	type DropoutMask,
	rowChunks,
	type TrainingGraph,
	type TrainingGraphOptions,
	trainingGraph,
	trainingSizes,
} from "../models/training-graph.ts";
import type { QuantizedMatrix } from "../nn/block-quantization.ts";
import { Session, Tensor } from "../runtime/index.ts";
import { Rng } from "../util/rng.ts";

export interface EngineOptions {
	architecture: AnyArchitecture;
	config: unknown;
	/** Every parameter by name; read in place at each run, so that an optimizer may change them between runs. */
	parameters: ReadonlyMap<string, Float32Array>;
	/** Frozen matrices that are held in few bits, in the place of `parameters`. */
	quantized?: ReadonlyMap<string, QuantizedMatrix>;
	/** Names of the parameters that receive gradients. */
	trainable: ReadonlySet<string>;
	/** Most labelled rows that a micro-batch will have: decides into how many chunks they are cut. */
	maxRows: number;
	/** Whether a step may have more than one micro-batch. Default false. */
	accumulate?: boolean;
	threads?: number;
	recompute?: boolean;
	dropout?: number;
	labelSmoothing?: number;
	/** Largest piece of logits held at once; see `rowChunks`. */
	chunkBytes?: number;
}

export interface MicroStepOptions {
	/** What each supervised token counts: 1 / supervised tokens of the whole step. */
	tokenWeight: number;
	/** Decides the dropout masks. */
	dropoutSeed?: readonly (number | string)[];
	signal?: AbortSignal;
}

/** One model's training or evaluation graph, with the memory for its results. Dispose of it when done. */
export class TrainingEngine {
	/** Gradient of each trained parameter: after a step's micro-steps, that of the step's loss. */
	readonly gradients: ReadonlyMap<string, Float32Array>;
	readonly #options: EngineOptions;
	readonly #parameters: Readonly<Record<string, Tensor>>;
	readonly #training: Program | undefined;
	#evaluation: Promise<Program> | undefined;
	readonly #loss = Tensor.from(new Float32Array(1), []);
	readonly #outputs: Readonly<Record<string, Tensor>>;
	/** What a micro-step adds to: the sums so far, or at the beginning of a step nothing. */
	#accumulated: Readonly<Record<string, Tensor>>;
	readonly #sums: Record<string, Tensor> = {};
	readonly #nothing: Record<string, Tensor> = {};

	private constructor(options: EngineOptions, training: Program | undefined) {
		this.#options = options;
		this.#training = training;
		const specs = options.architecture.parameters(options.config);
		const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
		const tensor = (name: string, data: Float32Array) => Tensor.from(data, shapes.get(name) as readonly number[]);
		this.#parameters = parameterFeeds(specs, options);
		const trained = training?.built.trained ?? [];
		const sizeOf = (name: string) => (options.parameters.get(name) as Float32Array).length;
		this.gradients = new Map(trained.map((name) => [name, new Float32Array(sizeOf(name))]));
		const outputs: Record<string, Tensor> = { loss: this.#loss };
		for (const [name, data] of this.gradients) outputs[`gradient.${name}`] = tensor(name, data);
		this.#outputs = outputs;
		if (options.accumulate) {
			// One array for all, and cheaper than filling the gradients with zeros: as it is never written, the system lets
			// one page of zeros stand for all of it.
			const zeros = new Float32Array(Math.max(0, ...[...this.gradients.values()].map(({ length }) => length)));
			for (const [name, { length }] of this.gradients) {
				this.#nothing[`accumulated.${name}`] = tensor(name, zeros.subarray(0, length));
				this.#sums[`accumulated.${name}`] = outputs[`gradient.${name}`] as Tensor;
			}
		}
		this.#accumulated = this.#nothing;
	}

	static async create(options: EngineOptions): Promise<TrainingEngine> {
		const training = options.trainable.size > 0 ? await Program.create(options, options.trainable) : undefined;
		return new TrainingEngine(options, training);
	}

	/** Before the first micro-step of each step. */
	beginStep(): void {
		this.#accumulated = this.#nothing;
	}

	/**
	 * Adds one micro-batch to the step's gradients (or makes them, when a step has only one). Returns its share of the
	 * step's loss. When it is aborted the gradients are undefined until the next step begins.
	 */
	async microStep(batch: MicroBatch, { tokenWeight, dropoutSeed = [0], signal }: MicroStepOptions): Promise<number> {
		if (!this.#training) throw new Error("this engine was made for evaluation: nothing is trainable");
		const { built, chunks, session } = this.#training;
		const feeds = { ...this.#parameters, ...batchFeeds(batch, { chunks, tokenWeight }) };
		const sizes = sizesOf(batch, chunks);
		Object.assign(feeds, this.#accumulated, dropoutFeeds(built.dropoutMasks, { sizes, seed: dropoutSeed }));
		await session.run(feeds, this.#outputs, signal ? { signal } : {});
		this.#accumulated = this.#sums;
		return this.#loss.data[0] as number;
	}

	/**
	 * Mean loss over the supervised tokens of all batches, without dropout. `onAdvance` is told how many of the tokens are
	 * done after each batch.
	 */
	async evaluate(
		batches: Iterable<MicroBatch>,
		{
			signal,
			onAdvance,
		}: { signal?: AbortSignal | undefined; onAdvance?: ((tokens: number) => void) | undefined } = {},
	): Promise<{ loss: number; tokens: number }> {
		this.#evaluation ??= Program.create({ ...this.#options, accumulate: false, dropout: 0 }, new Set());
		const { session, chunks } = await this.#evaluation;
		let sum = 0;
		let tokens = 0;
		for (const batch of batches) {
			const feeds = { ...this.#parameters, ...batchFeeds(batch, { chunks, tokenWeight: 1 }) };
			await session.run(feeds, { loss: this.#loss }, signal ? { signal } : {});
			sum += this.#loss.data[0] as number;
			tokens += batch.labels.length;
			onAdvance?.(tokens);
		}
		return { loss: sum / tokens, tokens };
	}

	async dispose(): Promise<void> {
		this.#training?.session.dispose();
		(await this.#evaluation)?.session.dispose();
		const owned = [this.#parameters, this.#outputs, this.#nothing];
		for (const tensor of owned.flatMap((tensors) => Object.values(tensors))) tensor.dispose();
	}
}

class Program {
	readonly built: TrainingGraph;
	readonly session: Session;
	readonly chunks: number;

	private constructor(built: TrainingGraph, session: Session, chunks: number) {
		this.built = built;
		this.session = session;
		this.chunks = chunks;
	}

	static async create(options: EngineOptions, trainable: ReadonlySet<string>): Promise<Program> {
		const { architecture, config, maxRows, threads, chunkBytes } = options;
		const { vocabulary } = architecture.sizes(config);
		const chunks = rowChunks({ rows: maxRows, vocabulary, chunkBytes });
		const graphOptions: TrainingGraphOptions = { trainable, chunks };
		for (const name of ["accumulate", "recompute", "dropout", "labelSmoothing"] as const) {
			if (options[name] !== undefined) Object.assign(graphOptions, { [name]: options[name] });
		}
		const built = trainingGraph(architecture, config, graphOptions);
		// The memory pattern would hold a second copy of all activations for a few percent of speed.
		const session = await Session.create(toOnnx(built.graph), {
			name: trainable.size > 0 ? "training" : "evaluation",
			memoryPattern: false,
			// It would undo what the gradients' graph does on purpose: a product with a transposed left side is turned over
			// panel by panel, again for every 128 columns, and takes 10-20 % longer than one that is turned over first.
			config: { "optimization.disable_specified_optimizers": "GemmTransposeFusion" },
			...(threads !== undefined && { threads }),
		});
		return new Program(built, session, chunks);
	}
}

const sizesOf = ({ batch, time, rows }: MicroBatch, chunks: number) =>
	trainingSizes({ batch, time, rows: rows.length }, chunks);

function batchFeeds(
	batch: MicroBatch,
	{ chunks, tokenWeight }: { chunks: number; tokenWeight: number },
): Record<string, Tensor> {
	const rows = sizesOf(batch, chunks).R * chunks;
	const weights = new Float32Array(rows).fill(tokenWeight, 0, batch.rows.length);
	return {
		ids: Tensor.from(toInt64(batch.ids), [batch.batch, batch.time]),
		positions: Tensor.from(toInt64(Int32Array.from({ length: batch.time }, (_, t) => t)), [batch.time]),
		rows: Tensor.from(toInt64(batch.rows, rows), [rows]),
		labels: Tensor.from(toInt64(batch.labels, rows), [rows]),
		weights: Tensor.from(weights, [rows]),
	};
}

function dropoutFeeds(
	masks: readonly DropoutMask[],
	{ sizes, seed }: { sizes: Sizes; seed: readonly (number | string)[] },
): Record<string, Tensor> {
	const rng = new Rng([...seed, "dropout"]);
	return Object.fromEntries(
		masks.map(({ name, shape, rate }) => {
			const concrete = shape.map((dim) => resolveDim(dim, sizes));
			const mask = new Uint8Array(concrete.reduce((a, b) => a * b, 1));
			fillMask(mask, { rng, rate });
			return [name, Tensor.from(mask, concrete)];
		}),
	);
}

/** Non-negative numbers widened without a BigInt each; zeros up to `length`. */
function toInt64(values: Int32Array, length = values.length): BigInt64Array {
	const wide = new BigInt64Array(length);
	const words = new Int32Array(wide.buffer);
	for (let i = 0; i < values.length; i++) words[2 * i] = values[i] as number;
	return wide;
}

/** 1 where an element is kept. Two elements for each random word. */
function fillMask(mask: Uint8Array, { rng, rate }: { rng: Rng; rate: number }): void {
	const threshold = Math.round(rate * 0x10000);
	for (let i = 0; i < mask.length; i += 2) {
		const word = rng.uint32();
		mask[i] = (word & 0xffff) >= threshold ? 1 : 0;
		mask[i + 1] = word >>> 16 >= threshold ? 1 : 0;
	}
}

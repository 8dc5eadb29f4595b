// One sequence and its key-value cache: feed ids, get the logits after the last of them. The cache is allocated once, at
// the model's full context, and grows in place; what was fed can be taken back, so that a shared beginning is kept.

import { toOnnx, type Value } from "../graph/index.ts";
import { cachedHeadSize, generationGraph } from "../models/generation-graph.ts";
import { type Model, sizeOf } from "../models/model.ts";
import { parameterFeeds } from "../models/parameters.ts";
import { type Bound, Session, Tensor } from "../runtime/index.ts";
import { UserError } from "../util/errors.ts";

/** What a decoder needs of a model. */
export type DecodableModel = Pick<Model, "architecture" | "config" | "parameters" | "quantized">;

export interface DecoderOptions {
	threads?: number;
	/**
	 * Keep a second copy of the matrices in the order in which they are read: a token takes a quarter less time. Default
	 * true.
	 */
	pack?: boolean;
}

/** Not for concurrent use: one call of `feed` at a time. Dispose of it when done. */
export class Decoder {
	/** Longest sequence, in tokens. */
	readonly context: number;
	readonly #session: Session;
	readonly #fixed: Readonly<Record<string, Tensor>>;
	readonly #cacheOutputs: Readonly<Record<string, Tensor>>;
	/** The graph of one token is prepared once: its small inputs are written in place. */
	readonly #single: {
		bound: Bound;
		ids: BigInt64Array;
		position: BigInt64Array;
		lastIndex: Int32Array;
		total: Int32Array;
	};
	readonly #logits: Float32Array;
	readonly #ids: number[] = [];

	private constructor({ architecture, config }: DecodableModel, session: Session, fed: Record<string, Tensor>) {
		const sizes = architecture.sizes(config);
		this.context = sizes.context;
		this.#session = session;
		const fixed = { ...fed };
		const outputs: Record<string, Tensor> = {};
		const shape = [1, sizes.keyValueHeads, sizes.context, cachedHeadSize(sizes)];
		for (let layer = 0; layer < sizes.layers; layer++) {
			for (const part of ["key", "value"]) {
				const cache = Tensor.from(new Float32Array(sizeOf({ shape })), shape);
				fixed[`past.${layer}.${part}`] = cache;
				outputs[`present.${layer}.${part}`] = cache;
			}
		}
		this.#fixed = fixed;
		this.#cacheOutputs = outputs;
		this.#logits = new Float32Array(sizes.vocabulary);
		const ids = new BigInt64Array(1);
		const position = new BigInt64Array(1);
		const lastIndex = new Int32Array(1);
		const total = new Int32Array(1);
		const feeds = {
			...fixed,
			ids: Tensor.from(ids, [1, 1]),
			positions: Tensor.from(position, [1, 1]),
			rows: Tensor.from(new BigInt64Array(1), [1]),
			lastIndex: Tensor.from(lastIndex, [1]),
			total: Tensor.from(total, [1]),
		};
		const logits = Tensor.from(this.#logits, [1, sizes.vocabulary]);
		this.#single = { bound: session.bind(feeds, { ...outputs, logits }), ids, position, lastIndex, total };
	}

	static async create(model: DecodableModel, { threads, pack = true }: DecoderOptions = {}): Promise<Decoder> {
		const { architecture, config } = model;
		const graph = generationGraph(architecture, config, { pack });
		const weights = Object.entries(parameterFeeds(architecture.parameters(config), model));
		const named = (values: readonly Value[]) => {
			const names = new Set(values.map(({ name }) => name));
			return Object.fromEntries(weights.filter(([name]) => names.has(name)));
		};
		const session = await Session.create(toOnnx(graph), {
			name: "generation",
			initializers: named(graph.initializers),
			...(threads !== undefined && { threads }),
		});
		return new Decoder(model, session, named(graph.inputs));
	}

	/** The ids in the cache. */
	get ids(): readonly number[] {
		return this.#ids;
	}

	/** Keeps the first `length` ids and forgets the rest. */
	truncate(length: number): void {
		this.#ids.length = Math.min(length, this.#ids.length);
	}

	/**
	 * Makes `ids` the whole sequence, computing only what differs from the cache. Returns the logits after the last id,
	 * [V], valid until the next call. Throws UserError CONTEXT_FULL when the sequence is longer than the context.
	 */
	async continueFrom(ids: readonly number[], { signal }: { signal?: AbortSignal } = {}): Promise<Float32Array> {
		let shared = 0;
		// The last id is always fed again: its logits are not kept.
		while (shared < ids.length - 1 && ids[shared] === this.#ids[shared]) shared++;
		this.truncate(shared);
		return this.feed(ids.slice(shared), { ...(signal && { signal }) });
	}

	/** Appends ids. Returns the logits after the last of them, [V], valid until the next call. */
	async feed(ids: readonly number[], { signal }: { signal?: AbortSignal } = {}): Promise<Float32Array> {
		const start = this.#ids.length;
		const end = start + ids.length;
		if (ids.length === 0) throw new Error("feed needs at least one id");
		if (end > this.context) {
			throw new UserError("CONTEXT_FULL", "The text is longer than the model's context.", {
				expected: `at most ${this.context} tokens`,
				found: `${end} tokens`,
				hint: "Start a new conversation, or shorten the text.",
			});
		}
		const options = signal ? { signal } : {};
		if (ids.length === 1) {
			this.#single.ids[0] = BigInt(ids[0] as number);
			this.#single.position[0] = BigInt(start);
			this.#single.lastIndex[0] = end - 1;
			this.#single.total[0] = end;
			await this.#single.bound.run(options);
		} else {
			const feeds = {
				...this.#fixed,
				ids: Tensor.from(BigInt64Array.from(ids, BigInt), [1, ids.length]),
				positions: Tensor.from(
					BigInt64Array.from(ids, (_, i) => BigInt(start + i)),
					[1, ids.length],
				),
				rows: Tensor.from(BigInt64Array.of(BigInt(ids.length - 1)), [1]),
				lastIndex: Tensor.from(Int32Array.of(end - 1), [1]),
				total: Tensor.from(Int32Array.of(end), [1]),
			};
			const logits = Tensor.from(this.#logits, [1, this.#logits.length]);
			await this.#session.run(feeds, { ...this.#cacheOutputs, logits }, options);
		}
		this.#ids.push(...ids);
		return this.#logits;
	}

	dispose(): void {
		this.#single.bound.dispose();
		this.#session.dispose();
		for (const tensor of Object.values(this.#fixed)) tensor.dispose();
	}
}

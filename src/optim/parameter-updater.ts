// Runs an optimizer over all parameters of a model, in place: the gradient's norm, then the update, in chunks that stay
// in the cache between the operators of the update. It owns the optimizer's states; parameters and gradients are the
// caller's. A frozen parameter is simply not in the list.

import { Graph, reduceSumSquare, toOnnx } from "../graph/index.ts";
import { type Bound, physicalCores, Session, Tensor } from "../runtime/index.ts";
import { UserError } from "../util/errors.ts";
import type { Optimizer, Settings, Variant } from "./optimizer.ts";
import { type OptimizerName, optimizers, resolveSettings } from "./optimizers.ts";
import { buildUpdateGraph } from "./update-graph.ts";

export interface Parameter {
	readonly name: string;
	/** Updated in place, so it must stay the same array for the life of the updater. */
	readonly data: Float32Array<ArrayBuffer>;
	/** Read at each step; the same array too. */
	readonly gradient: Float32Array<ArrayBuffer>;
	/** Whether weight decay applies (see decayPolicy). */
	readonly decay: boolean;
	/** Factor of the learning rate (see layerLearningRateScale). Default 1. */
	readonly learningRateScale?: number;
}

export interface ParameterUpdaterOptions {
	optimizer: OptimizerName;
	/** Those not given have their defaults. */
	settings?: Partial<Settings>;
	/** Chunks under way at once, each on one core. Results do not depend on it. Default: physicalCores(). */
	threads?: number;
	/** Elements of a chunk. Results do not depend on it. */
	chunkElements?: number;
}

/** What a checkpoint holds of an optimizer. */
export interface OptimizerState {
	/** Updates done. */
	readonly steps: number;
	/** "exp_avg.transformer.wte.weight" -> values. */
	readonly tensors: ReadonlyMap<string, Float32Array>;
}

/** Chunks of 64 Ki elements: parameter, gradient, two moments and what lies between take 2 MB, a core's second-level cache. */
const CHUNK_ELEMENTS = 65536;
/** The norm's graph keeps one float32 sum for so many elements; these are then added in double precision. */
const NORM_ROW = 1024;
/** koffi runs calls on the four threads of libuv's pool. */
const MAX_LANES = 4;

/** Parameters with the same graph and the same rate, whose updates read the same scalars. */
interface Group {
	readonly variant: Variant;
	readonly learningRateScale: number;
	readonly scalars: ReadonlyMap<string, Tensor>;
}

/**
 * One call at a time. Bits do not depend on the number of threads nor on the chunks, so a run repeats exactly. The event
 * loop is free during gradientNorm() and step(): each chunk is a call of its own on another thread.
 */
export class ParameterUpdater {
	readonly #optimizer: Optimizer;
	readonly #groups: readonly Group[];
	readonly #updates: readonly Bound[];
	readonly #squares: readonly Bound[];
	readonly #sums: readonly Float32Array[];
	readonly #states: ReadonlyMap<string, Float32Array>;
	readonly #lanes: number;
	readonly #resources: readonly { dispose(): void }[];
	#steps = 0;

	private constructor(prepared: Prepared) {
		this.#optimizer = prepared.optimizer;
		this.#groups = prepared.groups;
		this.#updates = prepared.updates;
		this.#squares = prepared.squares;
		this.#sums = prepared.sums;
		this.#states = prepared.states;
		this.#lanes = prepared.lanes;
		this.#resources = prepared.resources;
	}

	/** Allocates the states, zero. Throws UserError for wrong settings. */
	static async create(parameters: readonly Parameter[], options: ParameterUpdaterOptions): Promise<ParameterUpdater> {
		return new ParameterUpdater(await prepare(parameters, options));
	}

	/** Updates done, also before a restart. */
	get steps(): number {
		return this.#steps;
	}

	/** The Euclidean norm of all gradients together. Not finite when one of them is not: then the caller skips the step. */
	async gradientNorm(): Promise<number> {
		await this.#runAll(this.#squares);
		// In the order of the parameters, whatever order the chunks finished in.
		let sum = 0;
		for (const sums of this.#sums) for (const part of sums) sum += part;
		return Math.sqrt(sum);
	}

	/** One update of every parameter. `gradientScale`: clipping, or one over the tokens of the step. Default 1. */
	async step({ learningRate, gradientScale = 1 }: { learningRate: number; gradientScale?: number }): Promise<void> {
		const step = this.#steps + 1;
		for (const { variant, learningRateScale, scalars } of this.#groups) {
			const moment = { step, learningRate: learningRate * learningRateScale, gradientScale };
			const values = this.#optimizer.scalars(moment, variant);
			for (const [name, tensor] of scalars) tensor.data[0] = values[name] as number;
		}
		await this.#runAll(this.#updates);
		this.#steps = step;
	}

	/** The live arrays, not copies: write them out, or copy them, before the next step. */
	state(): OptimizerState {
		return { steps: this.#steps, tensors: this.#states };
	}

	/** Goes on from a checkpoint, whose values are copied in. Throws UserError when it is of other parameters or another optimizer. */
	restore({ steps, tensors }: OptimizerState): void {
		const names = [...this.#states.keys()];
		const missing = names.filter((name) => tensors.get(name)?.length !== this.#states.get(name)?.length);
		const unknown = [...tensors.keys()].filter((name) => !this.#states.has(name));
		const first = missing[0] ?? unknown[0];
		if (first !== undefined) {
			throw new UserError("OPTIMIZER_STATE_MISMATCH", "The saved optimizer state does not belong to this run.", {
				where: first,
				expected: `${names.length} tensors${describe(this.#states.get(first))}`,
				found: `${tensors.size} tensors${describe(tensors.get(first))}`,
				hint: "Resume with the model, the optimizer and the frozen layers that the run was started with.",
			});
		}
		for (const [name, state] of this.#states) state.set(tensors.get(name) as Float32Array);
		this.#steps = steps;
	}

	/** Lets go of sessions and bindings. The arrays stay. */
	dispose(): void {
		for (const resource of this.#resources) resource.dispose();
	}

	/** Each lane takes the next run when it is done with one: they touch different memory, so their order is free. */
	async #runAll(runs: readonly Bound[]): Promise<void> {
		let next = 0;
		const lane = async () => {
			while (next < runs.length) await runs[next++]?.run();
		};
		// allSettled: when one lane fails, nothing may still be writing after the caller has been told.
		const results = await Promise.allSettled(Array.from({ length: this.#lanes }, lane));
		for (const result of results) if (result.status === "rejected") throw result.reason;
	}
}

function describe(values: Float32Array | undefined): string {
	return values === undefined ? ", none of this name" : `, this one of ${values.length} values`;
}

interface Prepared {
	optimizer: Optimizer;
	groups: Group[];
	updates: Bound[];
	squares: Bound[];
	sums: Float32Array[];
	states: Map<string, Float32Array>;
	lanes: number;
	resources: { dispose(): void }[];
}

async function prepare(parameters: readonly Parameter[], options: ParameterUpdaterOptions): Promise<Prepared> {
	const { threads = physicalCores(), chunkElements = CHUNK_ELEMENTS } = options;
	const optimizer = optimizers[options.optimizer];
	const settings = resolveSettings(options.optimizer, options.settings);
	const prepared: Prepared = {
		optimizer,
		groups: [],
		updates: [],
		squares: [],
		sums: [],
		states: new Map(),
		lanes: Math.min(threads, MAX_LANES),
		resources: [],
	};
	const norm = await normSession();
	prepared.resources.push(norm);
	const updates = new Map<boolean, UpdateSession>();
	for (const parameter of parameters) {
		const { name, data, gradient, decay, learningRateScale = 1 } = parameter;
		if (data.length !== gradient.length)
			throw new Error(`${name}: ${data.length} values, ${gradient.length} gradients`);
		const decays = decay && settings.weightDecay !== 0;
		let update = updates.get(decays);
		if (!update) {
			update = await updateSession(optimizer, { settings, decays });
			updates.set(decays, update);
			prepared.resources.push(update.session);
		}
		const group = groupOf(prepared, { update, learningRateScale });
		const memory = new Map([
			["parameter", data],
			["gradient", gradient],
		]);
		for (const state of optimizer.states(settings)) {
			const values = new Float32Array(data.length);
			memory.set(state, values);
			prepared.states.set(`${state}.${name}`, values);
		}
		for (const { start, end } of chunks(data.length, chunkElements)) {
			prepared.updates.push(bindUpdate(update, { memory, start, end, scalars: group.scalars }));
		}
		bindSquares(prepared, { norm, gradient, chunkElements });
	}
	prepared.resources.unshift(...prepared.updates, ...prepared.squares);
	return prepared;
}

interface UpdateSession {
	readonly session: Session;
	readonly variant: Variant;
	readonly scalars: readonly string[];
	readonly inPlace: ReadonlyMap<string, string>;
}

async function updateSession(optimizer: Optimizer, variant: Variant): Promise<UpdateSession> {
	const { graph, scalars, inPlace } = buildUpdateGraph(optimizer, variant);
	// One thread a run: the lanes are the parallelism, and a chunk stays in the cache of one core.
	const session = await Session.create(toOnnx(graph), { name: "optimizer", threads: 1 });
	return { session, variant, scalars, inPlace };
}

function groupOf({ groups }: Prepared, options: { update: UpdateSession; learningRateScale: number }): Group {
	const { update, learningRateScale } = options;
	const { variant } = update;
	const known = groups.find((group) => group.variant === variant && group.learningRateScale === learningRateScale);
	if (known) return known;
	const scalars = new Map(update.scalars.map((name) => [name, Tensor.from(new Float32Array(1), [])]));
	const group = { variant, learningRateScale, scalars };
	groups.push(group);
	return group;
}

interface Piece {
	memory: ReadonlyMap<string, Float32Array<ArrayBuffer>>;
	start: number;
	end: number;
	scalars: ReadonlyMap<string, Tensor>;
}

function bindUpdate({ session, inPlace }: UpdateSession, { memory, start, end, scalars }: Piece): Bound {
	const feeds: Record<string, Tensor> = Object.fromEntries(scalars);
	for (const [name, values] of memory) feeds[name] = Tensor.from(values.subarray(start, end), [end - start]);
	const outputs = Object.fromEntries([...inPlace].map(([output, input]) => [output, feeds[input] as Tensor]));
	return session.bind(feeds, outputs);
}

/** The sums of squares of rows: gradient [R, W] -> [R]. */
function normSession(): Promise<Session> {
	const graph = new Graph();
	graph.output("sums", reduceSumSquare(graph.input("gradient", "float32", ["R", "W"]), { axes: [1] }));
	return Session.create(toOnnx(graph), { name: "gradient norm", threads: 1 });
}

/** Full rows first, then what is left as a shorter row. */
function bindSquares(
	{ squares, sums }: Prepared,
	options: { norm: Session; gradient: Float32Array<ArrayBuffer>; chunkElements: number },
): void {
	const { norm, gradient, chunkElements } = options;
	const bind = (start: number, end: number, rows: number) => {
		const part = new Float32Array(rows);
		const values = Tensor.from(gradient.subarray(start, end), [rows, (end - start) / rows]);
		squares.push(norm.bind({ gradient: values }, { sums: Tensor.from(part, [rows]) }));
		sums.push(part);
	};
	const full = gradient.length - (gradient.length % NORM_ROW);
	// Always whole rows, so that the sums do not depend on the chunks.
	const rowsOfChunk = Math.max(1, Math.floor(chunkElements / NORM_ROW));
	for (const { start, end } of chunks(full, rowsOfChunk * NORM_ROW)) bind(start, end, (end - start) / NORM_ROW);
	if (full < gradient.length) bind(full, gradient.length, 1);
}

function* chunks(length: number, size: number): Iterable<{ start: number; end: number }> {
	for (let start = 0; start < length; start += size) yield { start, end: Math.min(length, start + size) };
}

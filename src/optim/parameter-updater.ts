// Runs an optimizer over all parameters of a model, in place: the gradient's norm, then the update. It owns the
// optimizer's states; parameters and gradients are the caller's. A frozen parameter is simply not in the list.

import { type Bound, physicalCores } from "../runtime/index.ts";
import { UserError } from "../util/errors.ts";
import { type BoundUpdates, bindUpdates, type ParameterMemory, type PieceSizes } from "./bound-updates.ts";
import { type GradientNorm, prepareGradientNorm } from "./gradient-norm.ts";
import type { Settings } from "./optimizer.ts";
import { type OptimizerName, optimizers, resolveSettings } from "./optimizers.ts";

export interface Parameter {
	readonly name: string;
	/** Updated in place, so it must stay the same array for the life of the updater. */
	readonly data: Float32Array;
	/** Read at each step; the same array too. */
	readonly gradient: Float32Array;
	/** Whether weight decay applies (see decayPolicy). */
	readonly decay: boolean;
	/** Factor of the learning rate (see layerLearningRateScale). Default 1. */
	readonly learningRateScale?: number;
}

export interface ParameterUpdaterOptions extends PieceSizes {
	optimizer: OptimizerName;
	/** Those not given have their defaults. */
	settings?: Partial<Settings>;
	/** Runs under way at once, each on one core. Results do not depend on it. Default: physicalCores(). */
	threads?: number;
}

/** What a checkpoint holds of an optimizer. */
export interface OptimizerState {
	/** Updates done. */
	readonly steps: number;
	/** "exp_avg.transformer.wte.weight" -> values. */
	readonly tensors: ReadonlyMap<string, Float32Array>;
}

/** ONNX Runtime is called on libuv's threads, of which there are four, one of them for files. */
const MAX_LANES = 3;

/** The norm of so many gradients takes 0.5 ms: less than handing its runs over to other threads. */
const SMALL_ELEMENTS = 2 ** 20;

/**
 * One call at a time. Bits do not depend on the number of threads nor on the pieces, so a step repeats exactly. The event
 * loop is free during gradientNorm() and step(): the work is done in short runs on other threads, or is short itself.
 */
export class ParameterUpdater {
	readonly #norm: GradientNorm;
	readonly #updates: readonly BoundUpdates[];
	readonly #states: ReadonlyMap<string, Float32Array>;
	readonly #lanes: number;
	readonly #elements: number;
	#steps = 0;

	private constructor(prepared: Prepared) {
		this.#norm = prepared.norm;
		this.#updates = prepared.updates;
		this.#states = prepared.states;
		this.#lanes = prepared.lanes;
		this.#elements = prepared.elements;
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
		if (this.#elements <= SMALL_ELEMENTS) for (const run of this.#norm.runs) run.runSync();
		else await this.#runAll(this.#norm.runs);
		return this.#norm.result();
	}

	/** One update of every parameter. `gradientScale`: clipping, or one over the tokens of the step. Default 1. */
	async step({ learningRate, gradientScale = 1 }: { learningRate: number; gradientScale?: number }): Promise<void> {
		const step = this.#steps + 1;
		for (const updates of this.#updates) updates.prepare({ step, learningRate, gradientScale });
		await this.#runAll(this.#updates.flatMap(({ runs }) => runs));
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
		for (const resource of [this.#norm, ...this.#updates]) resource.dispose();
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
	readonly norm: GradientNorm;
	readonly updates: readonly BoundUpdates[];
	readonly states: ReadonlyMap<string, Float32Array>;
	readonly lanes: number;
	readonly elements: number;
}

async function prepare(parameters: readonly Parameter[], options: ParameterUpdaterOptions): Promise<Prepared> {
	const { optimizer: name, settings: given, threads = physicalCores(), ...sizes } = options;
	const optimizer = optimizers[name];
	const settings = resolveSettings(name, given);
	const states = new Map<string, Float32Array>();
	const memories: Record<"kept" | "decaying", ParameterMemory[]> = { kept: [], decaying: [] };
	for (const { name, data, gradient, decay, learningRateScale = 1 } of parameters) {
		if (data.length !== gradient.length)
			throw new Error(`${name}: ${data.length} values, ${gradient.length} gradients`);
		const tensors = new Map([
			["parameter", data],
			["gradient", gradient],
		]);
		for (const state of optimizer.states(settings)) {
			const values = new Float32Array(data.length);
			tensors.set(state, values);
			states.set(`${state}.${name}`, values);
		}
		const decays = decay && settings.weightDecay !== 0;
		memories[decays ? "decaying" : "kept"].push({ tensors, learningRateScale });
	}
	const bind = (memory: ParameterMemory[], decays: boolean) =>
		bindUpdates(memory, { optimizer, variant: { settings, decays }, ...sizes });
	const updates = [await bind(memories.kept, false), await bind(memories.decaying, true)];
	const norm = await prepareGradientNorm(parameters.map(({ gradient }) => gradient));
	const elements = parameters.reduce((sum, { data }) => sum + data.length, 0);
	return { norm, updates, states, lanes: Math.min(threads, MAX_LANES), elements };
}

// What all trials of one process share: the data, read and encoded once; the base's weights, loaded once and put back
// between trials; the compiled graphs, kept while the next trial fits them.

import type { DialogueData } from "../../data/index.ts";
import type { HeldOut } from "../../data/micro-batch.ts";
import type { Model } from "../../models/model.ts";
import { rowChunks } from "../../models/training-graph.ts";
import { TrainingEngine } from "../../train/engine.ts";
import { partsOfRun, readDialogueData } from "../finetune.ts";
import { loadWithBase } from "../model-reference.ts";
import type { finetuneOptions } from "../options/jobs.ts";
import type { OptionsOf } from "../options/table.ts";
import { trainedPart } from "../trained-part.ts";
import { engineOptions } from "../training-run.ts";

export type FinetuneValues = OptionsOf<typeof finetuneOptions>;

/** A model ready to be trained with certain settings, at the base's weights. */
export interface Setting {
	readonly values: FinetuneValues;
	readonly model: Model;
	readonly trainable: ReadonlySet<string>;
	readonly engine: TrainingEngine;
	/** Everything of the data that depends on the settings. */
	readonly parts: ReturnType<typeof partsOfRun>;
}

type Kept = Omit<Setting, "values" | "parts">;

/** Limits of the graphs that are kept: how many, and the bytes of their gradients. */
const [keptGraphs, keptBytes] = [4, 256 * 2 ** 20];

/** One trial at a time. Dispose of it when done. */
export class Workbench {
	readonly dialogues: DialogueData;
	readonly #directory: string;
	readonly #bases = new Map<number | undefined, Model>();
	/** Weights of the bases that a trial changes, as they were. */
	readonly #untouched = new Map<Float32Array, Float32Array>();
	readonly #kept = new Map<string, Kept>();

	private constructor(directory: string, dialogues: DialogueData) {
		this.#directory = directory;
		this.dialogues = dialogues;
	}

	/** Loads the model in `directory` and reads the data. Errors: those of both. */
	static async open(
		directory: string,
		values: FinetuneValues,
		{ signal }: { signal?: AbortSignal } = {},
	): Promise<Workbench> {
		const options = signal ? { signal } : {};
		const bits = bitsOf(values);
		const base = await loadWithBase(directory, { bits, ...options });
		const bench = new Workbench(directory, await readDialogueData(values, base, options));
		bench.#bases.set(bits, base);
		return bench;
	}

	/** The base model in memory, whose weights the last trial may have changed. */
	async base(values: Pick<FinetuneValues, "baseBits">): Promise<Model> {
		const bits = bitsOf(values);
		const base = this.#bases.get(bits) ?? (await loadWithBase(this.#directory, { bits }));
		this.#bases.set(bits, base);
		return base;
	}

	/** The rate that `finetune` would take by itself. */
	async learningRate(values: FinetuneValues): Promise<number> {
		return values.learningRate ?? trainedPart(await this.base(values), values).defaultLearningRate;
	}

	/** Valid until the next call. `seed` decides everything random but the split of the data. */
	async setUp(values: FinetuneValues, { seed = values.seed }: { seed?: number } = {}): Promise<Setting> {
		for (const [data, original] of this.#untouched) data.set(original);
		const seeded = { ...values, seed };
		const base = await this.base(values);
		const { model, trainable } = trainedPart(base, seeded);
		const parts = partsOfRun(seeded, this.dialogues);
		const key = graphKey(values, { maxRows: parts.maxRows, model });
		let kept = this.#kept.get(key);
		if (kept) startAnew(kept, model);
		else {
			const engine = await TrainingEngine.create(engineOptions({ model, trainable, ...parts, values }));
			kept = { model, trainable, engine };
		}
		this.#remember(base, kept);
		// Last used, last to go.
		this.#kept.delete(key);
		this.#kept.set(key, kept);
		await this.#letGo();
		return { ...kept, values: seeded, parts };
	}

	/** Mean loss of a setting's model on held-out examples; NaN when there are none. */
	async evaluate({ engine }: Setting, heldOut: HeldOut | undefined, signal?: AbortSignal): Promise<number> {
		if (!heldOut) return Number.NaN;
		return (await engine.evaluate(heldOut.batches(), { signal })).loss;
	}

	async dispose(): Promise<void> {
		for (const { engine } of this.#kept.values()) await engine.dispose();
		this.#kept.clear();
		this.dialogues.store.dispose();
	}

	/** Before a weight of the base is trained for the first time, it is copied. */
	#remember(base: Model, { model, trainable }: Kept): void {
		const owned = new Set([...base.parameters.values()].map(({ buffer }) => buffer));
		for (const name of trainable) {
			const data = model.parameters.get(name) as Float32Array;
			if (owned.has(data.buffer) && !this.#untouched.has(data)) this.#untouched.set(data, data.slice());
		}
	}

	/** Graphs that have not been used for longest, until the rest is small. The last one stays. */
	async #letGo(): Promise<void> {
		const bytes = ({ engine }: Kept) =>
			[...engine.gradients.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
		let held = [...this.#kept.values()].reduce((sum, kept) => sum + bytes(kept), 0);
		for (const [key, kept] of this.#kept) {
			if (this.#kept.size === 1 || (held <= keptBytes && this.#kept.size <= keptGraphs)) return;
			this.#kept.delete(key);
			held -= bytes(kept);
			await kept.engine.dispose();
		}
	}
}

/** A kept model has adapters of its own: they take the values that a new model would have. */
function startAnew(kept: Kept, fresh: Model): void {
	for (const name of kept.trainable) {
		const [target, source] = [kept.model.parameters.get(name), fresh.parameters.get(name)];
		if (target && source && target.buffer !== source.buffer) target.set(source);
	}
}

const bitsOf = ({ baseBits }: Pick<FinetuneValues, "baseBits">) =>
	baseBits === undefined ? undefined : (Number(baseBits) as 4 | 8);

/** What a training graph depends on beside the model's sizes. */
function graphKey(values: FinetuneValues, { maxRows, model }: { maxRows: number; model: Model }): string {
	const { vocabulary } = model.architecture.sizes(model.config);
	const { dropout, labelSmoothing, recompute, freeze, baseBits, lora } = values;
	const adapter = lora && [
		values.loraRank,
		values.loraAlpha,
		values.loraTargets,
		values.loraDropout,
		values.loraRs,
		values.loraDora,
	];
	return JSON.stringify([
		rowChunks({ rows: maxRows, vocabulary }),
		dropout,
		labelSmoothing,
		recompute,
		freeze,
		baseBits,
		adapter,
	]);
}

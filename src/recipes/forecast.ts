// What a training run will cost, from its graph alone: memory, disk and time, before a weight is read. `attune plan` tells
// it, and every run checks it before it starts. How the parts were checked against real processes: bench/forecast.

import { attachAdapter } from "../models/adapter.ts";
import type { AnyArchitecture } from "../models/architectures.ts";
import { countParameters, GraphCosts, type GraphWork } from "../models/costs.ts";
import { elementsOf } from "../models/execution.ts";
import type { Model } from "../models/model.ts";
import { rowChunks, trainingGraph, trainingSizes } from "../models/training-graph.ts";
import { loraNames } from "../nn/lora.ts";
import { type OptimizerName, optimizers, resolveSettings } from "../optim/optimizers.ts";
import type { MachineSpeed } from "./machine.ts";

/** The sizes of a micro-batch: B sequences of T positions, of which N are labelled. */
export interface MicroBatchSize {
	batch: number;
	time: number;
	rows: number;
}

export interface TrainingShape {
	architecture: AnyArchitecture;
	config: unknown;
	trainable: ReadonlySet<string>;
	optimizer: OptimizerName;
	/** Of the optimizer: with 0, SGD and RMSprop hold one state less. */
	momentum?: number;
	accumulate: boolean;
	recompute: boolean;
	dropout?: number;
	/** Whether a validation loss is computed. */
	evaluates: boolean;
	/** Whether checkpoints are written while it trains. */
	saves?: boolean;
	/** Most labelled rows of a micro-batch. */
	maxRows: number;
	/** Of some steps of the run. */
	microBatches: readonly MicroBatchSize[];
	/** Steps and examples that those stand for. */
	sampled: { steps: number; examples: number };
	/** Checkpoints that are kept. */
	saveTotalLimit?: number;
}

export interface MemoryForecast {
	/** Node, ONNX Runtime, our code and its sessions. */
	process: number;
	weights: number;
	gradients: number;
	optimizer: number;
	/** The copy of weights and states that is written while training goes on. */
	snapshot: number;
	activations: number;
	/** Activations of the evaluation, which has a session of its own. */
	evaluation: number;
}

export interface TrainingForecast {
	parameters: number;
	trainableParameters: number;
	memory: MemoryForecast;
	peakBytes: number;
	diskBytes: number;
	/** Of the sampled steps, updates included. */
	work: GraphWork;
}

/** Resident memory of a process that has loaded everything and holds no model; and what its sessions take a node. */
const processBytes = 155e6;
const bytesPerNode = 12e3;
/** What kernels take for themselves beside their results. */
const kernelShare = 1.05;

export function forecastTraining(shape: TrainingShape): TrainingForecast {
	const { architecture, config, trainable, maxRows, microBatches, accumulate, recompute, dropout = 0 } = shape;
	const counts = countParameters(architecture.parameters(config), trainable);
	const { vocabulary } = architecture.sizes(config);
	const chunks = rowChunks({ rows: maxRows, vocabulary });
	const sizesOf = (microBatch: MicroBatchSize) => trainingSizes(microBatch, chunks);
	const training = trainingGraph(architecture, config, { trainable, chunks, accumulate, recompute, dropout });
	const costs = new GraphCosts(training.graph);
	const sampled = microBatches.map(sizesOf);
	const bySlots = microBatches.toSorted((a, b) => a.batch * a.time - b.batch * b.time || a.time - b.time);
	const largest = bySlots.at(-1) as MicroBatchSize;
	const longest = microBatches.reduce((a, b) => (b.time > a.time ? b : a));
	const typical = bySlots[bySlots.length >> 1] as MicroBatchSize;
	const runs = [typical, largest, longest, typical].map(sizesOf);
	let evaluation = 0;
	let nodes = costs.nodes;
	if (shape.evaluates) {
		const graph = trainingGraph(architecture, config, { trainable: new Set(), chunks }).graph;
		const evaluating = new GraphCosts(graph);
		nodes += evaluating.nodes;
		// Held-out examples fill the budget whatever their length.
		const full = [typical, longest].map((size) => {
			const batch = Math.max(1, Math.floor((largest.batch * largest.time) / size.time));
			return sizesOf({ batch, time: size.time, rows: (size.rows / size.batch) * batch });
		});
		evaluation = kernelShare * evaluating.arenaBytes([sizesOf(largest), ...full]);
	}
	const { optimizer: name, momentum } = shape;
	const settings = resolveSettings(
		name,
		momentum !== undefined && "momentum" in optimizers[name].settings ? { momentum } : {},
	);
	const states = 4 * counts.trained * optimizers[name].states(settings).length;
	// Dropout masks are made anew for each micro-batch; those of the one before may still be there.
	const masks = training.dropoutMasks.reduce((bytes, mask) => bytes + 2 * elementsOf(mask.shape, sizesOf(largest)), 0);
	const memory: MemoryForecast = {
		process: processBytes + bytesPerNode * nodes,
		weights: counts.bytes,
		gradients: 4 * counts.trained,
		optimizer: states,
		snapshot: shape.saves === false ? 0 : 4 * counts.trained + states,
		activations: kernelShare * costs.arenaBytes(runs) + masks,
		evaluation,
	};
	const saved = 4 * counts.trained + states;
	const work = sampled.map((sizes) => costs.work(sizes)).reduce(sum, { flops: 0, movedBytes: 0 });
	// An update reads and writes weight and states, and reads the gradient twice: for its norm, too.
	const update = 2 * 4 * counts.trained + 2 * states + 2 * 4 * counts.trained;
	return {
		parameters: counts.all,
		trainableParameters: counts.trained,
		memory,
		peakBytes: Object.values(memory).reduce((total, part) => total + part, 0),
		// The best and the one being written stand beside those that are kept.
		diskBytes: 4 * counts.all + ((shape.saveTotalLimit ?? 2) + 2) * saved,
		work: { ...work, movedBytes: work.movedBytes + shape.sampled.steps * update },
	};
}

/** Of some work, at the speed of this machine. */
export function secondsOf({ flops, movedBytes }: GraphWork, speed: MachineSpeed): number {
	return flops / speed.flopsPerSecond + movedBytes / speed.bytesPerSecond;
}

/** Steps that are looked at to know all. */
const sampledSteps = 32;

/** The beginning of a stream, at most one epoch. */
export function* firstSteps<Step extends { endsEpoch: boolean }>(
	stream: { next(batchSize: number): Step },
	batchSize: number,
): Generator<Step> {
	for (let i = 0; i < sampledSteps; i++) {
		const step = stream.next(batchSize);
		yield step;
		if (step.endsEpoch) return;
	}
}

/** What all of these steps are made of. */
export function sampleSizes(
	steps: Iterable<{
		microBatches: readonly { batch: number; time: number; rows: { length: number } }[];
		examples: number;
	}>,
): Pick<TrainingShape, "microBatches" | "sampled"> {
	const microBatches: MicroBatchSize[] = [];
	const sampled = { steps: 0, examples: 0 };
	for (const step of steps) {
		sampled.steps++;
		sampled.examples += step.examples;
		for (const { batch, time, rows } of step.microBatches) microBatches.push({ batch, time, rows: rows.length });
	}
	return { microBatches, sampled };
}

export interface Change {
	/** As flags. */
	flags: string;
	shape: TrainingShape;
	/** Several at once. */
	together: boolean;
}

/** What a person could change to make a run smaller, the least painful first; each alone, then more and more together. */
export function smallerRuns(shape: TrainingShape): Change[] {
	const changes: Change[] = [];
	const note = (flags: string, smaller: TrainingShape, together = false) => {
		changes.push({ flags, shape: smaller, together });
	};
	const longest = Math.max(...shape.microBatches.map(({ time }) => time));
	const slots = Math.max(...shape.microBatches.map(({ batch, time }) => batch * time));
	const lora = withLoraAdapter(shape);
	if (!shape.recompute) note("--recompute", { ...shape, recompute: true });
	for (let budget = slots / 2; budget >= longest; budget /= 2) {
		note(`--token-budget ${Math.floor(budget)}`, withBudget(shape, Math.floor(budget)));
	}
	for (let length = 2 ** Math.floor(Math.log2(longest - 1)); length >= 128; length /= 2) {
		note(`--max-length ${length}`, withLength(shape, length));
	}
	if (lora) note("--lora", lora);
	const least = `--recompute --token-budget ${longest}`;
	note(least, { ...withBudget(shape, longest), recompute: true }, true);
	if (lora) {
		note("--lora --recompute", { ...lora, recompute: true }, true);
		note(`--lora ${least}`, { ...withBudget(lora, longest), recompute: true }, true);
	}
	return changes;
}

/** The same run with adapters of rank 8 on all linear layers; undefined when it has them already. */
export function withLoraAdapter(shape: TrainingShape): TrainingShape | undefined {
	const { architecture, config } = shape;
	const base = architecture.parameters(config);
	if (base.some(({ name }) => name.endsWith(loraNames("").a))) return undefined;
	const settings = { rank: 8, alpha: 16, targets: [], dropout: 0, rsLora: false, dora: false };
	return adaptedShape(shape, settings);
}

/** The shapes of a model with an adapter, without any tensor. */
export function adaptedShape(
	shape: TrainingShape,
	{ targets, ...settings }: Parameters<typeof attachAdapter>[1]["settings"],
): TrainingShape {
	const { architecture, config } = shape;
	const layers = architecture
		.linearLayers(config)
		.filter((layer) => targets.length === 0 || targets.some((end) => layer === end || layer.endsWith(`.${end}`)));
	const nothing = new Map(layers.map((layer) => [loraNames(layer).a, new Float32Array(0)]));
	const model = { architecture, config, parameters: new Map() } as unknown as Model;
	const adapted = attachAdapter(model, { settings: { ...settings, targets }, tensors: nothing }).architecture;
	const known = new Set(architecture.parameters(config).map(({ name }) => name));
	const own = adapted.parameters(config).flatMap(({ name }) => (known.has(name) ? [] : [name]));
	return { ...shape, architecture: adapted, trainable: new Set(own) };
}

function withBudget(shape: TrainingShape, tokenBudget: number): TrainingShape {
	return {
		...resized(shape, (size) => {
			const batch = Math.max(1, Math.min(size.batch, Math.floor(tokenBudget / size.time)));
			return { batch, time: size.time, rows: Math.ceil((size.rows / size.batch) * batch) };
		}),
		accumulate: true,
	};
}

function withLength(shape: TrainingShape, length: number): TrainingShape {
	return resized(shape, (size) => {
		const time = Math.min(size.time, length);
		return { ...size, time, rows: Math.ceil((size.rows / size.time) * time) };
	});
}

function resized(shape: TrainingShape, change: (size: MicroBatchSize) => MicroBatchSize): TrainingShape {
	const microBatches = shape.microBatches.map(change);
	const maxRows = Math.min(shape.maxRows, Math.max(...microBatches.map(({ rows }) => rows)));
	return { ...shape, microBatches, maxRows };
}

const sum = (a: GraphWork, b: GraphWork): GraphWork => ({
	flops: a.flops + b.flops,
	movedBytes: a.movedBytes + b.movedBytes,
});

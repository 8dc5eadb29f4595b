// One trial: a fine-tuning that pauses after some of its evaluations and goes on later from exactly there. It is the
// training of `finetune` with the same settings, so that its winner can be had again from a config file, byte for byte.
//
// A trial is scored by its best checkpoint so far, whose weights it keeps; what it stands for can be had as it is.

import { join } from "node:path";
import {
	checkpointName,
	checkpointsFolder,
	openCheckpoint,
	pruneCheckpoints,
	writeCheckpoint,
} from "../../checkpoint/checkpoints.ts";
import type { BatchStreamState } from "../../data/index.ts";
import { type Model, parameterCount, parameterEntries, sizeOf } from "../../models/model.ts";
import { ParameterUpdater } from "../../optim/parameter-updater.ts";
import { planTraining, type TrainEvent, type TrainState, trainLoop } from "../../train/loop.ts";
import {
	loopSettings,
	optimizerFile,
	savedTensors,
	trainedParameters,
	updaterOptions,
	weightsNameOf,
} from "../training-run.ts";
import type { FinetuneValues, Setting, Workbench } from "./workbench.ts";

export interface TrialOptions {
	bench: Workbench;
	/** As resolved for `finetune`, the learning rate included. */
	values: FinetuneValues;
	/** Decides order, dropout and new weights. */
	seed: number;
	/** Evaluations of a whole run. */
	evaluations: number;
	/** How many of them the trial is to have in the end. */
	target: number;
	/** Where its checkpoints go. */
	directory: string;
	/** The checkpoint to go on from; absent: from the base. */
	from?: TrialStart | undefined;
	signal?: AbortSignal;
	onStep?: (progress: { step: number; steps: number; loss: number }) => void;
	/** After each evaluation; true gives the trial up. */
	onEvaluation?: (best: number, evaluation: number) => Promise<boolean>;
}

export interface TrialStart {
	/** The directory of the trial whose checkpoint it is. */
	directory: string;
	step: number;
	/** It is another trial's, up to where both are the same: what that one saw of the held-out data does not count. */
	borrowed?: boolean;
}

export type TrialResult =
	/** At its target. `loss`: of the best checkpoint so far. */
	| { end: "reached"; loss: number; setting: Setting; step: number; steps: number; flops: number }
	| { end: "given-up" }
	/** By the signal; `evaluation` is a fraction, when it was between two. */
	| { end: "interrupted"; step: number; evaluation: number };

/** Seconds of a process, by what they were spent on. */
export interface TimeSpent {
	training: number;
	evaluating: number;
}

const bestFile = "best.safetensors";

interface SavedTrial {
	train: TrainState<BatchStreamState>;
	optimizerSteps: number;
	/** It came to its end: there is nothing to go on from. */
	finished: boolean;
}

/** The settings with everything said that a whole run of them depends on, and where its evaluations are. */
export function planTrial(values: FinetuneValues, { parts }: Pick<Setting, "parts">, evaluations: number) {
	const settings = loopSettings({ values, ...parts });
	const { plan, schedule } = planTraining({ ...settings, stream: parts.stream });
	const { steps } = plan;
	const evalSteps = Math.max(1, Math.floor(steps / evaluations));
	return {
		steps,
		schedule,
		settings: { ...settings, evalSteps, learningRate: values.learningRate as number },
		/** The step at which evaluation number `count` of them takes place. */
		stepOf: (count: number) => (count >= evaluations ? steps : Math.min(steps, count * evalSteps)),
	};
}

/** Trains from where the trial is to its target, and leaves a checkpoint there. */
export async function runTrial(options: TrialOptions, spent: TimeSpent): Promise<TrialResult> {
	const { bench, seed, evaluations, target, directory, signal, onStep, onEvaluation } = options;
	const setting = await bench.setUp(options.values, { seed });
	const { values, model, trainable, engine, parts } = setting;
	const { steps, settings, stepOf } = planTrial(values, setting, evaluations);
	// The whole run ends where it ends: with a batch ramp the number of its steps is a forecast.
	const stopAt = target >= evaluations ? undefined : stepOf(target);
	const updater = await ParameterUpdater.create(trainedParameters({ model, values }, engine), updaterOptions(values));
	const live = [...trainable].map((name) => [name, model.parameters.get(name) as Float32Array] as const);
	let best = new Map<string, Float32Array>();
	const reachedBy = ({ step, stream, best }: TrainState<BatchStreamState>): TrialResult => {
		const flops = stream.examples * tokensPerExample(bench) * flopsPerToken(model, trainable);
		return { end: "reached", loss: best?.loss ?? Number.NaN, setting, step, steps, flops };
	};
	try {
		const { from } = options;
		const saved = from && (await load(from.directory, { step: from.step, model, live, updater }));
		// A whole run may be a few steps shorter than forecast, and so end at a rung below its last.
		if (saved?.state.finished && !from?.borrowed) return reachedBy(saved.state.train);
		if (saved && !from?.borrowed) best = saved.best;
		const resumed = saved && (from?.borrowed ? unseen(saved.state.train, settings) : saved.state.train);
		let mark = performance.now();
		const lap = (kind: keyof TimeSpent) => {
			const now = performance.now();
			spent[kind] += (now - mark) / 1000;
			mark = now;
		};
		let last: TrainState<BatchStreamState> | undefined;
		const loop = trainLoop<BatchStreamState>({
			engine,
			updater,
			stream: resumed ? parts.restoreStream(resumed.stream) : parts.stream,
			...settings,
			...(stopAt !== undefined && { stopAt }),
			evaluate: async (stop) => {
				lap("training");
				const loss = await bench.evaluate(setting, parts.validation, stop);
				lap("evaluating");
				return loss;
			},
			save: async (state) => {
				last = state;
				if (state.best?.step === state.step)
					best = new Map(live.map(([name, data]) => [name, copyInto(best.get(name), data)]));
				return directory;
			},
			...(resumed && { resumed }),
			...(signal && { signal }),
			clock: () => performance.now(),
		});
		let givenUp = false;
		let reason: Extract<TrainEvent, { type: "training-done" }>["reason"] | undefined;
		for await (const event of loop) {
			if (event.type === "step-done") {
				lap("training");
				onStep?.(event);
			}
			if (event.type === "evaluation-done") {
				if (!Number.isFinite(event.loss)) {
					throw new Error(
						`the validation loss is ${event.loss} after ${event.step} steps: the learning rate is too high`,
					);
				}
				const count = Math.min(evaluations, event.step / settings.evalSteps);
				const lowest = Math.min(event.loss, last?.best?.loss ?? resumed?.best?.loss ?? event.loss);
				if (count < target && (await onEvaluation?.(lowest, count))) {
					givenUp = true;
					break;
				}
			}
			if (event.type === "training-done") reason = event.reason;
		}
		if (givenUp) return { end: "given-up" };
		const train = (last ?? resumed) as TrainState<BatchStreamState>;
		const reached = reason !== "aborted";
		// Interrupted before anything was done, the trial is where it was.
		if (last && (reached || last.step > (from?.step ?? 0))) {
			const state = { train, optimizerSteps: updater.steps, finished: reason === "finished" };
			await save(directory, { model, trainable, updater, best, state });
		}
		mark = performance.now();
		if (!reached) return { end: "interrupted", step: train.step, evaluation: train.step / settings.evalSteps };
		return reachedBy(train);
	} finally {
		updater.dispose();
	}
}

/** A state without what was seen of the held-out data. An evaluation that falls on its step is due. */
function unseen(
	train: TrainState<BatchStreamState>,
	{ evalSteps }: { evalSteps: number },
): TrainState<BatchStreamState> {
	const { best: _, lastEvaluation: __, ...state } = train;
	return { ...state, evaluationsSinceBest: 0, evaluationDue: state.step === evalSteps };
}

/** Where a trial had its lowest loss so far. */
export interface BestSoFar {
	step: number;
	loss: number;
	/** Of the whole run, not of a part of it. */
	final: boolean;
}

/** Puts the best weights of a trial into the setting's model. */
export async function loadBest({ model, trainable }: Setting, { directory, step }: TrialStart): Promise<BestSoFar> {
	const live = [...trainable].map((name) => [name, model.parameters.get(name) as Float32Array] as const);
	const { best, state } = await load(directory, { step, model, live });
	for (const [name, data] of live) data.set(best.get(name) as Float32Array);
	return { ...(state.train.best as { step: number; loss: number }), final: state.finished };
}

async function save(
	directory: string,
	{
		model,
		trainable,
		updater,
		best,
		state,
	}: {
		model: Model;
		trainable: ReadonlySet<string>;
		updater: ParameterUpdater;
		best: ReadonlyMap<string, Float32Array>;
		state: SavedTrial;
	},
): Promise<void> {
	const { architecture, config } = model;
	const { finished } = state;
	const { step } = state.train;
	const ahead = state.train.best?.step === step;
	// Of a trial that will not go on only the best weights are of worth.
	const tensors = {
		...(!finished && savedTensors({ model, trainable }, updater)),
		...(best.size > 0 &&
			(finished || !ahead) && { [bestFile]: parameterEntries(architecture, { config, parameters: best }) }),
	};
	await writeCheckpoint(directory, { step, tensors, state: JSON.parse(JSON.stringify(state)) });
	await pruneCheckpoints(directory, { saveTotalLimit: 1 });
}

async function load(
	directory: string,
	{
		step,
		model,
		live,
		updater,
	}: {
		step: number;
		model: Model;
		live: readonly (readonly [name: string, data: Float32Array])[];
		/** Absent: only the best weights are wanted. */
		updater?: ParameterUpdater;
	},
): Promise<{ state: SavedTrial; best: Map<string, Float32Array> }> {
	const checkpoint = await openCheckpoint(join(directory, checkpointsFolder, checkpointName(step)));
	try {
		const state = checkpoint.state as SavedTrial;
		const fileName = (name: string) => model.architecture.fileName(name);
		const current = checkpoint.tensors.get(weightsNameOf(model));
		const best = new Map<string, Float32Array>();
		// Interrupted before its first evaluation, it has no best weights yet.
		const bestTensors = checkpoint.tensors.get(bestFile) ?? (state.train.best ? current : undefined);
		for (const [name, data] of live) {
			if (bestTensors) {
				const copy = new Float32Array(data.length);
				await bestTensors.readInto(fileName(name), copy);
				best.set(name, copy);
			}
			if (updater) await current?.readInto(fileName(name), data);
		}
		const file = checkpoint.tensors.get(optimizerFile);
		if (updater && file) {
			const tensors = new Map<string, Float32Array>();
			for (const name of file.tensors.keys()) tensors.set(name, (await file.read(name)) as Float32Array);
			updater.restore({ steps: state.optimizerSteps, tensors });
		}
		return { state, best };
	} finally {
		await checkpoint.close();
	}
}

function copyInto(target: Float32Array | undefined, data: Float32Array): Float32Array {
	if (target?.length !== data.length) return data.slice();
	target.set(data);
	return target;
}

/** Forward and backward through everything, and the products that make the gradients of what is trained. */
function flopsPerToken({ architecture, config }: Model, trainable: ReadonlySet<string>): number {
	const trained = architecture
		.parameters(config)
		.reduce((sum, spec) => sum + (trainable.has(spec.name) ? sizeOf(spec) : 0), 0);
	return 4 * parameterCount(architecture, config) + 2 * trained;
}

export function tokensPerExample({ dialogues: { store, train } }: Workbench): number {
	return train.reduce((sum, index) => sum + store.timeOf(index), 0) / train.length;
}

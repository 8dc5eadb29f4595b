// The training loop: set the rate, micro-steps, clip, update, log; now and then evaluate and save. An async iterable of
// events: the caller decides how they are shown and where checkpoints go. All that the future depends on is in TrainState,
// so a run that is stopped anywhere and goes on from its last checkpoint ends with the same bytes.

import type { StepBatch } from "../data/micro-batch.ts";
import { type BatchRamp, batchSizeAt, type RampLearningRate, rampLearningRateFactor } from "../optim/batch-ramp.ts";
import { clippingScale } from "../optim/clipping.ts";
import type { ParameterUpdater } from "../optim/parameter-updater.ts";
import { createSchedule, type Schedule, type ScheduleName } from "../optim/schedule.ts";
import { UserError } from "../util/errors.ts";
import { progressOf } from "../util/progress-of.ts";
import type { TrainingEngine } from "./engine.ts";
import { type HealthWarning, HealthWatch, type WatchedRun } from "./health.ts";
import { NoiseScale, noiseScaleEvery } from "./noise-scale.ts";

/** Where steps come from: dialogues (BatchStream) or windows of text (WindowStream). */
export interface StepStream {
	next(batchSize: number): StepBatch & { epoch: number; endsEpoch: boolean };
	readonly state: StreamState;
	readonly examplesPerEpoch: number;
	readonly supervisedTokensPerEpoch: number;
	/** Positions that are not padding. */
	readonly tokensPerEpoch: number;
}

interface StreamState {
	readonly examples: number;
	readonly supervisedTokens: number;
}

export interface LoopOptions<State extends StreamState = StreamState> {
	engine: Pick<TrainingEngine, "beginStep" | "microStep">;
	updater: Pick<ParameterUpdater, "gradientNorm" | "step">;
	stream: StepStream & { readonly state: State };
	/** Steps, or passes over the data (a part of one is allowed). */
	length: { steps: number } | { epochs: number };
	/** Examples in a step: already multiplied by accumulation. */
	batchSize: number;
	batchRamp?: { ramp: BatchRamp; learningRate: RampLearningRate };
	learningRate: number;
	/** Warm-up of 5 % of the steps unless said. */
	schedule: { name: ScheduleName; warmupSteps?: number; minRatio?: number };
	/** 0: no clipping. */
	maxGradNorm: number;
	/** Decides dropout. */
	seed: number;
	/** Steps between evaluations; absent: at the end of each epoch. */
	evalSteps?: number;
	/** Steps between checkpoints beside those of evaluations; absent: with each evaluation. */
	saveSteps?: number;
	/** Stop after this many evaluations without a better loss. */
	patience?: number;
	/** End at this step, evaluated and saved, though everything else follows the whole length. */
	stopAt?: number;
	/** Mean validation loss, telling how many tokens are done meanwhile; absent: nothing is held out. */
	evaluate?: (signal?: AbortSignal, onAdvance?: (tokens: number) => void) => Promise<number>;
	/** Judged after the first steps, when it is a new run. */
	watch?: WatchedRun;
	/** Takes a snapshot of everything, before the next step changes it. Returns the path. */
	save?: (state: TrainState<State>) => Promise<string>;
	/** From a checkpoint; the stream, the updater and the parameters have been restored to it. */
	resumed?: TrainState<State>;
	signal?: AbortSignal;
	/** Milliseconds, for speeds and for when progress is told; they influence nothing else. */
	clock: () => number;
}

/** Everything a checkpoint holds beside tensors. JSON. */
export interface TrainState<State extends StreamState = StreamState> {
	/** Optimizer updates, skipped ones included. */
	step: number;
	skippedSteps: number;
	stream: State;
	best?: { step: number; loss: number };
	lastEvaluation?: { step: number; loss: number };
	evaluationsSinceBest: number;
	/** The evaluation of this step was interrupted: the run goes on with it. */
	evaluationDue: boolean;
	/** Mean training loss over the steps since the last evaluation: sum and count. */
	recent: { loss: number; steps: number };
}

export type TrainEvent =
	| {
			type: "step-done";
			step: number;
			steps: number;
			epoch: number;
			loss: number;
			learningRate: number;
			gradientNorm: number;
			batchSize: number;
			supervisedTokens: number;
			supervisedTokensPerSecond: number;
			secondsLeft: number;
			/** In supervised tokens, when steps have had several micro-batches. */
			gradientNoiseScale?: number;
	  }
	| { type: "step-skipped"; step: number; loss: number; gradientNorm: number }
	| ({ type: "warning"; step: number } & HealthWarning)
	/** Once a second while an evaluation is under way: supervised tokens done. */
	| { type: "evaluation-advanced"; tokens: number }
	| { type: "evaluation-done"; step: number; loss: number; best: boolean; trainingLoss?: number }
	| { type: "checkpoint-saved"; step: number; path: string }
	| { type: "training-done"; state: TrainState; reason: EndReason };

type EndReason = "finished" | "patience" | "stopped" | "aborted";

/** Trains until the length is reached, patience is lost or the signal aborts; a checkpoint is saved before it returns. */
export async function* trainLoop<State extends StreamState>(options: LoopOptions<State>): AsyncGenerator<TrainEvent> {
	const { engine, updater, stream, signal, seed, clock } = options;
	const { plan, schedule } = planTraining(options);
	const state: TrainState<State> = options.resumed ? structuredClone(options.resumed) : newState(stream.state);
	const speed = new Speed(clock, { tokensLeft: plan.tokensLeft(state) });
	const health = options.watch && state.step === 0 ? new HealthWatch(options.watch) : undefined;
	const noise = new NoiseScale();
	let savedAt = options.resumed?.step ?? -1;
	const save = async function* (): AsyncGenerator<TrainEvent> {
		if (!options.save || savedAt === state.step) return;
		savedAt = state.step;
		const path = await options.save(structuredClone(state));
		speed.skip();
		yield { type: "checkpoint-saved", step: state.step, path };
	};

	let saveDue = state.evaluationDue;
	// What follows a step comes first, so that a run which was stopped there goes on there.
	for (;;) {
		const { evaluate } = options;
		if (state.evaluationDue && evaluate) {
			let validation: number;
			try {
				validation = yield* progressOf<TrainEvent, number>(
					(report) => evaluate(signal, (tokens) => report({ type: "evaluation-advanced", tokens })),
					{ clock },
				);
				speed.skip();
			} catch (error) {
				if (signal?.aborted) return yield* finish("aborted");
				throw error;
			}
			yield noteEvaluation(state, validation);
			// A checkpoint of this step may exist, from when the evaluation was interrupted: it is out of date.
			savedAt = -1;
		}
		// The best so far is always kept: it may become the result.
		if (saveDue || state.best?.step === state.step) yield* save();
		if (options.patience !== undefined && state.evaluationsSinceBest >= options.patience)
			return yield* finish("patience");
		if (plan.done(state)) return yield* finish("finished");
		if (options.stopAt !== undefined && state.step >= options.stopAt) return yield* finish("stopped");
		if (signal?.aborted) return yield* finish("aborted");

		const progress = plan.progress(state);
		const batchSize = options.batchRamp ? batchSizeAt(options.batchRamp.ramp, progress) : options.batchSize;
		const learningRate = options.learningRate * schedule(plan.position(state)) * rampFactor(options, batchSize);
		const batch = stream.next(Math.min(batchSize, plan.examplesLeft(state)));
		const [first] = batch.microBatches;
		const measured = batch.microBatches.length > 1 && state.step % noiseScaleEvery === 0;
		let partNorm: number | undefined;
		let loss: number;
		try {
			loss = await gradientStep(engine, batch, {
				seed,
				step: state.step,
				...(measured && {
					afterFirst: async () => {
						partNorm = await updater.gradientNorm();
					},
				}),
				...(signal && { signal }),
			});
		} catch (error) {
			// The step is as if it was never begun: state still names the position before it.
			if (signal?.aborted) return yield* finish("aborted");
			throw error;
		}
		const computed = clock();
		const gradientNorm = await updater.gradientNorm();
		if (partNorm !== undefined && first) {
			// So far the part is divided by the tokens of the whole step.
			const [part, whole] = [first.rows.length, batch.supervisedTokens];
			const meanNorm = (partNorm * whole) / part;
			noise.observe({ part: { tokens: part, norm: meanNorm }, whole: { tokens: whole, norm: gradientNorm } });
		}
		const finite = Number.isFinite(loss) && Number.isFinite(gradientNorm);
		if (finite) {
			const { maxGradNorm } = options;
			const gradientScale = maxGradNorm > 0 ? clippingScale({ norm: gradientNorm, maxNorm: maxGradNorm }) : 1;
			await updater.step({ learningRate, gradientScale });
			state.recent = { loss: state.recent.loss + loss, steps: state.recent.steps + 1 };
		} else {
			state.skippedSteps++;
		}
		const updateMs = clock() - computed;
		state.step++;
		state.stream = stream.state;
		const last = plan.done(state) || state.step === options.stopAt;
		const atEvaluation = options.evalSteps ? state.step % options.evalSteps === 0 : batch.endsEpoch;
		state.evaluationDue = options.evaluate !== undefined && (atEvaluation || last);
		saveDue = last || (options.saveSteps ? state.step % options.saveSteps === 0 : atEvaluation);
		if (!finite) yield { type: "step-skipped", step: state.step, loss, gradientNorm };
		// With a batch ramp the length is an estimate: it counts tokens, not steps.
		const steps = plan.done(state) ? state.step : Math.max(plan.steps, state.step + 1);
		yield {
			type: "step-done",
			step: state.step,
			steps,
			epoch: batch.epoch,
			loss,
			learningRate,
			gradientNorm,
			batchSize: batch.examples,
			supervisedTokens: state.stream.supervisedTokens,
			...speed.after(batch, { updateMs, stepsLeft: last ? 0 : steps - state.step }),
			...(noise.tokens !== undefined && { gradientNoiseScale: noise.tokens }),
		};
		for (const warning of health?.after({ loss, gradientNorm, learningRate }, { last }) ?? [])
			yield { type: "warning", step: state.step, ...warning };
	}

	async function* finish(reason: EndReason): AsyncGenerator<TrainEvent> {
		yield* save();
		yield { type: "training-done", state, reason };
	}
}

/** How long the run is and how its learning rate goes. Throws UserError when the warm-up does not fit into the run. */
export function planTraining(
	options: Pick<LoopOptions, "stream" | "length" | "batchSize" | "batchRamp" | "schedule">,
): { plan: ReturnType<typeof planLength>; schedule: Schedule } {
	const { name, warmupSteps, minRatio = 0 } = options.schedule;
	const plan = planLength(options);
	const warmup = warmupSteps ?? Math.min(Math.round(plan.steps / 20), plan.steps - 1);
	if (warmup >= plan.steps) {
		throw new UserError("SCHEDULE_INVALID", "The warm-up does not end before the run does.", {
			where: "--warmup-steps",
			expected: `less than ${plan.steps}, the steps of the run`,
			found: `${warmup}`,
		});
	}
	return { plan, schedule: createSchedule({ name, total: plan.steps, warmup, minRatio }) };
}

/** Loss of a step's batch, with its gradients left in the engine. */
async function gradientStep(
	engine: LoopOptions["engine"],
	batch: StepBatch,
	{
		seed,
		step,
		afterFirst,
		signal,
	}: { seed: number; step: number; afterFirst?: () => Promise<void>; signal?: AbortSignal },
): Promise<number> {
	engine.beginStep();
	// Divided by the supervised tokens of the whole step: per micro-batch, short replies would weigh more.
	const tokenWeight = 1 / batch.supervisedTokens;
	let loss = 0;
	for (const [index, microBatch] of batch.microBatches.entries()) {
		const dropoutSeed = [seed, step, index];
		loss += await engine.microStep(microBatch, { tokenWeight, dropoutSeed, ...(signal && { signal }) });
		if (index === 0) await afterFirst?.();
	}
	return loss;
}

function newState<State extends StreamState>(stream: State): TrainState<State> {
	return {
		step: 0,
		skippedSteps: 0,
		stream,
		evaluationsSinceBest: 0,
		evaluationDue: false,
		recent: { loss: 0, steps: 0 },
	};
}

function noteEvaluation(state: TrainState, loss: number): TrainEvent {
	const best = loss < (state.best?.loss ?? Number.POSITIVE_INFINITY);
	if (best) state.best = { step: state.step, loss };
	state.lastEvaluation = { step: state.step, loss };
	state.evaluationDue = false;
	state.evaluationsSinceBest = best ? 0 : state.evaluationsSinceBest + 1;
	const { recent } = state;
	state.recent = { loss: 0, steps: 0 };
	const trainingLoss = recent.steps > 0 ? { trainingLoss: recent.loss / recent.steps } : {};
	return { type: "evaluation-done", step: state.step, loss, best, ...trainingLoss };
}

function rampFactor({ batchRamp }: Pick<LoopOptions, "batchRamp">, size: number): number {
	return batchRamp ? rampLearningRateFactor(batchRamp.ramp, { size, rule: batchRamp.learningRate }) : 1;
}

/** How far the run goes. With a batch ramp positions are counted in supervised tokens, else in steps. */
function planLength({
	stream,
	length,
	batchSize,
	batchRamp,
}: Pick<LoopOptions, "stream" | "length" | "batchSize" | "batchRamp">) {
	const perEpoch = stream.examplesPerEpoch;
	const tokensPerExample = stream.supervisedTokensPerEpoch / perEpoch;
	const sizeAt = (progress: number) => (batchRamp ? batchSizeAt(batchRamp.ramp, progress) : batchSize);
	const examples = "epochs" in length ? Math.max(1, Math.round(length.epochs * perEpoch)) : undefined;
	let steps: number;
	if ("steps" in length) steps = length.steps;
	else if (!batchRamp) {
		const whole = Math.floor((examples as number) / perEpoch);
		const rest = (examples as number) - whole * perEpoch;
		steps = whole * Math.ceil(perEpoch / batchSize) + Math.ceil(rest / batchSize);
	} else {
		let seen = 0;
		for (steps = 0; seen < (examples as number); steps++) seen += sizeAt(seen / (examples as number));
	}
	let allExamples = examples ?? 0;
	if (examples === undefined) for (let step = 0; step < steps; step++) allExamples += sizeAt(step / steps);
	const tokens = allExamples * tokensPerExample;
	const progress = (state: TrainState) =>
		batchRamp ? Math.min(1, state.stream.supervisedTokens / tokens) : state.step / steps;
	return {
		steps,
		progress,
		position: (state: TrainState) => (batchRamp ? progress(state) * steps : state.step),
		done: (state: TrainState) => (examples === undefined ? state.step >= steps : state.stream.examples >= examples),
		/** Positions: an estimate, since what a resumed run has seen of an epoch is not of average length. */
		tokensLeft: (state: TrainState) => (allExamples - state.stream.examples) * (stream.tokensPerEpoch / perEpoch),
		examplesLeft: (state: TrainState) =>
			examples === undefined ? Number.MAX_SAFE_INTEGER : examples - state.stream.examples,
	};
}

/** Steps that pay for cold memory; they are left out of the forecast once there are others. */
const coldSteps = 1;

/**
 * Speed without the time of evaluations and checkpoints. Steps differ in length: what is left is told from the time of a
 * token, and from that of an update, which does not depend on them.
 */
class Speed {
	readonly #clock: () => number;
	readonly #steps: { supervisedTokens: number; ms: number }[] = [];
	#last: number;
	#tokensLeft: number;
	#taken = 0;
	#warm = { steps: 0, tokens: 0, computeMs: 0, updateMs: 0 };

	constructor(clock: () => number, { tokensLeft }: { tokensLeft: number }) {
		this.#clock = clock;
		this.#last = clock();
		this.#tokensLeft = tokensLeft;
	}

	after(
		{ supervisedTokens, tokens }: { supervisedTokens: number; tokens: number },
		{ updateMs, stepsLeft }: { updateMs: number; stepsLeft: number },
	): { supervisedTokensPerSecond: number; secondsLeft: number } {
		const now = this.#clock();
		const ms = Math.max(1e-3, now - this.#last);
		this.#last = now;
		this.#tokensLeft = stepsLeft === 0 ? 0 : Math.max(0, this.#tokensLeft - tokens);
		this.#steps.push({ supervisedTokens, ms });
		if (this.#steps.length > 20) this.#steps.shift();
		const sum = this.#steps.reduce((total, step) => ({
			supervisedTokens: total.supervisedTokens + step.supervisedTokens,
			ms: total.ms + step.ms,
		}));
		if (this.#taken++ === coldSteps) this.#warm = { steps: 0, tokens: 0, computeMs: 0, updateMs: 0 };
		const warm = this.#warm;
		warm.steps++;
		warm.tokens += tokens;
		warm.computeMs += ms - updateMs;
		warm.updateMs += updateMs;
		return {
			supervisedTokensPerSecond: (sum.supervisedTokens / sum.ms) * 1000,
			secondsLeft:
				((this.#tokensLeft * warm.computeMs) / warm.tokens + (stepsLeft * warm.updateMs) / warm.steps) / 1000,
		};
	}

	/** What was done since the last step does not count. */
	skip(): void {
		this.#last = this.#clock();
	}
}

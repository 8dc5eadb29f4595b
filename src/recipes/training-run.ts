// What fine-tuning and pretraining share: from a model and a stream of steps to a finished run directory. The recipes
// prepare the data; this file makes the engine and the optimizer, keeps the checkpoints, and writes the result.

import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CheckpointWriter } from "../checkpoint/checkpoint-writer.ts";
import {
	type CheckpointContent,
	checkpointName,
	checkpointsFolder,
	latestCheckpoint,
	openCheckpoint,
	pruneCheckpoints,
} from "../checkpoint/checkpoints.ts";
import { describePlatform, type FileHash, hashFiles, type Manifest } from "../checkpoint/manifest.ts";
import { adapterConfigFile, adapterWeightsFile, formatPeftConfig } from "../checkpoint/peft.ts";
import { createRun, openRun, type RunDirectory, readRunEvents } from "../checkpoint/run-directory.ts";
import { weightsFile } from "../checkpoint/weights.ts";
import type { HeldOut } from "../data/index.ts";
import type { LedgerReport } from "../data/ledger.ts";
import { isAdapted } from "../models/adapter.ts";
import { type BaseReference, peftConfig, saveAdapter } from "../models/adapter-files.ts";
import { type Model, parameterCount, parameterEntries, saveModel, sizeOf } from "../models/model.ts";
import { type DecayExclusion, decayPolicy, layerLearningRateScale } from "../optim/parameter-groups.ts";
import { type Parameter, ParameterUpdater, type ParameterUpdaterOptions } from "../optim/parameter-updater.ts";
import { ORT_VERSION } from "../runtime/index.ts";
import { type EngineOptions, TrainingEngine } from "../train/engine.ts";
import {
	type LoopOptions,
	planTraining,
	type StepStream,
	type TrainEvent,
	type TrainState,
	trainLoop,
} from "../train/loop.ts";
import { UserError } from "../util/errors.ts";
import { packageVersion } from "../util/package-root.ts";
import { progressOf } from "../util/progress-of.ts";
import { answerQuestions } from "./answers.ts";
import { modelDirectories } from "./model-reference.ts";
import type { pretrainOptions } from "./options/jobs.ts";
import type { RecipeContext, RecipeEvent } from "./options/recipe.ts";
import type { OptionRecord } from "./options/resolve.ts";
import type { OptionsOf } from "./options/table.ts";
import { assertFits, planOfRun } from "./plan-summary.ts";
import { reportFiles, writeReport } from "./report.ts";
import { TensorboardLog, tensorboardFolder } from "./tensorboard.ts";

/** The options that every kind of training reads. */
export type TrainingValues = Omit<
	OptionsOf<typeof pretrainOptions>,
	| "tokenizer"
	| "vocabularySize"
	| "layers"
	| "heads"
	| "channels"
	| "blockSize"
	| "data"
	| "columns"
	| "maxLossOfRows"
	| "validation"
	| "test"
>;

/** A stream whose place can be saved and found again. */
type Stream = StepStream & { readonly state: LoopOptions["stream"]["state"] };

export interface TrainingJob {
	recipe: string;
	directory: string;
	model: Model;
	/** Names of the parameters to train. */
	trainable: ReadonlySet<string>;
	/** What an adapter's base is called, when it is an adapter that is trained. */
	adapterBase?: BaseReference;
	values: TrainingValues;
	record: OptionRecord;
	/** The learning rate when none was asked for. */
	defaultLearningRate: number;
	base: Manifest["base"];
	data: readonly FileHash[];
	previous: Manifest | undefined;
	/** Options that differ from those of the resumed run. */
	changed: readonly string[];
	/** Files that are not what they were when it began. */
	changedFiles: readonly ("data" | "model")[];
	stream: Stream;
	/** The stream as it was when `state` was taken. */
	restoreStream(state: unknown): Stream;
	/** Held-out batches; absent when nothing is held out. */
	validation?: HeldOut;
	/** Held-out batches for one score of the result. */
	test?: HeldOut;
	/** What became of the rows of the training data. */
	ledger?: LedgerReport;
	/** Most labelled rows in a micro-batch. */
	maxRows: number;
	/** Whether a step may have more than one micro-batch. */
	accumulate: boolean;
	questions: readonly string[];
	next: (directory: string) => readonly string[];
}

interface SavedState {
	train: TrainState;
	optimizerSteps: number;
	lossBefore: number | null;
	answersBefore: string[];
	seconds: number;
}

type Json = Manifest["changes"][number]["to"];

export const optimizerFile = "optimizer.safetensors";

/** Trains, saves and reports. Stopped through the signal it leaves a checkpoint to resume from, and returns. */
export async function* runTraining(job: TrainingJob, context: RecipeContext): AsyncGenerator<RecipeEvent> {
	const { model, values, validation } = job;
	const { signal } = context;
	const settings = loopSettings(job);
	const { plan } = planTraining({ ...settings, stream: job.stream });
	const forecast = await planOfRun({ ...job, steps: plan.steps, stream: job.restoreStream(job.stream.state) });
	yield { type: "plan-made", plan: forecast };
	if (!values.force) assertFits(forecast);
	const engine = await TrainingEngine.create(engineOptions(job));
	const parameters = trainedParameters(job, engine);
	const updater = await ParameterUpdater.create(parameters, updaterOptions(values));
	const startedAt = Date.now();
	let run: RunDirectory | undefined;
	let writer: CheckpointWriter | undefined;
	let board: TensorboardLog | undefined;
	try {
		run = await openDirectory(job);
		const { resumed, damaged } = job.previous
			? await restore(job, { run, updater })
			: { resumed: undefined, damaged: [] };
		for (const { message } of damaged) yield note(run, { type: "warning", code: "CHECKPOINT_DAMAGED", message });
		if (job.previous) await noteChanges(run, { job, step: resumed?.train.step ?? 0 });
		const stream = resumed ? job.restoreStream(resumed.train.stream) : job.stream;
		const answersBefore =
			resumed?.answersBefore ?? (await answerQuestions(model, job.questions, answerOptions(values, signal)));
		// Answers that were broken off must not become part of a checkpoint.
		if (signal?.aborted) return;
		let lossBefore = resumed?.lossBefore ?? null;
		if (!resumed && validation) {
			lossBefore = yield* scored(engine, validation, { part: "validation", signal });
			yield note(run, evaluationEvent(0, lossBefore));
		}
		const seconds = () => (resumed?.seconds ?? 0) + (Date.now() - startedAt) / 1000;
		writer = new CheckpointWriter({
			runDirectory: run.path,
			copies: !forecast.waitsForSaves,
			onSaved: async ({ path, state }) => {
				const best = (state as SavedState).train.best?.step;
				await pruneCheckpoints(dirname(dirname(path)), { saveTotalLimit: values.saveTotalLimit, best });
			},
		});
		const tensors = savedTensors(job, updater);
		// New memory is slow at the first touch: that happens while the first steps run.
		const reserved = writer.reserve(tensors);
		const { path: runPath } = run;
		const save = async (state: TrainState) => {
			const optimizerSteps = updater.steps;
			const content: SavedState = { train: state, optimizerSteps, lossBefore, answersBefore, seconds: seconds() };
			await reserved;
			await writer?.save({ step: state.step, tensors, texts: adapterTexts(job), state: content });
			return join(runPath, checkpointsFolder, checkpointName(state.step));
		};

		let final: Extract<TrainEvent, { type: "training-done" }> | undefined;
		const loop = trainLoop({
			engine,
			updater,
			stream,
			...settings,
			learningRate: values.learningRate ?? job.defaultLearningRate,
			...(validation && {
				evaluate: async (stop?: AbortSignal, onAdvance?: (tokens: number) => void) =>
					(await engine.evaluate(validation.batches(), { signal: stop, onAdvance })).loss,
			}),
			watch: {
				vocabulary: model.architecture.sizes(model.config).vocabulary,
				parameters: parameters.map(({ data }) => data),
			},
			save,
			...(resumed && { resumed: resumed.train }),
			...(signal && { signal }),
			clock: () => performance.now(),
		});
		if (values.tensorboard) {
			const past = await readRunEvents(run.path);
			board = await TensorboardLog.open(run.path, { past, clock: () => Date.now() / 1000 });
		}
		for await (const event of loop) {
			if (event.type === "training-done") final = event;
			else if (event.type === "evaluation-advanced") yield advanced("validation", event.tokens, validation);
			else {
				const told = note(run, recipeEvent(event));
				board?.write(told);
				yield told;
			}
		}
		await writer.flush();
		const { state, reason } = final as NonNullable<typeof final>;
		if (reason === "aborted") return;

		const useBest = values.keep === "best" && state.best !== undefined && state.best.step !== state.step;
		if (useBest) await loadWeights(job, join(run.path, checkpointsFolder, checkpointName(state.best?.step ?? 0)));
		await saveResult(job, run.modelPath);
		const answersAfter = await answerQuestions(model, job.questions, answerOptions(values, signal));
		for (const [i, question] of job.questions.entries()) {
			const [before, after] = [answersBefore[i], answersAfter[i]];
			yield note(run, {
				type: "answer",
				question,
				...(before !== undefined && { before }),
				...(after !== undefined && { after }),
			});
		}
		const testLoss = job.test && (yield* scored(engine, job.test, { part: "test", signal }));
		// Without a best one (every loss was NaN) the last weights are the result.
		const lossAfter = (useBest ? state.best : state.lastEvaluation)?.loss;
		const report = {
			steps: state.step,
			supervisedTokens: state.stream.supervisedTokens,
			seconds: seconds(),
			...(state.skippedSteps > 0 && { skippedSteps: state.skippedSteps }),
			...(lossBefore !== null && { validationLossBefore: lossBefore }),
			...(lossAfter !== undefined && { validationLossAfter: lossAfter }),
			...(testLoss !== undefined && { testLoss }),
			...(state.best && { bestStep: state.best.step }),
			next: job.next(run.path),
		};
		const { curve, advice } = await writeReport(run, {
			report,
			manifest: run.manifest,
			events: (await readRunEvents(run.path)) as unknown as RecipeEvent[],
			forecast,
			peakBytes: process.resourceUsage().maxRSS * 1024,
			...(job.ledger && { ledger: job.ledger }),
		});
		yield note(run, { type: "run-done", directory: run.path, report: { ...report, curve, advice } });
	} finally {
		// Whatever ended the run, what is being written is finished; that it failed was told by the error that ended it.
		await writer?.flush().catch(() => {});
		board?.close();
		updater.dispose();
		await engine.dispose();
		run?.close();
	}
}

type EngineJob = Pick<TrainingJob, "model" | "trainable" | "maxRows" | "accumulate"> & {
	values: Pick<TrainingValues, "recompute" | "dropout" | "labelSmoothing" | "threads">;
};

export function engineOptions({ model, trainable, maxRows, accumulate, values }: EngineJob): EngineOptions {
	const { recompute, dropout, labelSmoothing, threads } = values;
	return {
		architecture: model.architecture,
		config: model.config,
		parameters: model.parameters,
		...(model.quantized && { quantized: model.quantized }),
		trainable,
		maxRows,
		accumulate,
		recompute,
		dropout,
		labelSmoothing,
		...(threads !== undefined && { threads }),
	};
}

export function updaterOptions(values: TrainingValues): ParameterUpdaterOptions {
	const { beta1, beta2, epsilon, momentum, nesterov, alpha, weightDecay, threads } = values;
	const moments = { beta1, beta2, epsilon, weightDecay };
	const settings = {
		adamw: moments,
		adam: moments,
		sgd: { momentum, nesterov, weightDecay },
		rmsprop: { alpha, epsilon, momentum, weightDecay },
	}[values.optimizer];
	return { optimizer: values.optimizer, settings, ...(threads !== undefined && { threads }) };
}

/** How far the loop goes, how fast, and what it does on the way. */
export function loopSettings({ values, validation }: Pick<TrainingJob, "values" | "validation">) {
	if (values.patience !== undefined && !validation) {
		throw new UserError("OPTION_CONFLICT", "Patience needs held-out data: without it nothing is evaluated.", {
			where: "--patience",
			expected: "--validation FILE or a fraction",
			found: "nothing held out",
		});
	}
	return {
		length: values.steps === undefined ? { epochs: values.epochs } : { steps: values.steps },
		batchSize: values.batchSize * values.accumulate,
		...(values.batchRamp && { batchRamp: { ramp: values.batchRamp, learningRate: values.rampLearningRate } }),
		schedule: {
			name: values.lrSchedule,
			minRatio: values.minLearningRateRatio,
			...(values.warmupSteps !== undefined && { warmupSteps: values.warmupSteps }),
		},
		maxGradNorm: values.maxGradNorm,
		seed: values.seed,
		...(values.evalSteps !== undefined && { evalSteps: values.evalSteps }),
		...(values.saveSteps !== undefined && { saveSteps: values.saveSteps }),
		...(values.patience !== undefined && { patience: values.patience }),
		...(values.stopAt !== undefined && { stopAt: values.stopAt }),
	};
}

/** Hashes of the files that a model consists of. */
export async function hashModel(directory: string, reference: string): Promise<NonNullable<Manifest["base"]>> {
	const files: FileHash[] = [];
	for (const inside of await modelDirectories(directory)) {
		const names = (await readdir(inside)).filter((name) => /\.(json|safetensors|txt)$/.test(name)).sort();
		files.push(...(await hashFiles(names.map((name) => join(inside, name)))));
	}
	return { model: reference, files };
}

async function openDirectory(job: TrainingJob): Promise<RunDirectory> {
	if (job.previous) return openRun(job.directory);
	const manifest = newManifest({ ...job, seed: job.values.seed });
	const alsoWrites = [...reportFiles, tensorboardFolder];
	return createRun(job.directory, { manifest, overwrite: job.values.overwrite, alsoWrites });
}

/** What a run directory says of itself when it is made. */
export function newManifest({
	recipe,
	record,
	base,
	data,
	seed,
	model: { architecture, config },
	trainable,
}: Pick<TrainingJob, "recipe" | "record" | "base" | "data" | "model" | "trainable"> & { seed: number }): Manifest {
	const trained = architecture.parameters(config).filter(({ name }) => trainable.has(name));
	return {
		tool: "attune",
		format: 1,
		recipe,
		createdAt: new Date().toISOString(),
		seed,
		options: record as Manifest["options"],
		versions: { attune: packageVersion(), node: process.version, onnxruntime: ORT_VERSION },
		platform: describePlatform(),
		base,
		data: [...data],
		parameters: {
			total: parameterCount(architecture, config),
			trained: trained.reduce((sum, spec) => sum + sizeOf(spec), 0),
		},
		changes: [],
	};
}

/** Puts the parameters, the optimizer and the events back to the latest whole checkpoint, or to the start without one. */
async function restore(
	job: TrainingJob,
	{ run, updater }: { run: RunDirectory; updater: ParameterUpdater },
): Promise<{ resumed: SavedState | undefined; damaged: readonly UserError[] }> {
	const { latest, damaged } = await latestCheckpoint(run.path);
	await run.rewindTo({ step: latest?.step ?? -1 });
	if (!latest) return { resumed: undefined, damaged };
	await loadWeights(job, latest.path);
	const checkpoint = await openCheckpoint(latest.path);
	try {
		const state = checkpoint.state as SavedState;
		const file = checkpoint.tensors.get(optimizerFile);
		if (!file)
			throw new UserError("CHECKPOINT_INCOMPLETE", `${latest.path} lacks ${optimizerFile}.`, { where: latest.path });
		const tensors = new Map<string, Float32Array>();
		for (const name of file.tensors.keys()) tensors.set(name, (await file.read(name)) as Float32Array);
		updater.restore({ steps: state.optimizerSteps, tensors });
		return { resumed: state, damaged };
	} finally {
		await checkpoint.close();
	}
}

/** What a checkpoint holds: the trained parameters and the optimizer's states, as live arrays. */
export function savedTensors(
	{ model, trainable }: Pick<TrainingJob, "model" | "trainable">,
	updater: ParameterUpdater,
): CheckpointContent["tensors"] {
	const parameters = new Map([...model.parameters].filter(([name]) => trainable.has(name)));
	return {
		[weightsNameOf(model)]: parameterEntries(model.architecture, { config: model.config, parameters }),
		[optimizerFile]: [...updater.state().tensors].map(([name, data]) => ({ name, shape: [data.length], data })),
	};
}

/** Beside the weights of an adapter: with it PEFT can load a checkpoint. */
function adapterTexts({ model, adapterBase }: TrainingJob): Record<string, string> {
	if (!isAdapted(model) || !adapterBase) return {};
	return { [adapterConfigFile]: `${JSON.stringify(formatPeftConfig(peftConfig(model, adapterBase)), null, 2)}\n` };
}

export const weightsNameOf = (model: Model) => (isAdapted(model) ? adapterWeightsFile : weightsFile);

export async function saveResult(
	{ model, adapterBase }: Pick<TrainingJob, "model" | "adapterBase">,
	path: string,
): Promise<void> {
	if (isAdapted(model) && adapterBase) await saveAdapter(path, model, { base: adapterBase });
	else await saveModel(path, model);
}

/** Reads the trained parameters of a checkpoint into the model. */
async function loadWeights(job: TrainingJob, path: string): Promise<void> {
	const checkpoint = await openCheckpoint(path);
	try {
		const file = checkpoint.tensors.get(weightsNameOf(job.model));
		for (const name of job.trainable) {
			const target = job.model.parameters.get(name) as Float32Array;
			await file?.readInto(job.model.architecture.fileName(name), target);
		}
	} finally {
		await checkpoint.close();
	}
}

/** Writes what differs from the run so far into its manifest, which then describes the run as it goes on. */
async function noteChanges(run: RunDirectory, { job, step }: { job: TrainingJob; step: number }): Promise<void> {
	const { manifest } = run;
	const at = new Date().toISOString();
	const options = { ...manifest.options };
	const changes = job.changed.map((option) => {
		const [from, to] = [options[option]?.value ?? null, (job.record[option]?.value ?? null) as Json];
		options[option] = job.record[option] as Manifest["options"][string];
		return { step, at, option, from, to };
	});
	const { data, base } = manifest;
	if (job.changedFiles.includes("data")) changes.push({ step, at, option: "data", from: data, to: [...job.data] });
	if (job.changedFiles.includes("model")) changes.push({ step, at, option: "model", from: base, to: job.base });
	if (changes.length === 0) return;
	await run.writeManifest({
		...manifest,
		options,
		data: [...job.data],
		base: job.base,
		changes: [...manifest.changes, ...changes],
	});
}

export function trainedParameters(
	{ model, values }: Pick<TrainingJob, "model" | "values">,
	engine: TrainingEngine,
): Parameter[] {
	const decays = decayPolicy({ exclude: values.decayExclusions as readonly DecayExclusion[] });
	const { layers } = model.architecture.sizes(model.config);
	return model.architecture
		.parameters(model.config)
		.filter(({ name }) => engine.gradients.has(name))
		.map(({ name, layer }) => ({
			name,
			data: model.parameters.get(name) as Float32Array,
			gradient: engine.gradients.get(name) as Float32Array,
			decay: decays(name),
			learningRateScale: layerLearningRateScale({ layer, layers, decay: values.layerLrDecay }),
		}));
}

/** Mean loss on held-out examples, saying meanwhile how far it is. */
function scored(
	engine: TrainingEngine,
	heldOut: HeldOut,
	{ part, signal }: { part: "validation" | "test"; signal: AbortSignal | undefined },
): AsyncGenerator<RecipeEvent, number> {
	return progressOf(async (report) => {
		const onAdvance = (tokens: number) => report(advanced(part, tokens, heldOut));
		return (await engine.evaluate(heldOut.batches(), { signal, onAdvance })).loss;
	});
}

function advanced(part: "validation" | "test", tokens: number, heldOut: HeldOut | undefined): RecipeEvent {
	return { type: "evaluation-advanced", part, tokens, totalTokens: heldOut?.supervisedTokens ?? tokens };
}

function recipeEvent(event: Exclude<TrainEvent, { type: "training-done" | "evaluation-advanced" }>): RecipeEvent {
	switch (event.type) {
		case "evaluation-done":
			return evaluationEvent(event.step, event.loss);
		case "step-skipped":
			return {
				type: "warning",
				code: "STEP_SKIPPED",
				message: `Step ${event.step} was not taken: the loss (${event.loss}) or the gradient (norm ${event.gradientNorm}) is not finite.`,
				hint: "When this happens often, lower the learning rate.",
			};
		default:
			return event;
	}
}

function evaluationEvent(step: number, loss: number): RecipeEvent {
	return { type: "evaluation-done", step, loss, perplexity: Math.exp(loss) };
}

/** Writes an event into the run's log on its way to the caller. */
function note(run: RunDirectory, event: RecipeEvent): RecipeEvent {
	run.appendEvent(event);
	return event;
}

function answerOptions({ threads }: TrainingValues, signal: AbortSignal | undefined) {
	return { ...(threads !== undefined && { threads }), ...(signal && { signal }) };
}

/** A learning rate that suits full training of a pretrained model of this size: the larger, the gentler. */
export function fullLearningRate(model: Model): number {
	const rate = 5e-5 * Math.sqrt(124e6 / parameterCount(model.architecture, model.config));
	return Number(Math.min(1e-3, Math.max(1e-5, rate)).toPrecision(2));
}

/** Every parameter's name, for training all of them. */
export const allParameters = ({ architecture, config }: Model) =>
	new Set(
		architecture
			.parameters(config)
			.filter((spec) => sizeOf(spec) > 0)
			.map(({ name }) => name),
	);

// The forecast of a run as people read it: does it fit here, how long does it take, what would make it fit. Told by
// `attune plan`, and checked at the start of every run.

import type { Model } from "../models/model.ts";
import type { StepStream } from "../train/loop.ts";
import { UserError } from "../util/errors.ts";
import {
	firstSteps,
	forecastTraining,
	sampleSizes,
	secondsOf,
	smallerRuns,
	type TrainingForecast,
	type TrainingShape,
} from "./forecast.ts";
import { availableMemory, machineSpeed } from "./machine.ts";
import type { PlanSummary } from "./options/recipe.ts";

export interface PlanOptions {
	shape: TrainingShape;
	/** Examples of one pass over the data; absent: there are no data yet. */
	examplesPerEpoch?: number;
	/** Updates in all. */
	steps?: number;
	threads?: number;
	alternatives?: readonly { model: string; shape: TrainingShape }[];
	/** Free memory, this process included; measured when it is not given. */
	availableBytes?: number;
	/** Bytes that the caller takes for other things. */
	besides?: number;
}

export async function makePlan(options: PlanOptions): Promise<PlanSummary> {
	const { shape, examplesPerEpoch, steps, threads, alternatives } = options;
	const free = options.availableBytes ?? (await availableMemory()) + process.memoryUsage.rss();
	const availableBytes = free - (options.besides ?? 0);
	const speed = await machineSpeed(threads === undefined ? {} : { threads });
	const told = (forecast: TrainingForecast, of: TrainingShape) => {
		const seconds = secondsOf(forecast.work, speed);
		const epochs = examplesPerEpoch === undefined ? undefined : examplesPerEpoch / of.sampled.examples;
		const waits = forecast.peakBytes > availableBytes && leastPeak(forecast) <= availableBytes;
		const peakBytes = waits ? leastPeak(forecast) : forecast.peakBytes;
		return {
			parameters: forecast.parameters,
			peakBytes,
			...(waits && { waitsForSaves: true as const }),
			...(epochs !== undefined && { secondsPerEpoch: seconds * epochs }),
			fits: peakBytes <= availableBytes,
		};
	};
	const forecast = forecastTraining(shape);
	const own = told(forecast, shape);
	const tokens = shape.microBatches.reduce((total, { batch, time }) => total + batch * time, 0);
	return {
		...own,
		trainableParameters: forecast.trainableParameters,
		availableBytes,
		diskBytes: forecast.diskBytes,
		...(steps !== undefined && { steps }),
		...(examplesPerEpoch === undefined && {
			secondsPerThousandTokens: (1000 * secondsOf(forecast.work, speed)) / tokens,
		}),
		...(!own.fits && { changes: changesThatFit(shape, availableBytes) }),
		...(alternatives && {
			alternatives: alternatives.map((other) => ({
				model: other.model,
				...told(forecastTraining(other.shape), other.shape),
			})),
		}),
	};
}

/** When checkpoints are written while training waits, from the arrays themselves. */
const leastPeak = ({ peakBytes, memory }: TrainingForecast) => peakBytes - memory.snapshot;

/** A run about to begin. */
export interface PlannedRun {
	model: Pick<Model, "architecture" | "config">;
	trainable: ReadonlySet<string>;
	values: Pick<TrainingShape, "optimizer" | "recompute"> & {
		batchSize: number;
		accumulate: number;
		dropout: number;
		saveTotalLimit: number;
		momentum: number;
		threads?: number | undefined;
		batchRamp?: { to: number } | undefined;
	};
	maxRows: number;
	accumulate: boolean;
	/** At its beginning; it is read, so it must be a stream of its own. */
	stream: StepStream;
	validation?: unknown;
	steps: number;
	besides?: number;
}

export function planOfRun(run: PlannedRun): Promise<PlanSummary> {
	const { model, trainable, values, maxRows, accumulate, stream, validation, steps, besides = 0 } = run;
	const batchSize = values.batchRamp?.to ?? values.batchSize * values.accumulate;
	return makePlan({
		shape: {
			architecture: model.architecture,
			config: model.config,
			trainable,
			maxRows,
			accumulate,
			optimizer: values.optimizer,
			momentum: values.momentum,
			recompute: values.recompute,
			dropout: values.dropout,
			saveTotalLimit: values.saveTotalLimit,
			evaluates: validation !== undefined,
			...sampleSizes(firstSteps(stream, batchSize)),
		},
		examplesPerEpoch: stream.examplesPerEpoch,
		steps,
		besides,
		...(values.threads !== undefined && { threads: values.threads }),
	});
}

/** Throws UserError when the plan says that the run does not fit. */
export function assertFits(plan: PlanSummary): void {
	if (plan.fits) return;
	const [first, ...rest] = plan.changes ?? [];
	const others = rest.length > 0 ? `; or ${rest.join("; or ")}` : "";
	throw new UserError("DOES_NOT_FIT", "This run needs more memory than the machine has free.", {
		expected: `at most ${gigabytes(plan.availableBytes)}`,
		found: `a peak of about ${gigabytes(plan.peakBytes)}`,
		hint: `${first}${others}. --force starts it all the same.`,
	});
}

const changesTold = 3;

/** Each alone when one of them is enough, else the first that do together. Never empty. */
function changesThatFit(shape: TrainingShape, availableBytes: number): string[] {
	const found: string[] = [];
	const kinds = new Set<string>();
	let least = Number.POSITIVE_INFINITY;
	for (const { flags, together, shape: smaller } of smallerRuns(shape)) {
		// A smaller budget than one that fits already is no smallest change; two together are none when one is enough.
		const kind = flags.split(" ")[0] as string;
		if (together ? found.length > 0 : kinds.has(kind)) continue;
		const peakBytes = leastPeak(forecastTraining(smaller));
		least = Math.min(least, peakBytes);
		if (peakBytes > availableBytes) continue;
		kinds.add(kind);
		found.push(`${flags} (${gigabytes(peakBytes)})`);
		if (found.length === changesTold) break;
	}
	return found.length > 0 ? found : [`a smaller model, or more memory: the least it takes is ${gigabytes(least)}`];
}

const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(bytes < 1e10 ? 2 : 1)} GiB`;

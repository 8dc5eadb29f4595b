// What model-based samplers learn from: one loss vector for each trial, comparable between trials that stopped at
// different steps. A trial that stopped early is lifted to the furthest step anyone has reached: by the median of what
// the trials that went on gained between the two steps. Not a learning-curve model; it keeps a promising paused trial
// from looking worse than an old one only because it is young.
import type { Params } from "./space.ts";
import { type Direction, isCandidate, type Trial, toLosses } from "./trial.ts";

export interface Observation {
	readonly trial: number;
	readonly params: Params;
	/** Lifted losses, one for each objective. */
	readonly losses: readonly number[];
	/** The step the losses were measured at, before lifting. */
	readonly step: number;
}

export interface Observations {
	readonly measured: readonly Observation[];
	/** Points that gave no value: worse than every measured one. */
	readonly failed: readonly Params[];
	/** Points without a value yet. */
	readonly pending: readonly Params[];
}

export function observe(trials: readonly Trial[], directions: readonly Direction[]): Observations {
	const candidates = trials.filter(isCandidate);
	const curves = candidates.map((trial) => curveOf(trial, directions));
	const lift = liftTable(curves);
	const measured: Observation[] = [];
	const failed: Params[] = [];
	const pending: Params[] = [];
	candidates.forEach((trial, i) => {
		const curve = curves[i] as Curve;
		const last = curve.at(-1);
		if (trial.state === "failed") failed.push(trial.params);
		else if (last === undefined) pending.push(trial.params);
		else {
			const gains = lift(last.step);
			const losses = last.losses.map((loss, d) => loss + (gains[d] ?? 0));
			measured.push({ trial: trial.number, params: trial.params, losses, step: last.step });
		}
	});
	return { measured, failed, pending };
}

type Curve = readonly { readonly step: number; readonly losses: readonly number[] }[];

/** Rung results; and the reports of a trial that was pruned between rungs, whose last word is a report. */
function curveOf(trial: Trial, directions: readonly Direction[]): Curve {
	const rungs = trial.rungs.map(({ step, values }) => ({ step, losses: toLosses(values, directions) }));
	if (directions.length > 1 || (trial.state !== "pruned" && trial.state !== "done")) return rungs;
	const reports = trial.reports
		.filter(({ step }) => !rungs.some((rung) => rung.step === step))
		.map(({ step, value }) => ({ step, losses: toLosses([value], directions) }));
	return [...rungs, ...reports].sort((a, b) => a.step - b.step);
}

/** Step to the expected change of each loss from there to the furthest step. */
function liftTable(curves: readonly Curve[]): (step: number) => readonly number[] {
	const known = new Map<number, readonly number[]>();
	const lift = (step: number): readonly number[] => {
		const before = known.get(step);
		if (before !== undefined) return before;
		const onward = curves.flatMap((curve) => {
			const here = curve.find((point) => point.step === step);
			const last = curve.at(-1);
			return here !== undefined && last !== undefined && last.step > step ? [{ here, last }] : [];
		});
		const furthest = Math.max(...onward.map(({ last }) => last.step));
		const pairs = onward.filter(({ last }) => last.step === furthest);
		let gains: readonly number[] = [];
		if (pairs.length > 0) {
			const rest = lift(furthest);
			gains = (pairs[0] as { here: { losses: readonly number[] } }).here.losses.map((_, d) => {
				const changes = pairs.map(({ here, last }) => (last.losses[d] as number) - (here.losses[d] as number));
				return median(changes) + (rest[d] ?? 0);
			});
		}
		known.set(step, gains);
		return gains;
	};
	return lift;
}

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	return ((sorted[(sorted.length - 1) >> 1] as number) + (sorted[sorted.length >> 1] as number)) / 2;
}

// A density over a mixed, conditional space: a mixture with one product kernel for each observed point, and one kernel,
// the prior, that is flat. Numbers have normal kernels truncated to the unit interval (for whole numbers: their mass in
// the number's cell); choices have smoothed counts. Where a point lacks a parameter (its condition was not met), its
// kernel knows nothing about it and is the prior there; so points of every branch inform what the branches share, and
// the density sums to one over the whole tree of conditions.
import type { Rng } from "../../util/rng.ts";
import { buildPoint, fromUnit, intCell, toUnit } from "../point.ts";
import type { Choice, Parameter, Params, Space } from "../space.ts";
import { LOG_SQRT_2PI, normalCdf, normalMass, normalQuantile } from "./normal.ts";

export interface ParzenOptions {
	/** Weight of the prior beside one observation. */
	readonly priorWeight: number;
	/** Weight of each point; equal unless said. */
	readonly weights?: readonly number[];
	/** Kernels no narrower than 1 / min(100, points + 1) of the range: Bergstra's "magic clip". */
	readonly magicClip: boolean;
}

export interface ParzenEstimator {
	/** Log density: per unit of the searched scale for numbers, log probability for whole numbers and choices. */
	logDensity(point: Params): number;
	sample(rng: Rng): Params;
}

export function parzenEstimator(space: Space, points: readonly Params[], options: ParzenOptions): ParzenEstimator {
	const raw = [...(options.weights ?? points.map(() => 1)), points.length === 0 ? 1 : options.priorWeight];
	const total = raw.reduce((sum, weight) => sum + weight, 0);
	const weights = raw.map((weight) => weight / total);
	const logWeights = weights.map(Math.log);
	const axes = new Map(
		Object.entries(space).map(([name, parameter]) => {
			const values = points.map((point) => (Object.hasOwn(point, name) ? (point[name] as Choice) : undefined));
			return [name, makeAxis(parameter, values, options)];
		}),
	);
	const axisOf = (name: string) => axes.get(name) as Axis;
	return {
		logDensity(point) {
			const logs = Float64Array.from(logWeights);
			for (const [name, value] of Object.entries(point)) axisOf(name).addLogDensity(value, logs);
			let highest = Number.NEGATIVE_INFINITY;
			for (let k = 0; k < logs.length; k++) highest = Math.max(highest, logs[k] as number);
			let sum = 0;
			for (let k = 0; k < logs.length; k++) sum += Math.exp((logs[k] as number) - highest);
			return highest + Math.log(sum);
		},
		sample(rng) {
			const kernel = pick(weights, rng);
			return buildPoint(space, (name) => axisOf(name).sample(kernel, rng));
		},
	};
}

/** One parameter of every kernel. The last kernel is the prior. */
interface Axis {
	/** Adds the log density of `value` under each kernel to `logs`. */
	addLogDensity(value: Choice, logs: Float64Array): void;
	sample(kernel: number, rng: Rng): Choice;
}

function makeAxis(parameter: Parameter, values: readonly (Choice | undefined)[], options: ParzenOptions): Axis {
	return parameter.type === "categorical"
		? choiceAxis(parameter.choices, values, options)
		: numberAxis(parameter, values, options);
}

/** Smoothed counts: each kernel is mostly its own choice, and the more points there are, the less it doubts it. */
function choiceAxis(choices: readonly Choice[], values: readonly (Choice | undefined)[], options: ParzenOptions): Axis {
	const flat = 1 / choices.length;
	const known = values.filter((value) => value !== undefined).length;
	const doubt = Math.max(options.priorWeight, 1e-6) / (known + 1);
	const other = doubt / (1 + doubt * choices.length);
	const own = (1 + doubt) / (1 + doubt * choices.length);
	const chance = (kernel: number, choice: Choice) => {
		const value = values[kernel];
		return value === undefined ? flat : value === choice ? own : other;
	};
	return {
		addLogDensity(choice, logs) {
			for (let k = 0; k < logs.length; k++) logs[k] = (logs[k] as number) + Math.log(chance(k, choice));
		},
		sample: (kernel, rng) =>
			choices[
				pick(
					choices.map((choice) => chance(kernel, choice)),
					rng,
				)
			] as Choice,
	};
}

function numberAxis(
	parameter: Exclude<Parameter, { type: "categorical" }>,
	values: readonly (Choice | undefined)[],
	options: ParzenOptions,
): Axis {
	const size = values.length + 1;
	const centres = Float64Array.from({ length: size }, (_, k) =>
		values[k] === undefined ? 0.5 : toUnit(parameter, values[k] as number),
	);
	const widths = bandwidths(
		centres.subarray(0, -1).filter((_, k) => values[k] !== undefined),
		options,
	);
	// Per kernel: width, mass inside [0, 1], and the constant of the log density. Prior: a normal as wide as the range.
	const sigma = new Float64Array(size).fill(1);
	let next = 0;
	values.forEach((value, k) => {
		if (value !== undefined) sigma[k] = widths[next++] as number;
	});
	const inside = sigma.map((width, k) =>
		normalMass(-(centres[k] as number) / width, (1 - (centres[k] as number)) / width),
	);
	const constant = sigma.map((width, k) => -Math.log(width) - Math.log(inside[k] as number) - LOG_SQRT_2PI);
	return {
		addLogDensity(value, logs) {
			if (parameter.type === "float") {
				const u = toUnit(parameter, value);
				for (let k = 0; k < size; k++) {
					const z = (u - (centres[k] as number)) / (sigma[k] as number);
					logs[k] = (logs[k] as number) + (constant[k] as number) - 0.5 * z * z;
				}
				return;
			}
			const [from, to] = intCell(parameter, value as number);
			for (let k = 0; k < size; k++) {
				const centre = centres[k] as number;
				const width = sigma[k] as number;
				const mass = normalMass((from - centre) / width, (to - centre) / width) / (inside[k] as number);
				logs[k] = (logs[k] as number) + Math.log(mass + 1e-300);
			}
		},
		sample(kernel, rng) {
			const [centre, width] = [centres[kernel] as number, sigma[kernel] as number];
			const low = normalCdf(-centre / width);
			const u = centre + width * normalQuantile(low + rng.uniform() * (inside[kernel] as number));
			return fromUnit(parameter, Math.min(Math.max(u, 0), 1));
		},
	};
}

/**
 * The width of each kernel: the larger distance to its two neighbours (Bergstra et al. 2011), so kernels are wide where
 * points are few. The ends of the range are neighbours only of a lone point.
 */
function bandwidths(centres: Float64Array, { magicClip }: ParzenOptions): Float64Array {
	const n = centres.length;
	const order = Array.from(centres.keys()).sort((a, b) => (centres[a] as number) - (centres[b] as number));
	const narrowest = magicClip ? 1 / Math.min(100, n + 2) : 1e-3;
	const widths = new Float64Array(n);
	order.forEach((k, rank) => {
		const here = centres[k] as number;
		const left = rank > 0 ? here - (centres[order[rank - 1] as number] as number) : n > 1 ? 0 : here;
		const right = rank < n - 1 ? (centres[order[rank + 1] as number] as number) - here : n > 1 ? 0 : 1 - here;
		widths[k] = Math.min(Math.max(left, right, narrowest), 1);
	});
	return widths;
}

function pick(weights: readonly number[], rng: Rng): number {
	let left = rng.uniform() * weights.reduce((sum, weight) => sum + weight, 0);
	for (let i = 0; i < weights.length; i++) {
		left -= weights[i] as number;
		if (left < 0) return i;
	}
	return weights.findLastIndex((weight) => weight > 0);
}

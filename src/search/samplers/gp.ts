// Bayesian optimisation with a Gaussian process and expected improvement: the sampler for few, dear trials. Losses are
// warped to look normal (Yeo and Johnson 2000; as in HEBO), because learning-rate searches have a few terrible values
// that would flatten all the others. Expected improvement is climbed in its logarithm (Ament et al. 2023) from the best
// of many quasi-random points. A parameter that is not active sits at the middle of its range; its parent tells the
// branches apart. Several objectives are scalarised with random weights for each proposal (ParEGO, Knowles 2006).
//
// Failed trials count as the worst value seen; running ones as what the model expects of them (a believer), so that
// parallel workers spread out.
import { UserError } from "../../util/errors.ts";
import type { Rng } from "../../util/rng.ts";
import { median, observe } from "../observations.ts";
import { buildPoint, fromUnit, toUnit, valuesOf } from "../point.ts";
import type { Choice, Parameter, Params, Space } from "../space.ts";
import { condition, fitGaussianProcess, type GaussianProcess, type GpData } from "./gaussian-process.ts";
import { minimize } from "./lbfgs.ts";
import { logImprovement } from "./normal.ts";
import type { Sampler } from "./sampler.ts";
import { sobolSampler, sobolSequence } from "./sobol.ts";

export interface GpOptions {
	/** Trials before the model is used, drawn from the scrambled Sobol sequence; 10 unless said. */
	readonly startupTrials?: number;
	/** Quasi-random points at which expected improvement is looked at first; 1024 unless said. */
	readonly candidates?: number;
	/** Trials the model is fitted to: the best half of so many, and the newest. Its time grows with the cube; 200 unless said. */
	readonly mostTrials?: number;
}

export function gpSampler(options: GpOptions = {}): Sampler {
	const { startupTrials = 10, candidates = 1024, mostTrials = 200 } = options;
	if (!(startupTrials >= 1 && candidates >= 1 && mostTrials >= 2)) {
		throw new UserError("SAMPLER_OPTIONS", "The GP sampler cannot work with these options.", {
			expected: "startupTrials >= 1, candidates >= 1, mostTrials >= 2",
			found: JSON.stringify(options),
		});
	}
	const startup = sobolSampler();
	return {
		name: "gp",
		options: { startupTrials, candidates, mostTrials },
		suggest(context) {
			const { space, trials, directions, rng } = context;
			const { measured, failed, pending } = observe(trials, directions);
			if (measured.length + failed.length < startupTrials || measured.length === 0) return startup.suggest(context);
			const scalars = scalarise(
				measured.map((one) => one.losses),
				rng,
			);
			const worst = Math.max(...scalars);
			const points = [...measured.map((one, i) => ({ params: one.params, loss: scalars[i] as number }))];
			const kept = keep([...points, ...failed.map((params) => ({ params, loss: worst }))], mostTrials);
			const cube = encoder(space);
			const data: GpData = {
				x: kept.map(({ params }) => cube.encode(params)),
				y: warp(kept.map(({ loss }) => loss)),
				isChoice: cube.isChoice,
			};
			const fitted = fitGaussianProcess(data, { rng });
			const running = pending.map(cube.encode);
			const model = believe(data, { model: fitted, at: running });
			const params = climb({ model, data, running, cube, candidates, rng });
			return { params, origin: "model" };
		},
	};
}

/** One loss for each trial: itself, or the augmented Chebyshev norm under random weights when there are several. */
function scalarise(losses: readonly (readonly number[])[], rng: Rng): number[] {
	const objectives = (losses[0] as readonly number[]).length;
	if (objectives === 1) return losses.map(([loss]) => loss as number);
	const raw = Array.from({ length: objectives }, () => -Math.log(1 - rng.uniform()));
	const total = raw.reduce((sum, weight) => sum + weight, 0);
	const scaled = raw.map((weight, d) => {
		const column = losses.map((row) => row[d] as number);
		const low = Math.min(...column);
		const width = Math.max(...column) - low || 1;
		return column.map((loss) => (weight / total) * ((loss - low) / width));
	});
	return losses.map((_, i) => {
		const parts = scaled.map((column) => column[i] as number);
		return Math.max(...parts) + 0.05 * parts.reduce((sum, part) => sum + part, 0);
	});
}

function keep<T extends { readonly loss: number }>(points: readonly T[], most: number): T[] {
	if (points.length <= most) return [...points];
	const order = points.map((_, i) => i).sort((a, b) => (points[a] as T).loss - (points[b] as T).loss);
	const chosen = new Set(order.slice(0, most >> 1));
	for (let i = points.length - 1; chosen.size < most; i--) chosen.add(i);
	return points.filter((_, i) => chosen.has(i));
}

/** Standardised losses after the Yeo-Johnson power that makes them most normal. Keeps their order. */
export function warp(losses: readonly number[]): Float64Array {
	const base = standardise(tame(losses));
	let best = { y: base, fit: Number.NEGATIVE_INFINITY };
	for (let lambda = -2; lambda <= 2; lambda += 0.1) {
		const moved = base.map((v) => yeoJohnson(v, lambda));
		const mean = moved.reduce((sum, v) => sum + v, 0) / moved.length;
		const variance = moved.reduce((sum, v) => sum + (v - mean) ** 2, 0) / moved.length;
		const jacobian = base.reduce((sum, v) => sum + Math.sign(v) * Math.log1p(Math.abs(v)), 0) * (lambda - 1);
		const fit = -0.5 * moved.length * Math.log(variance) + jacobian;
		if (fit > best.fit) best = { y: moved, fit };
	}
	return standardise(best.y);
}

/** Losses far on the bad side by their logarithm, the others as they are: no power makes a diverged run look normal. */
function tame(losses: readonly number[]): number[] {
	const centre = median(losses);
	const spread = median(losses.map((loss) => Math.abs(loss - centre))) * 1.5;
	if (!(spread > 0)) return [...losses];
	return losses.map((loss) => {
		const z = (loss - centre) / spread;
		return z > 2 ? 2 + Math.log(z - 1) : z;
	});
}

function yeoJohnson(v: number, lambda: number): number {
	if (v >= 0) return Math.abs(lambda) < 1e-9 ? Math.log1p(v) : ((1 + v) ** lambda - 1) / lambda;
	const other = 2 - lambda;
	return Math.abs(other) < 1e-9 ? -Math.log1p(-v) : -((1 - v) ** other - 1) / other;
}

function standardise(values: ArrayLike<number>): Float64Array {
	const list = Float64Array.from(values);
	const mean = list.reduce((sum, v) => sum + v, 0) / list.length;
	const spread = Math.sqrt(list.reduce((sum, v) => sum + (v - mean) ** 2, 0) / list.length);
	return list.map((v) => (spread > 0 ? (v - mean) / spread : 0));
}

/** The model conditioned on its own expectation at the running points. */
function believe(
	data: GpData,
	{ model, at }: { model: GaussianProcess; at: readonly Float64Array[] },
): GaussianProcess {
	if (at.length === 0) return model;
	const y = Float64Array.from([...data.y, ...at.map((x) => model.predict(x).mean)]);
	return condition({ ...data, x: [...data.x, ...at], y }, model.parameters);
}

interface Cube {
	readonly isChoice: readonly boolean[];
	encode(params: Params): Float64Array;
	/** The point nearest to a vector: whole numbers rounded, what is not active left out. */
	decode(x: Float64Array): Params;
	readonly parameters: readonly Parameter[];
	/** Whether coordinate `d` is an active number at this point. */
	isFree(d: number, params: Params): boolean;
}

/** Numbers by their unit coordinate, choices by their index; what is not active at the middle, or -1. */
function encoder(space: Space): Cube {
	const names = Object.keys(space);
	const parameters = Object.values(space);
	return {
		parameters,
		isChoice: parameters.map(({ type }) => type === "categorical"),
		encode: (params) =>
			Float64Array.from(parameters, (parameter, d) => {
				const value = params[names[d] as string];
				if (parameter.type === "categorical") return value === undefined ? -1 : parameter.choices.indexOf(value);
				return value === undefined ? 0.5 : toUnit(parameter, value);
			}),
		decode: (x) =>
			buildPoint(space, (name, parameter) => {
				const at = x[names.indexOf(name)] as number;
				if (parameter.type === "categorical") return parameter.choices[Math.max(at, 0)] as Choice;
				return fromUnit(parameter, Math.min(Math.max(at, 0), 1));
			}),
		isFree: (d, params) => parameters[d]?.type !== "categorical" && Object.hasOwn(params, names[d] as string),
	};
}

interface Climb {
	readonly model: GaussianProcess;
	readonly data: GpData;
	readonly running: readonly Float64Array[];
	readonly cube: Cube;
	readonly candidates: number;
	readonly rng: Rng;
}

/** The point of the largest expected improvement that could be found. */
function climb({ model, data, running, cube, candidates, rng }: Climb): Params {
	// What the running trials are believed to reach is the goal too: otherwise their place looks best again.
	const known = [...data.x, ...running];
	const goal = Math.min(...known.map((x) => model.predict(x).mean));
	const value = (x: Float64Array) => {
		const { mean, variance } = model.predict(x);
		const sigma = Math.sqrt(variance);
		return Math.log(sigma) + logImprovement((goal - mean) / sigma).value;
	};
	const snap = (x: Float64Array) => cube.encode(cube.decode(x));
	const sequence = sobolSequence(cube.parameters.length, { scrambleSeed: rng.uint32() });
	const spread = Array.from({ length: candidates }, (_, i) => {
		const u = sequence(i);
		return snap(u.map((v, d) => (cube.isChoice[d] ? choiceIndex(cube.parameters[d] as Parameter, v) : v)));
	});
	const order = Array.from(data.y.keys()).sort((a, b) => (data.y[a] as number) - (data.y[b] as number));
	const leaders = order.slice(0, 3).map((i) => data.x[i] as Float64Array);
	// Beside the leaders: where the last digits of the optimum are found.
	const near = leaders.flatMap((x) =>
		Array.from({ length: 64 }, () => {
			const width = 10 ** (-3 * rng.uniform());
			return snap(x.map((v, d) => (cube.isChoice[d] ? v : v + width * 0.3 * rng.normal())));
		}),
	);
	const ranked = [...spread, ...near].map((x) => ({ x, score: value(x) })).sort((a, b) => b.score - a.score);
	const tried = new Set(known.map(String));
	let best = ranked.find(({ x }) => !tried.has(String(x))) ?? (ranked[0] as { x: Float64Array; score: number });
	for (const start of [...ranked.slice(0, 6), ...leaders.map((x) => ({ x, score: value(x) }))]) {
		let here = start;
		for (let round = 0; round < 3; round++) {
			const slid = snap(slide(here.x, { model, cube, goal }));
			let next = { x: slid, score: value(slid) };
			if (!(next.score > here.score)) next = here;
			next = stepChoices(next, { cube, value, snap });
			if (!(next.score > here.score + 1e-9)) break;
			here = next;
		}
		if (here.score > best.score && !tried.has(String(here.x))) best = here;
	}
	return cube.decode(best.x);
}

/** Climbs along the active numbers by gradient, choices fixed. x = sin(z)^2 keeps it inside the cube. */
function slide(start: Float64Array, { model, cube, goal }: { model: GaussianProcess; cube: Cube; goal: number }) {
	const params = cube.decode(start);
	const free = Array.from(start.keys()).filter((d) => cube.isFree(d, params));
	if (free.length === 0) return start;
	const place = (z: Float64Array) => {
		const x = Float64Array.from(start);
		free.forEach((d, i) => {
			x[d] = Math.sin(z[i] as number) ** 2;
		});
		return x;
	};
	const f = (z: Float64Array) => {
		const { mean, variance, meanGradient, varianceGradient } = model.predictWithGradient(place(z));
		const sigma = Math.sqrt(variance);
		const u = (goal - mean) / sigma;
		const { value, slope } = logImprovement(u);
		const gradient = Float64Array.from(free, (d, i) => {
			const sigmaGradient = (varianceGradient[d] as number) / (2 * sigma);
			const uGradient = (-(meanGradient[d] as number) - u * sigmaGradient) / sigma;
			return -(sigmaGradient / sigma + slope * uGradient) * Math.sin(2 * (z[i] as number));
		});
		return { value: -(Math.log(sigma) + value), gradient };
	};
	const edge = 1e-3;
	const z0 = Float64Array.from(free, (d) =>
		Math.asin(Math.sqrt(Math.min(Math.max(start[d] as number, edge), 1 - edge))),
	);
	return place(minimize(f, z0, { iterations: 40, tolerance: 1e-4, longestMove: 0.3 }).x);
}

interface Stepping {
	readonly cube: Cube;
	readonly value: (x: Float64Array) => number;
	readonly snap: (x: Float64Array) => Float64Array;
}

/** Tries every other choice, and the neighbours of every whole number, one coordinate at a time. */
function stepChoices(start: { x: Float64Array; score: number }, { cube, value, snap }: Stepping) {
	let best = start;
	cube.parameters.forEach((parameter, d) => {
		const all = valuesOf(parameter);
		if (all === undefined || (best.x[d] as number) < 0) return;
		let options: number[];
		if (parameter.type === "categorical") options = all.map((_, i) => i);
		else {
			const at = all.indexOf(fromUnit(parameter, best.x[d] as number));
			options = [at - 2, at - 1, at + 1, at + 2].flatMap((i) =>
				all[i] === undefined ? [] : toUnit(parameter, all[i]),
			);
		}
		for (const option of options) {
			const x = Float64Array.from(best.x);
			x[d] = option;
			const snapped = snap(x);
			const score = value(snapped);
			if (score > best.score) best = { x: snapped, score };
		}
	});
	return best;
}

function choiceIndex(parameter: Parameter, u: number): number {
	const count = parameter.type === "categorical" ? parameter.choices.length : 1;
	return Math.min(Math.floor(u * count), count - 1);
}

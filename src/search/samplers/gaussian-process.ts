// Gaussian-process regression with a Matern-5/2 kernel and one length scale for each coordinate (Rasmussen and Williams
// 2006, chapters 2 and 5). Coordinates are numbers in [0, 1], or choices (same or different). The hyper-parameters maximise the marginal
// likelihood times priors: length scales log-normal and growing with the square root of the dimension (the form of
// Hvarfner et al. 2024, centred on shorter scales), so that many coordinates with few points do not look like noise.
// Targets are to be standardised. N points, D coordinates.
import type { Rng } from "../../util/rng.ts";
import { minimize } from "./lbfgs.ts";

export interface GpData {
	/** N rows of D coordinates. */
	readonly x: readonly Float64Array[];
	readonly y: Float64Array;
	/** D: whether a coordinate is a choice, which is only same or different. */
	readonly isChoice: readonly boolean[];
}

/** Logarithms: D length scales, then signal variance, then noise variance. */
export type LogParameters = Float64Array;

export interface GaussianProcess {
	readonly parameters: LogParameters;
	/** Mean and variance of the function (without noise) at `x`; with gradients by `x` for number coordinates. */
	predict(x: Float64Array): { mean: number; variance: number };
	predictWithGradient(x: Float64Array): {
		mean: number;
		variance: number;
		meanGradient: Float64Array;
		varianceGradient: Float64Array;
	};
}

const NOISE_FLOOR = 1e-6;
const SQRT5 = Math.sqrt(5);

/** Fits the hyper-parameters from several starts and conditions on the data. */
export function fitGaussianProcess(data: GpData, { rng, starts = 3 }: { rng: Rng; starts?: number }): GaussianProcess {
	const dimensions = data.isChoice.length;
	const scale = priorLogScale(dimensions);
	let best: { x: Float64Array; value: number } | undefined;
	for (let start = 0; start < starts; start++) {
		const jitter = () => (start === 0 ? 0 : rng.normal());
		const from = new Float64Array(dimensions + 2);
		for (let d = 0; d < dimensions; d++) from[d] = scale - 0.5 + jitter();
		from[dimensions] = 0.5 * jitter();
		from[dimensions + 1] = PRIOR_LOG_NOISE + jitter();
		const found = minimize((theta) => negativeLogPosterior(data, theta), from, { tolerance: 1e-3 });
		if (Number.isFinite(found.value) && (best === undefined || found.value < best.value)) best = found;
	}
	return condition(data, best?.x ?? defaultParameters(dimensions));
}

/** The process with given hyper-parameters, conditioned on the data. */
export function condition(data: GpData, parameters: LogParameters): GaussianProcess {
	const { x: points, isChoice } = data;
	const n = points.length;
	const dimensions = isChoice.length;
	const inverse = inverseSquares(parameters, dimensions);
	const signal = Math.exp(parameters[dimensions] as number);
	const factor = cholesky(covariance(data, parameters), n);
	if (factor === undefined) throw new Error("gaussian process: the covariance is not positive definite");
	const alpha = solve(factor, n, data.y);
	const distance = (a: Float64Array, b: Float64Array) => {
		let sum = 0;
		for (let d = 0; d < dimensions; d++) {
			const difference = isChoice[d] ? (a[d] === b[d] ? 0 : 1) : (a[d] as number) - (b[d] as number);
			sum += difference * difference * (inverse[d] as number);
		}
		return sum;
	};
	return {
		parameters,
		predict(x) {
			const k = Float64Array.from(points, (point) => signal * matern(distance(x, point)));
			const v = solveLower(factor, n, k);
			let mean = 0;
			let explained = 0;
			for (let i = 0; i < n; i++) {
				mean += (k[i] as number) * (alpha[i] as number);
				explained += (v[i] as number) ** 2;
			}
			return { mean, variance: Math.max(signal - explained, 1e-12 * signal) };
		},
		predictWithGradient(x) {
			const squared = Float64Array.from(points, (point) => distance(x, point));
			const k = squared.map((r2) => signal * matern(r2));
			const w = solve(factor, n, k);
			const meanGradient = new Float64Array(dimensions);
			const varianceGradient = new Float64Array(dimensions);
			let mean = 0;
			let explained = 0;
			for (let i = 0; i < n; i++) {
				mean += (k[i] as number) * (alpha[i] as number);
				explained += (k[i] as number) * (w[i] as number);
				const slope = signal * maternSlope(squared[i] as number);
				for (let d = 0; d < dimensions; d++) {
					if (isChoice[d]) continue;
					const point = points[i] as Float64Array;
					const change = slope * 2 * ((x[d] as number) - (point[d] as number)) * (inverse[d] as number);
					meanGradient[d] = (meanGradient[d] as number) + change * (alpha[i] as number);
					varianceGradient[d] = (varianceGradient[d] as number) - 2 * change * (w[i] as number);
				}
			}
			return { mean, variance: Math.max(signal - explained, 1e-12 * signal), meanGradient, varianceGradient };
		},
	};
}

/** log p(y | X, theta) and its gradient by theta; undefined where the covariance is not positive definite. */
export function logMarginalLikelihood(
	data: GpData,
	theta: LogParameters,
): { value: number; gradient: Float64Array } | undefined {
	const { x: points, y, isChoice } = data;
	const n = points.length;
	const dimensions = isChoice.length;
	const inverse = inverseSquares(theta, dimensions);
	const signal = Math.exp(theta[dimensions] as number);
	const noise = Math.exp(theta[dimensions + 1] as number);
	const factor = cholesky(covariance(data, theta), n);
	if (factor === undefined) return undefined;
	const alpha = solve(factor, n, y);
	let value = -0.5 * n * Math.log(2 * Math.PI);
	for (let i = 0; i < n; i++) {
		value -= 0.5 * (y[i] as number) * (alpha[i] as number) + Math.log(factor[i * n + i] as number);
	}
	// d/dtheta = 1/2 tr((alpha alpha^T - K^-1) dK/dtheta), summed over pairs i >= j.
	const precision = inverseOf(factor, n);
	const gradient = new Float64Array(dimensions + 2);
	const parts = new Float64Array(dimensions);
	for (let i = 0; i < n; i++) {
		const a = points[i] as Float64Array;
		for (let j = 0; j <= i; j++) {
			const b = points[j] as Float64Array;
			const weight =
				((alpha[i] as number) * (alpha[j] as number) - (precision[i * n + j] as number)) * (i === j ? 0.5 : 1);
			let r2 = 0;
			for (let d = 0; d < dimensions; d++) {
				const difference = isChoice[d] ? (a[d] === b[d] ? 0 : 1) : (a[d] as number) - (b[d] as number);
				const part = difference * difference * (inverse[d] as number);
				parts[d] = part;
				r2 += part;
			}
			const slope = -2 * weight * signal * maternSlope(r2);
			for (let d = 0; d < dimensions; d++) gradient[d] = (gradient[d] as number) + slope * (parts[d] as number);
			gradient[dimensions] = (gradient[dimensions] as number) + weight * signal * matern(r2);
			if (i === j) gradient[dimensions + 1] = (gradient[dimensions + 1] as number) + weight * noise;
		}
	}
	return { value, gradient };
}

const PRIOR_LOG_NOISE = Math.log(1e-4);

function priorLogScale(dimensions: number): number {
	return 0.5 * Math.log(dimensions) - 0.5;
}

function defaultParameters(dimensions: number): LogParameters {
	const theta = new Float64Array(dimensions + 2).fill(priorLogScale(dimensions));
	theta[dimensions] = 0;
	theta[dimensions + 1] = Math.log(0.1);
	return theta;
}

/** Normal priors on the logarithms: length scales wide, signal variance about 1, noise small but free to grow. */
function negativeLogPosterior(data: GpData, theta: LogParameters): { value: number; gradient: Float64Array } {
	const dimensions = data.isChoice.length;
	const likelihood = logMarginalLikelihood(data, theta);
	if (likelihood === undefined) return { value: Number.POSITIVE_INFINITY, gradient: new Float64Array(theta.length) };
	let value = -likelihood.value;
	const gradient = likelihood.gradient.map((g) => -g);
	theta.forEach((t, i) => {
		const [centre, spread] =
			i < dimensions ? [priorLogScale(dimensions), Math.sqrt(3)] : i === dimensions ? [0, 1] : [PRIOR_LOG_NOISE, 3];
		const z = (t - centre) / spread;
		value += 0.5 * z * z;
		gradient[i] = (gradient[i] as number) + z / spread;
	});
	return { value, gradient };
}

function inverseSquares(theta: LogParameters, dimensions: number): Float64Array {
	return theta.subarray(0, dimensions).map((log) => Math.exp(-2 * log));
}

/** The kernel at squared scaled distance r2, signal variance 1. */
function matern(r2: number): number {
	const r = SQRT5 * Math.sqrt(r2);
	return (1 + r + (r * r) / 3) * Math.exp(-r);
}

/** Its derivative by r2. */
function maternSlope(r2: number): number {
	const r = SQRT5 * Math.sqrt(r2);
	return (-5 / 6) * (1 + r) * Math.exp(-r);
}

/** Lower triangle of K + noise, row-major N x N. */
function covariance({ x: points, isChoice }: GpData, theta: LogParameters): Float64Array {
	const n = points.length;
	const dimensions = isChoice.length;
	const inverse = inverseSquares(theta, dimensions);
	const signal = Math.exp(theta[dimensions] as number);
	const noise = Math.exp(theta[dimensions + 1] as number) + NOISE_FLOOR;
	const k = new Float64Array(n * n);
	for (let i = 0; i < n; i++) {
		const a = points[i] as Float64Array;
		for (let j = 0; j <= i; j++) {
			const b = points[j] as Float64Array;
			let r2 = 0;
			for (let d = 0; d < dimensions; d++) {
				const difference = isChoice[d] ? (a[d] === b[d] ? 0 : 1) : (a[d] as number) - (b[d] as number);
				r2 += difference * difference * (inverse[d] as number);
			}
			k[i * n + j] = signal * matern(r2) + (i === j ? noise : 0);
		}
	}
	return k;
}

/** Replaces the lower triangle of a symmetric matrix by its Cholesky factor. Undefined: not positive definite. */
function cholesky(matrix: Float64Array, n: number): Float64Array | undefined {
	for (let i = 0; i < n; i++) {
		for (let j = 0; j <= i; j++) {
			let sum = matrix[i * n + j] as number;
			for (let k = 0; k < j; k++) sum -= (matrix[i * n + k] as number) * (matrix[j * n + k] as number);
			if (i > j) matrix[i * n + j] = sum / (matrix[j * n + j] as number);
			else if (sum > 0) matrix[i * n + i] = Math.sqrt(sum);
			else return undefined;
		}
	}
	return matrix;
}

function solveLower(factor: Float64Array, n: number, b: Float64Array): Float64Array {
	const out = Float64Array.from(b);
	for (let i = 0; i < n; i++) {
		let sum = out[i] as number;
		for (let k = 0; k < i; k++) sum -= (factor[i * n + k] as number) * (out[k] as number);
		out[i] = sum / (factor[i * n + i] as number);
	}
	return out;
}

/** Solves K x = b from the factor of K. */
function solve(factor: Float64Array, n: number, b: Float64Array): Float64Array {
	const out = solveLower(factor, n, b);
	for (let i = n - 1; i >= 0; i--) {
		const x = (out[i] as number) / (factor[i * n + i] as number);
		out[i] = x;
		for (let k = 0; k < i; k++) out[k] = (out[k] as number) - (factor[i * n + k] as number) * x;
	}
	return out;
}

/** The lower triangle of K^-1 from the factor of K. */
function inverseOf(factor: Float64Array, n: number): Float64Array {
	// Rows of `lower` are columns of L^-1, so that the sums below run along memory.
	const lower = new Float64Array(n * n);
	for (let j = 0; j < n; j++) {
		const row = j * n;
		lower[row + j] = 1 / (factor[row + j] as number);
		for (let i = j + 1; i < n; i++) {
			let sum = 0;
			for (let k = j; k < i; k++) sum -= (factor[i * n + k] as number) * (lower[row + k] as number);
			lower[row + i] = sum / (factor[i * n + i] as number);
		}
	}
	const out = new Float64Array(n * n);
	for (let i = 0; i < n; i++) {
		for (let j = 0; j <= i; j++) {
			let sum = 0;
			for (let k = i; k < n; k++) sum += (lower[i * n + k] as number) * (lower[j * n + k] as number);
			out[i * n + j] = sum;
		}
	}
	return out;
}

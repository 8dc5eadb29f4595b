// Quasi-random points: the Sobol sequence, which fills the cube evenly at every length, scrambled after Matousek (1998)
// by a random lower-triangular matrix and a digital shift in each dimension. Scrambling keeps the evenness (of the first
// 2^k points, each of 2^k equal slices of every axis holds exactly one) and makes each point uniform on its own.
import { Rng } from "../../util/rng.ts";
import { buildPoint, fromUnit } from "../point.ts";
import type { Sampler } from "./sampler.ts";
import { DIRECTION_NUMBERS } from "./sobol-directions.ts";

const BITS = 32;

/** Dimensions with published direction numbers here. Coordinates beyond them are drawn at random. */
export const SOBOL_DIMENSIONS = DIRECTION_NUMBERS.length + 1;

/** Point `index` of the sequence, in [0, 1)^dimensions. */
export type SobolSequence = (index: number) => Float64Array;

/** Without `scrambleSeed`: the plain sequence, whose first point is the origin. */
export function sobolSequence(
	dimensions: number,
	{ scrambleSeed }: { scrambleSeed?: number | string | readonly (number | string)[] } = {},
): SobolSequence {
	const known = Math.min(dimensions, SOBOL_DIMENSIONS);
	const rng = scrambleSeed === undefined ? undefined : new Rng(scrambleSeed);
	const axes = Array.from({ length: known }, (_, dimension) => {
		const plain = directions(dimension);
		return rng === undefined ? { vectors: plain, shift: 0 } : { vectors: scramble(plain, rng), shift: rng.uint32() };
	});
	const restSeed = rng?.uint32() ?? 0;
	return (index) => {
		const point = new Float64Array(dimensions);
		const gray = (index ^ (index >>> 1)) >>> 0;
		axes.forEach(({ vectors, shift }, dimension) => {
			let x = shift;
			for (let bit = 0, left = gray; left !== 0; bit++, left >>>= 1) if (left & 1) x ^= vectors[bit] as number;
			point[dimension] = (x >>> 0) / 2 ** BITS;
		});
		if (dimensions > known) {
			const rest = new Rng([restSeed, index]);
			for (let dimension = known; dimension < dimensions; dimension++) point[dimension] = rest.uniform();
		}
		return point;
	};
}

/** The scrambled Sobol sequence over the space, one coordinate for each parameter, active or not. */
export function sobolSampler(): Sampler {
	return {
		name: "sobol",
		options: {},
		suggest({ space, seed, index }) {
			const names = Object.keys(space);
			const point = sobolSequence(names.length, { scrambleSeed: [seed, "sobol"] })(index);
			return {
				params: buildPoint(space, (name, parameter) => fromUnit(parameter, point[names.indexOf(name)] as number)),
				origin: "random",
			};
		},
	};
}

/** The direction numbers of one dimension as 32-bit vectors, by the recurrence of Bratley and Fox (1988). */
function directions(dimension: number): Uint32Array {
	const v = new Uint32Array(BITS);
	const numbers = DIRECTION_NUMBERS[dimension - 1];
	if (numbers === undefined) return v.map((_, i) => 2 ** (BITS - 1 - i));
	const { a, m } = numbers;
	const s = m.length;
	for (let i = 0; i < BITS; i++) {
		if (i < s) {
			v[i] = (m[i] as number) * 2 ** (BITS - 1 - i);
			continue;
		}
		const old = v[i - s] as number;
		let next = old ^ (old >>> s);
		for (let k = 1; k < s; k++) if ((a >>> (s - 1 - k)) & 1) next ^= v[i - k] as number;
		v[i] = next;
	}
	return v;
}

/** Multiplies each vector by one random lower-triangular bit matrix with ones on the diagonal. */
function scramble(vectors: Uint32Array, rng: Rng): Uint32Array {
	// rows[r]: the row for output digit r (from the top), as a mask over the input digits 0..r.
	const rows = Uint32Array.from({ length: BITS }, (_, r) => {
		const diagonal = 2 ** (BITS - 1 - r);
		const above = r === 0 ? 0 : (0xffffffff << (BITS - r)) >>> 0;
		return ((rng.uint32() & above) | diagonal) >>> 0;
	});
	return vectors.map((vector) => {
		let out = 0;
		for (let r = 0; r < BITS; r++) out = (out << 1) | parity(vector & (rows[r] as number));
		return out;
	});
}

function parity(bits: number): number {
	let x = bits;
	x ^= x >>> 16;
	x ^= x >>> 8;
	x ^= x >>> 4;
	x ^= x >>> 2;
	x ^= x >>> 1;
	return x & 1;
}

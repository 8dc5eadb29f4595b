// The normal distribution, as the samplers need it: quick where they ask a million times, exact in the tails where
// they divide one small number by another.

const SQRT_2PI = Math.sqrt(2 * Math.PI);
export const LOG_SQRT_2PI = Math.log(SQRT_2PI);

export function normalDensity(z: number): number {
	return Math.exp(-0.5 * z * z) / SQRT_2PI;
}

// The distribution function below 0, tabulated; between two entries, the cubic with the right values and slopes.
const CELLS_PER_UNIT = 512;
const LOWEST = -9;
const TABLE = Float64Array.from({ length: -LOWEST * CELLS_PER_UNIT + 2 }, (_, i) => {
	const z = LOWEST + i / CELLS_PER_UNIT;
	return z > 0 ? 1 - tail(z) : tail(-z);
});

const SLOPES = TABLE.map((_, i) => normalDensity(LOWEST + i / CELLS_PER_UNIT) / CELLS_PER_UNIT);

/** P(Z <= z), with an absolute error below 1e-14. */
export function normalCdf(z: number): number {
	return z > 0 ? 1 - lowerTail(-z) : lowerTail(z);
}

function lowerTail(z: number): number {
	if (!(z > LOWEST)) return 0;
	const at = (z - LOWEST) * CELLS_PER_UNIT;
	const i = Math.floor(at);
	const t = at - i;
	const u = 1 - t;
	const near = (TABLE[i] as number) * (1 + 2 * t) + (SLOPES[i] as number) * t;
	const next = (TABLE[i + 1] as number) * (3 - 2 * t) - (SLOPES[i + 1] as number) * u;
	return near * u * u + next * t * t;
}

/** P(a <= Z <= b) for a <= b. Taken in the lower tail, where differences do not cancel. */
export function normalMass(a: number, b: number): number {
	return a > 0 ? lowerTail(-a) - lowerTail(-b) : normalCdf(b) - normalCdf(a);
}

/** P(Z > z) for z >= 0: a series near 0, Mills' ratio as a continued fraction further out. */
function tail(z: number): number {
	if (z > 3) return normalDensity(z) * millsRatio(z);
	let term = z;
	let sum = z;
	for (let k = 3; Math.abs(term) > 1e-18 * Math.abs(sum) && k < 300; k += 2) {
		term *= (z * z) / k;
		sum += term;
	}
	return 0.5 - normalDensity(z) * sum;
}

/** P(Z > z) / density(z) for z > 2, by Lentz's method on 1/(z + 1/(z + 2/(z + 3/(z + ...)))). */
function millsRatio(z: number): number {
	let f = z;
	let c = z;
	let d = 0;
	for (let k = 1; k < 500; k++) {
		d = 1 / (z + k * d);
		c = z + k / c;
		const change = c * d;
		f *= change;
		if (Math.abs(change - 1) < 1e-16) break;
	}
	return 1 / f;
}

/**
 * log(density(z) + z * P(Z <= z)): the logarithm of expected improvement at unit deviation, and its derivative in z.
 * Far below 0 both terms vanish and nearly cancel, so there it is taken from Mills' ratio (Ament et al. 2023).
 */
export function logImprovement(z: number): { value: number; slope: number } {
	if (z > -3) {
		const cdf = normalCdf(z);
		const h = normalDensity(z) + z * cdf;
		return { value: Math.log(h), slope: cdf / h };
	}
	const mills = millsRatio(-z);
	// 1 + z * mills tends to 1 / z^2; the difference loses digits when z is huge, where the limit is exact enough.
	const rest = z < -1e4 ? 1 / (z * z) : 1 + z * mills;
	return { value: -0.5 * z * z - LOG_SQRT_2PI + Math.log(rest), slope: mills / rest };
}

/** z with P(Z <= z) = p, by bisection to full precision; for sampling, where a few dozen steps cost nothing. */
export function normalQuantile(p: number): number {
	let low = LOWEST;
	let high = -LOWEST;
	for (let i = 0; i < 60; i++) {
		const middle = (low + high) / 2;
		if (normalCdf(middle) < p) low = middle;
		else high = middle;
	}
	return (low + high) / 2;
}

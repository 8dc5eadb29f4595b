// Gradients of known signal and noise: the estimate must find their ratio.

import { expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { NoiseScale } from "./noise-scale.ts";

/** Mean of `tokens` gradients with mean `signal` and unit variance in each of its dimensions. */
function meanGradient(
	rng: Rng,
	{ tokens, signal, dimensions }: { tokens: number; signal: number; dimensions: number },
) {
	return Float64Array.from({ length: dimensions }, () => signal + rng.normal() / Math.sqrt(tokens));
}

const norm = (values: Float64Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));

test("signal and noise that are known", () => {
	const rng = new Rng([1]);
	const [dimensions, signal] = [2000, 0.2];
	const scale = new NoiseScale();
	expect(scale.tokens).toBeUndefined();
	const found: number[] = [];
	for (let step = 0; step < 200; step++) {
		const [small, rest] = [30, 70];
		const part = meanGradient(rng, { tokens: small, signal, dimensions });
		const other = meanGradient(rng, { tokens: rest, signal, dimensions });
		const whole = part.map((x, i) => (small * x + rest * (other[i] as number)) / (small + rest));
		scale.observe({ part: { tokens: small, norm: norm(part) }, whole: { tokens: small + rest, norm: norm(whole) } });
		if (step > 50) found.push(scale.tokens as number);
	}
	// Trace of the covariance over the squared mean: 2000 / (2000 * 0.04).
	const mean = found.reduce((a, b) => a + b) / found.length;
	expect(mean).toBeGreaterThan(25 * 0.95);
	expect(mean).toBeLessThan(25 * 1.05);
});

test("no noise, no signal, and numbers that are not finite say nothing", () => {
	const scale = new NoiseScale();
	scale.observe({ part: { tokens: 10, norm: Number.NaN }, whole: { tokens: 20, norm: 1 } });
	expect(scale.tokens).toBeUndefined();
	scale.observe({ part: { tokens: 10, norm: 1 }, whole: { tokens: 20, norm: 1 } });
	expect(scale.tokens).toBeUndefined();
	const noiseOnly = new NoiseScale();
	noiseOnly.observe({ part: { tokens: 10, norm: Math.sqrt(2) }, whole: { tokens: 20, norm: 1 } });
	expect(noiseOnly.tokens).toBeUndefined();
});

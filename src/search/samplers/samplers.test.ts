import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../../util/rng.ts";
import { buildPoint, fromUnit, isActive, valuesOf } from "../point.ts";
import { categorical, float, int, type Params, type Space } from "../space.ts";
import reference from "../testing/fixtures/reference.json" with { type: "json" };
import { doneTrial, MIXED, samplerSuite, search, suggest } from "../testing/sampler-suite.ts";
import { condition, fitGaussianProcess, type GpData, logMarginalLikelihood } from "./gaussian-process.ts";
import { gpSampler, warp } from "./gp.ts";
import { gridPoints, gridSampler } from "./grid.ts";
import { minimize } from "./lbfgs.ts";
import { logImprovement, normalCdf, normalMass, normalQuantile } from "./normal.ts";
import { parzenEstimator } from "./parzen.ts";
import { randomSampler } from "./random.ts";
import { SOBOL_DIMENSIONS, sobolSampler, sobolSequence } from "./sobol.ts";
import { tpeSampler } from "./tpe.ts";

samplerSuite("random", randomSampler);
samplerSuite("grid", gridSampler);
samplerSuite("sobol", sobolSampler);
samplerSuite("tpe", tpeSampler);
samplerSuite("gp", () => gpSampler({ startupTrials: 6, candidates: 128 }), { trials: 12 });

describe("grid", () => {
	test("every combination once, inactive children do not multiply, then nothing", () => {
		const space = { method: categorical(["a", "b"]), depth: int({ low: 1, high: 3, when: { method: "b" } }) };
		const seen = Array.from({ length: 5 }, (_, index) => suggest(gridSampler(), { space, index })?.params);
		expect(seen.pop()).toBeUndefined();
		const key = (params: Params | undefined) => JSON.stringify(params);
		expect(seen.map(key).sort()).toEqual(
			[{ method: "a" }, { method: "b", depth: 1 }, { method: "b", depth: 2 }, { method: "b", depth: 3 }]
				.map(key)
				.sort(),
		);
		expect(gridPoints(space, 2)).toHaveLength(3);
	});
});

describe("sobol", () => {
	test("the plain sequence is scipy's, in 40 dimensions and in the 128th", () => {
		const { first16of40, point63of128 } = reference.sobol;
		const sequence = sobolSequence(40);
		expect(first16of40.map((_, i) => [...sequence(i)])).toEqual(first16of40);
		expect([...sobolSequence(128)(63)]).toEqual(point63of128);
	});

	test("scrambled: each of 2^k slices of every axis holds one of the first 2^k points; pairs of axes too in 2-D cells", () => {
		for (const scrambleSeed of [1, 2, 3]) {
			const sequence = sobolSequence(20, { scrambleSeed });
			const points = Array.from({ length: 256 }, (_, i) => sequence(i));
			for (let d = 0; d < 20; d++)
				expect(new Set(points.map((p) => Math.floor((p[d] as number) * 256))).size).toBe(256);
			// Dimensions 1 and 2 are a (0, 2)-sequence: 16 x 16 cells hold one point each.
			const cells = points.map(([x, y]) => Math.floor((x as number) * 16) * 16 + Math.floor((y as number) * 16));
			expect(new Set(cells).size).toBe(256);
		}
		expect([...sobolSequence(3, { scrambleSeed: 1 })(5)]).not.toEqual([...sobolSequence(3, { scrambleSeed: 2 })(5)]);
	});

	test("beyond the table the coordinates are random, and still repeat", () => {
		const a = sobolSequence(SOBOL_DIMENSIONS + 2, { scrambleSeed: 1 })(9);
		expect(a).toEqual(sobolSequence(SOBOL_DIMENSIONS + 2, { scrambleSeed: 1 })(9));
		expect(a.at(-1)).not.toBe(a.at(-2));
	});
});

describe("the normal distribution", () => {
	test("against scipy", () => {
		const { z, cdf } = reference.normal;
		z.forEach((at, i) => {
			expect(Math.abs(normalCdf(at) - (cdf[i] as number))).toBeLessThan(2e-15 + 1e-9 * (cdf[i] as number));
		});
		[-4, -1, 0, 2].forEach((at, i) => {
			expect(logImprovement(at).value).toBeCloseTo(reference.normal.logImprovement[i] as number, 8);
		});
	});

	test("mass, quantile and the far tail of improvement", () => {
		expect(normalMass(-1, 1)).toBeCloseTo(0.6826894921370859, 12);
		expect(normalMass(7, 8) / normalMass(-8, -7)).toBeCloseTo(1, 12);
		fc.assert(
			fc.property(
				fc.double({ min: 1e-6, max: 1 - 1e-6, noNaN: true }),
				(p) => Math.abs(normalCdf(normalQuantile(p)) - p) < 1e-12,
			),
		);
		for (const z of [-2.9999, -3.0001, -50, -2e4, -1e6]) {
			const { value, slope } = logImprovement(z);
			const step = 1e-5 * Math.abs(z);
			const difference = (logImprovement(z + step).value - logImprovement(z - step).value) / (2 * step);
			expect(Number.isFinite(value)).toBe(true);
			expect(Math.abs(slope / difference - 1)).toBeLessThan(1e-4);
		}
	});
});

describe("parzen densities", () => {
	const space = {
		method: categorical(["full", "lora", "none"]),
		rank: int({ low: 1, high: 9, log: true, when: { method: "lora" } }),
		depth: int({ low: 2, high: 10, step: 4, when: { method: ["full", "lora"] } }),
		rate: float({ low: 1e-4, high: 1, log: true }),
	};
	const rng = new Rng(5);
	const points = Array.from({ length: 14 }, () =>
		buildPoint(space, (_, parameter) => fromUnit(parameter, rng.uniform())),
	);

	/** Sum over every branch and whole number, trapezoids over the real one. */
	function integral(density: (params: Params) => number): number {
		let total = 0;
		const visit = (names: string[], params: Params): void => {
			const [name, ...rest] = names;
			if (name === undefined) {
				total += density(params);
				return;
			}
			if (!isActive(space, name, params)) {
				visit(rest, params);
				return;
			}
			const parameter = (space as Space)[name] as Space[string];
			for (const value of valuesOf(parameter) ?? []) visit(rest, { ...params, [name]: value });
		};
		const cells = 300;
		for (let i = 0; i < cells; i++) {
			const rate = fromUnit(space.rate, (i + 0.5) / cells);
			const before = total;
			visit(["method", "rank", "depth"], { rate });
			total = before + (total - before) / cells;
		}
		return total;
	}

	test("sum to one over the whole tree of conditions", () => {
		for (const [count, magicClip] of [
			[0, true],
			[1, true],
			[14, true],
			[14, false],
		] as const) {
			const estimator = parzenEstimator(space, points.slice(0, count), { priorWeight: 1, magicClip });
			expect(integral((params) => Math.exp(estimator.logDensity(params)))).toBeCloseTo(1, 3);
		}
	});

	test("samples follow the density", () => {
		const estimator = parzenEstimator(space, points, { priorWeight: 1, magicClip: true });
		const drawn = Array.from({ length: 4000 }, () => estimator.sample(rng));
		for (const method of space.method.choices) {
			const share = integral((params) => (params.method === method ? Math.exp(estimator.logDensity(params)) : 0));
			expect(Math.abs(drawn.filter((params) => params.method === method).length / 4000 - share)).toBeLessThan(0.03);
		}
		const below = integral((params) => ((params.rate as number) < 0.01 ? Math.exp(estimator.logDensity(params)) : 0));
		expect(Math.abs(drawn.filter((params) => (params.rate as number) < 0.01).length / 4000 - below)).toBeLessThan(0.03);
	});
});

describe("gaussian process", () => {
	const { x, y, isChoice, theta } = reference.gp;
	const data: GpData = { x: x.map((row) => Float64Array.from(row)), y: Float64Array.from(y), isChoice };
	const at = Float64Array.from(reference.gp.at);

	test("likelihood and prediction against numpy", () => {
		const found = logMarginalLikelihood(data, Float64Array.from(theta));
		expect(found?.value).toBeCloseTo(reference.gp.logMarginalLikelihood, 8);
		const { mean, variance } = condition(data, Float64Array.from(theta)).predict(at);
		expect(mean).toBeCloseTo(reference.gp.mean, 8);
		expect(variance).toBeCloseTo(reference.gp.variance, 8);
	});

	test("gradients against finite differences", () => {
		const valueAt = (parameters: Float64Array) => logMarginalLikelihood(data, parameters)?.value as number;
		const { gradient } = logMarginalLikelihood(data, Float64Array.from(theta)) as { gradient: Float64Array };
		theta.forEach((_, i) => {
			const moved = (by: number) => Float64Array.from(theta, (t, k) => (k === i ? t + by : t));
			expect(gradient[i]).toBeCloseTo((valueAt(moved(1e-5)) - valueAt(moved(-1e-5))) / 2e-5, 5);
		});
		const process = condition(data, Float64Array.from(theta));
		const full = process.predictWithGradient(at);
		expect(full.variance).toBeCloseTo(process.predict(at).variance, 10);
		for (const d of [0, 1]) {
			const moved = (by: number) => process.predict(at.map((v, k) => (k === d ? v + by : v)));
			expect(full.meanGradient[d]).toBeCloseTo((moved(1e-5).mean - moved(-1e-5).mean) / 2e-5, 5);
			expect(full.varianceGradient[d]).toBeCloseTo((moved(1e-5).variance - moved(-1e-5).variance) / 2e-5, 5);
		}
	});

	test("a fit is better than its start, and finds the coordinate that does nothing", () => {
		const rng = new Rng(2);
		const rows = Array.from({ length: 30 }, () => Float64Array.from([rng.uniform(), rng.uniform()]));
		const targets = Float64Array.from(rows, ([a]) => Math.sin(6 * (a as number)));
		const fitted = fitGaussianProcess({ x: rows, y: targets, isChoice: [false, false] }, { rng });
		expect(fitted.parameters[1] as number).toBeGreaterThan((fitted.parameters[0] as number) + 1);
		expect(fitted.predict(Float64Array.from([0.4, 0.2])).mean).toBeCloseTo(Math.sin(2.4), 1);
	});

	test("warping keeps the order and tames a heavy tail", () => {
		const losses = [1, 1.1, 1.3, 1.2, 5, 900];
		const warped = warp(losses);
		const order = (values: ArrayLike<number>) =>
			Array.from(values, (_, i) => i).sort((a, b) => (values[a] as number) - (values[b] as number));
		expect(order(warped)).toEqual(order(losses));
		// Standardised, the five good losses would lie within 0.002 of each other.
		expect((warped[2] as number) - (warped[0] as number)).toBeGreaterThan(0.3);
		expect([...warp([3, 3, 3])]).toEqual([0, 0, 0]);
	});

	test("L-BFGS finds the bottom of Rosenbrock's valley", () => {
		const f = ([a, b]: Float64Array) => ({
			value: 100 * ((b as number) - (a as number) ** 2) ** 2 + (1 - (a as number)) ** 2,
			gradient: Float64Array.from([
				-400 * (a as number) * ((b as number) - (a as number) ** 2) - 2 * (1 - (a as number)),
				200 * ((b as number) - (a as number) ** 2),
			]),
		});
		const { x: found } = minimize(f, Float64Array.from([-1.2, 1]), { iterations: 200 });
		expect(found[0]).toBeCloseTo(1, 3);
		expect(found[1]).toBeCloseTo(1, 3);
	});
});

describe("searching", () => {
	const branin = ({ x, y }: Params) =>
		((y as number) - (5.1 / (4 * Math.PI ** 2)) * (x as number) ** 2 + (5 / Math.PI) * (x as number) - 6) ** 2 +
		10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x as number) +
		10;
	const plane: Space = { x: float({ low: -5, high: 10 }), y: float({ low: 0, high: 15 }) };
	const settings = ({ method, rate, rank = 16 }: Params) =>
		Math.log10((rate as number) / (method === "full" ? 3e-5 : 3e-4)) ** 2 +
		0.1 * Math.abs(Math.log2((rank as number) / 16)) +
		(method === "full" ? 0.15 : 0);
	const tuning: Space = {
		method: categorical(["full", "lora"]),
		rate: float({ low: 1e-6, high: 1e-1, log: true }),
		rank: int({ low: 1, high: 64, log: true, when: { method: "lora" } }),
	};
	const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number;
	const medianBest = (
		make: Parameters<typeof search>[0],
		space: Space,
		evaluate: (p: Params) => number,
		trials: number,
	) => median([0, 1, 2, 3, 4, 5, 6].map((seed) => Math.min(...search(make, { space, evaluate, trials, seed }))));

	test("TPE and GP beat random search on a smooth function and on a conditional space (median of 7 seeds)", () => {
		for (const [space, evaluate] of [
			[plane, branin],
			[tuning, settings],
		] as const) {
			const random40 = medianBest(randomSampler, space, evaluate, 40);
			expect(medianBest(tpeSampler, space, evaluate, 40)).toBeLessThan(random40);
			const random20 = medianBest(randomSampler, space, evaluate, 20);
			expect(medianBest(() => gpSampler({ candidates: 256 }), space, evaluate, 20)).toBeLessThan(random20);
		}
	});

	test("failures teach: TPE and GP leave the half of the space that only fails", () => {
		const space: Space = { x: float({ low: 0, high: 1 }) };
		for (const sampler of [tpeSampler(), gpSampler({ candidates: 128 })]) {
			const trials = Array.from({ length: 20 }, (_, i) => {
				const x = (i + 0.5) / 20;
				const done = doneTrial(i, { x }, [1 + Math.abs(x - 0.45)]);
				return x > 0.5 ? { ...done, state: "failed" as const, rungs: [], reason: "not finite" } : done;
			});
			const drawn = [1, 2, 3, 4, 5, 6, 7, 8].map(
				(n) => suggest(sampler, { space, trials, rng: new Rng(n) })?.params.x as number,
			);
			expect(drawn.filter((x) => x > 0.55).length).toBeLessThanOrEqual(1);
		}
	});

	test("running trials push parallel proposals apart", () => {
		const space: Space = { x: float({ low: 0, high: 1 }) };
		const past = Array.from({ length: 15 }, (_, i) => doneTrial(i, { x: i / 15 }, [Math.sin(40 * i) + i / 15]));
		for (const sampler of [tpeSampler(), gpSampler({ candidates: 128 })]) {
			const running = { ...doneTrial(15, { x: 0 }, []), state: "running" as const, rungs: [] };
			const alone = suggest(sampler, { space, trials: past })?.params.x as number;
			const crowd = Array.from({ length: 6 }, (_, i) => ({ ...running, number: 15 + i, params: { x: alone } }));
			const beside = suggest(sampler, { space, trials: [...past, ...crowd], rng: new Rng([0, "trial", 15]) })?.params
				.x as number;
			expect(Math.abs(beside - alone)).toBeGreaterThan(1e-3);
		}
	});

	test("with two objectives the proposals gather along the front", () => {
		// Schaffer's problem: every x in [0, 2] is on the front.
		const space: Space = { x: float({ low: -50, high: 50 }) };
		for (const sampler of [tpeSampler(), gpSampler({ candidates: 128 })]) {
			const trials: ReturnType<typeof doneTrial>[] = [];
			for (let i = 0; i < 40; i++) {
				const x = suggest(sampler, { space, trials, directions: ["minimize", "maximize"] })?.params.x as number;
				trials.push(doneTrial(i, { x }, [x ** 2, -((x - 2) ** 2)]));
			}
			const late = trials.slice(20).map(({ params }) => params.x as number);
			expect(late.filter((x) => x > -3 && x < 5).length).toBeGreaterThan(7); // 1.6 by chance
		}
	});

	test("a mixed space keeps its types", () => {
		for (const sampler of [randomSampler(), sobolSampler(), tpeSampler()]) {
			const losses = search(() => sampler, { space: MIXED, evaluate: (p) => p.layers as number, trials: 15, seed: 1 });
			expect(losses.every((loss) => loss % 2 === 0 && loss >= 2 && loss <= 12)).toBe(true);
		}
	});
});

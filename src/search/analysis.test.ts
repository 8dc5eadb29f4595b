// What is said about a study afterwards: fronts, importance, baseline, lifted observations, pictures.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { bestOfChances, replayRandomSearch } from "./baseline.ts";
import {
	ashaPruner,
	categorical,
	createStudy,
	dominates,
	float,
	historyPlot,
	hypervolume,
	importanceOf,
	importancePlot,
	int,
	nonDominatedSort,
	parallelPlot,
	randomSampler,
	rungsPlot,
	slicesPlot,
	type Trial,
} from "./index.ts";
import { observe } from "./observations.ts";
import { contributions, rankOrder } from "./pareto.ts";
import { doneTrial } from "./testing/sampler-suite.ts";

const points = (objectives: number, max = 6) =>
	fc.array(fc.array(fc.integer({ min: 0, max }), { minLength: objectives, maxLength: objectives }), {
		minLength: 1,
		maxLength: 9,
	});

describe("pareto", () => {
	test("fronts against their definition", () => {
		fc.assert(
			fc.property(points(3), (losses) => {
				const fronts = nonDominatedSort(losses);
				expect(fronts.flat().sort((a, b) => a - b)).toEqual(losses.map((_, i) => i));
				let left = losses.map((_, i) => i);
				for (const front of fronts) {
					const free = left.filter((i) => !left.some((j) => dominates(losses[j] as number[], losses[i] as number[])));
					expect([...front].sort((a, b) => a - b)).toEqual(free);
					left = left.filter((i) => !front.includes(i));
				}
			}),
			{ seed: 1 },
		);
	});

	test("hypervolume against counting unit cells, in two, three and four dimensions", () => {
		for (const objectives of [2, 3, 4]) {
			fc.assert(
				fc.property(points(objectives, 4), (losses) => {
					const side = 4;
					let cells = 0;
					for (let code = 0; code < side ** objectives; code++) {
						const cell = Array.from({ length: objectives }, (_, d) => Math.floor(code / side ** d) % side);
						if (losses.some((point) => point.every((value, d) => value <= (cell[d] as number)))) cells++;
					}
					expect(hypervolume(losses, new Array(objectives).fill(side))).toBe(cells);
				}),
				{ seed: 2, numRuns: 40 },
			);
		}
	});

	test("a double adds nothing; order is by front", () => {
		expect(
			contributions(
				[
					[1, 1],
					[1, 1],
				],
				[2, 2],
			),
		).toEqual([0, 0]);
		expect(
			rankOrder([
				[3, 3],
				[1, 2],
				[2, 1],
				[9, 9],
			]).slice(-2),
		).toEqual([0, 3]);
		expect(rankOrder([[3], [1], [2]])).toEqual([1, 2, 0]);
	});
});

describe("observations", () => {
	test("a trial that stopped early is lifted by what the others gained", () => {
		const at = (number: number, values: number[], state: Trial["state"]): Trial => ({
			...doneTrial(number, {}, []),
			state,
			rungs: values.map((value, k) => ({ step: 3 ** k, values: [value], durationMs: 0 })),
		});
		const { measured, pending, failed } = observe(
			[
				at(0, [5, 3], "done"),
				at(1, [6, 5], "done"),
				at(2, [7, 6], "paused"),
				at(3, [4], "paused"),
				at(4, [], "running"),
				at(5, [1], "failed"),
			],
			["minimize"],
		);
		expect(measured.map(({ losses }) => losses[0])).toEqual([3, 5, 6, 3]);
		expect([pending.length, failed.length]).toEqual([1, 1]);
	});
});

describe("importance", () => {
	const space = {
		strong: float({ low: 0, high: 1 }),
		weak: float({ low: 0, high: 1 }),
		kind: categorical(["a", "b", "c"]),
		none: int({ low: 1, high: 8 }),
	};
	const rng = new Rng(3);
	const trials = Array.from({ length: 250 }, (_, i) => {
		const params = {
			strong: rng.uniform(),
			weak: rng.uniform(),
			kind: ["a", "b", "c"][rng.integer(3)] as string,
			none: 1 + rng.integer(8),
		};
		return doneTrial(i, params, [-(2 * params.strong + 0.5 * params.weak + (params.kind === "b" ? 1 : 0))]);
	});
	const study = { space, trials, directions: ["maximize"] as const };

	test("shares and effects of an additive function are near the exact ones", () => {
		const found = importanceOf(study);
		const share = (name: string) => found?.parameters.find((one) => one.name === name)?.importance as number;
		// Variances: 4/12, 0.25/12, 2/9; the worst tenth is cut, which moves them a little.
		const total = 4 / 12 + 0.25 / 12 + 2 / 9;
		expect(Math.abs(share("strong") - 4 / 12 / total)).toBeLessThan(0.12);
		expect(Math.abs(share("kind") - 2 / 9 / total)).toBeLessThan(0.12);
		expect(share("weak")).toBeLessThan(0.1);
		expect(share("none")).toBeLessThan(0.03);
		expect(found?.parameters[0]?.name).toBe("strong");
		const effect = found?.parameters[0]?.effect ?? [];
		expect((effect[0]?.mean as number) - (effect.at(-1)?.mean as number)).toBeGreaterThan(1.4);
		expect(importanceOf(study)).toEqual(found);
	});

	test("nothing is said from too little", () => {
		expect(importanceOf({ ...study, trials: trials.slice(0, 7) })).toBeUndefined();
		expect(
			importanceOf({ ...study, trials: trials.map(({ number, params }) => doneTrial(number, params, [1])) }),
		).toBeUndefined();
	});
});

describe("baseline", () => {
	test("the chances of order statistics add up, and agree with drawing", () => {
		const chances = bestOfChances(6, 3);
		expect(chances.reduce((a, b) => a + b)).toBeCloseTo(1, 12);
		expect(chances).toEqual([0.5, 0.3, 0.15, 0.05, 0, 0].map((chance) => expect.closeTo(chance, 12)));
		expect(bestOfChances(4, 4)).toEqual([1, 0, 0, 0]);
	});

	test("so many whole runs as the study's cost pays for; honest when it cannot tell", () => {
		const trial = (n: number, value: number, origin: Trial["origin"]): Trial => ({
			...doneTrial(n, {}, []),
			origin,
			rungs: [{ step: 1, values: [value], cost: 10, durationMs: 0 }],
		});
		const trials = [trial(0, 4, "random"), trial(1, 2, "random"), trial(2, 3, "random")];
		const directions = ["minimize"] as const;
		expect(replayRandomSearch({ trials, directions })).toMatchObject({
			possible: true,
			runs: 3,
			expected: 2,
			found: 2,
			sample: 3,
		});
		const more = [...trials, trial(3, 1, "model")];
		expect(replayRandomSearch({ trials: more, directions }, { times: 0.5 })).toMatchObject({
			runs: 2,
			expected: expect.closeTo(7 / 3, 12),
			found: 1,
		});
		expect(replayRandomSearch({ trials: more, directions })).toMatchObject({
			possible: false,
			reason: expect.stringContaining("only 3"),
		});
		expect(replayRandomSearch({ trials: [], directions })).toMatchObject({ possible: false });
	});
});

describe("plots", () => {
	test("every picture is well-formed, has its labels, and survives odd names, no trials and equal values", async () => {
		const space = {
			"rate.a": float({ low: 1e-5, high: 1, log: true }),
			kind: categorical(['<b>&"', "b"]),
			n: int({ low: 1, high: 3 }),
		};
		const study = await createStudy({
			space,
			sampler: randomSampler(),
			pruner: ashaPruner({ minStep: 1, maxStep: 9 }),
		});
		const pictures = () => {
			const { snapshot } = study;
			const importance = importanceOf(snapshot);
			const options = { valueLabel: "loss <&>" };
			return [
				historyPlot(snapshot, options),
				rungsPlot(snapshot, options),
				parallelPlot(snapshot, options),
				slicesPlot(snapshot, importance ? { ...options, importance } : options),
				importancePlot(importance),
			];
		};
		const check = (svg: string) => {
			const tags = [...svg.matchAll(/<(\/?)([a-z]+)[^<>]*?(\/?)>/g)];
			const open: string[] = [];
			for (const [, closing, name, self] of tags) {
				if (closing) expect(open.pop()).toBe(name);
				else if (!self) open.push(name as string);
			}
			expect(open).toEqual([]);
			expect(svg).not.toMatch(/NaN|undefined|Infinity|&(?!#\d+;)/);
		};
		pictures().forEach(check);
		for await (const _ of study.optimize(
			({ params, toStep }) => (params.n === 3 ? "pruned" : params["rate.a"] * 1e4 + 1 / toStep),
			{ maxTrials: 20 },
		));
		const full = pictures();
		full.forEach(check);
		for (const svg of full.slice(0, 2)) expect(svg).toContain("loss &#60;&#38;&#62;");
		expect(full[2]).toContain("rate.a");
		const equal = await createStudy({ space });
		for await (const _ of equal.optimize(() => 1, { maxTrials: 2 }));
		check(historyPlot(equal.snapshot));
		check(slicesPlot(equal.snapshot));
		check(parallelPlot(equal.snapshot));
	});

	test("labels are round numbers, and take turns on two lines where they would run into each other", () => {
		const space = {
			size: int({ low: 256, high: 8192, log: true }),
			schedule: categorical(["cosine", "constant", "inverse-sqrt", "linear"]),
			other: categorical(["a", "b"]),
		};
		const trials = ["cosine", "linear"].map((schedule, i) =>
			doneTrial(i, { size: 300 + i, schedule, other: "a" }, [i]),
		);
		const picture = slicesPlot({ space, trials, directions: ["minimize"] });
		const heightOf = (label: string) => Number(new RegExp(` y="([\\d.]+)"[^>]*>${label}<`).exec(picture)?.[1]);
		expect([500, 1000, 2000, 5000].map((tick) => Number.isFinite(heightOf(`${tick}`)))).toEqual([
			true,
			true,
			true,
			true,
		]);
		expect(heightOf("constant") - heightOf("cosine")).toBe(14);
		expect(heightOf("inverse-sqrt")).toBe(heightOf("cosine"));
		expect(heightOf("a")).toBe(heightOf("b"));
	});
});

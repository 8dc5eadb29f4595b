// What every sampler must do, whatever it is. A new sampler calls `samplerSuite` from its test.
import { describe, expect, test } from "vitest";
import { Rng } from "../../util/rng.ts";
import { completePoint } from "../point.ts";
import type { Sampler, SamplerContext } from "../samplers/sampler.ts";
import { categorical, float, int, type Params, type Space } from "../space.ts";
import type { Direction, Trial } from "../trial.ts";

export const MIXED = {
	rate: float({ low: 1e-5, high: 1, log: true }),
	method: categorical(["full", "lora", "none"]),
	rank: int({ low: 1, high: 64, log: true, when: { method: "lora" } }),
	layers: int({ low: 2, high: 12, step: 2 }),
	scale: float({ low: -1, high: 1, when: { method: ["lora", "full"] } }),
} satisfies Space;

/** A finished trial with the given losses. */
export function doneTrial(number: number, params: Params, values: readonly number[]): Trial {
	return {
		number,
		params,
		origin: "random",
		state: "done",
		seed: 0,
		bracket: 0,
		toStep: 1,
		rungs: [{ step: 1, values, durationMs: 0 }],
		reports: [],
	};
}

/** The sampler's next point after `trials`. */
export function suggest(sampler: Sampler, over: Partial<SamplerContext> & { space: Space }) {
	const trials = over.trials ?? [];
	const seed = over.seed ?? 0;
	const rng = new Rng([seed, "trial", trials.length]);
	return sampler.suggest({ trials, directions: ["minimize"], rng, seed, index: trials.length, ...over });
}

/** Runs a sampler on a function; returns the losses in order. */
export function search(
	make: () => Sampler,
	options: { space: Space; evaluate: (params: Params) => number; trials: number; seed: number },
): number[] {
	const { space, evaluate, seed } = options;
	const trials: Trial[] = [];
	const sampler = make();
	for (let i = 0; i < options.trials; i++) {
		const next = suggest(sampler, { space, trials, seed });
		if (next === undefined) break;
		trials.push(doneTrial(i, next.params, [evaluate(next.params)]));
	}
	return trials.map(({ rungs }) => rungs[0]?.values[0] as number);
}

const lossOf = (params: Params) => Math.log10(params.rate as number) ** 2 + (params.method === "lora" ? 0 : 1);

export function samplerSuite(name: string, make: () => Sampler, { trials = 25 }: { trials?: number } = {}): void {
	const history = (directions: readonly Direction[]): Trial[] => {
		const past: Trial[] = [];
		for (let i = 0; i < trials; i++) {
			const next = suggest(make(), { space: MIXED, trials: past, directions, seed: 7 });
			if (next === undefined) break;
			const values = directions.map((_, d) => lossOf(next.params) + d * (next.params.layers as number));
			const done = doneTrial(i, next.params, values);
			past.push(i % 6 === 5 ? { ...done, state: "failed", rungs: [], reason: "not finite" } : done);
		}
		return past;
	};

	describe(`${name} is a sampler`, () => {
		test("every point is a full point of the space, conditions included, after failures too", () => {
			for (const { params } of history(["minimize"])) expect(completePoint(MIXED, params)).toEqual(params);
		});

		test("keeps nothing: the same history gives the same point, from a new object and after others", () => {
			const past = history(["minimize"]);
			const used = make();
			for (let n = 0; n < past.length; n += 7) suggest(used, { space: MIXED, trials: past.slice(0, n), seed: 3 });
			for (const n of [0, 3, past.length]) {
				const context = { space: MIXED, trials: past.slice(0, n), seed: 7 };
				expect(suggest(used, context)).toEqual(suggest(make(), context));
			}
		});

		test("another seed gives other points", () => {
			const points = (seed: number) => [0, 1, 2].map((index) => suggest(make(), { space: MIXED, seed, index })?.params);
			expect(points(1)).not.toEqual(points(2));
		});

		test("leaves the history as it found it", () => {
			const past = history(["minimize"]);
			const before = structuredClone(past);
			suggest(make(), { space: MIXED, trials: past });
			expect(past).toEqual(before);
		});

		test("works with several objectives, and while other trials run or all have failed", () => {
			const several = history(["minimize", "maximize"]);
			for (const { params } of several) completePoint(MIXED, params);
			const running = history(["minimize"]).map((trial, i) =>
				i % 3 === 0 ? { ...trial, state: "running" as const, rungs: [] } : trial,
			);
			const failed = running.map((trial) => ({ ...trial, state: "failed" as const, rungs: [], reason: "broken" }));
			for (const past of [running, failed]) {
				const next = suggest(make(), { space: MIXED, trials: past, index: 3 });
				expect(completePoint(MIXED, next?.params as Params)).toEqual(next?.params);
			}
		});

		test("equal losses, one parameter, one choice: no division by zero", () => {
			const space = { only: categorical(["one"]), x: float({ low: 0, high: 1 }) };
			const past = Array.from({ length: trials }, (_, i) => doneTrial(i, { only: "one", x: 0.5 }, [1]));
			const next = suggest(make(), { space, trials: past, index: 2 });
			expect(completePoint(space, next?.params as Params)).toEqual(next?.params);
		});

		test("its options are plain data", () => {
			const { options } = make();
			expect(JSON.parse(JSON.stringify(options))).toEqual(options);
		});
	});
}

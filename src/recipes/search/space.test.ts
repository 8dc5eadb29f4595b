// The default space, what flags and files make of it, and what a point means for `finetune`.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { defaultPoint, fromUnit } from "../../search/point.ts";
import type { Params } from "../../search/space.ts";
import { Rng } from "../../util/rng.ts";
import { parseConfig } from "../options/config.ts";
import { finetuneOptions } from "../options/jobs.ts";
import { resolveOptions } from "../options/resolve.ts";
import { composeSpace, defaultSpace, informedGuesses, type SpaceFacts, settingsOf } from "./space.ts";

const values = resolveOptions(finetuneOptions, {
	options: { data: ["a.jsonl"], output: "runs/a", learningRate: 3e-4 },
}).values;
const facts: SpaceFacts = {
	defaults: { ...values, learningRate: 3e-4 },
	examples: 600,
	tokensPerExample: 50,
	mostEpochs: 5,
	objectives: ["quality"],
};
const known = new Set(["learningRate", "optimizer", "momentum", "epochs", "batchSize", "dropout", "lrSchedule"]);
const compose = (options: Partial<Parameters<typeof composeSpace>[1]>) =>
	composeSpace(defaultSpace(facts), { values, given: new Set(), known, ...options });
const file = (text: string) => parseConfig(text, { file: "space.yaml" });

describe("the default space", () => {
	test("begins with what finetune does by itself", () => {
		const settings = settingsOf(defaultPoint(defaultSpace(facts)), { fixed: values, examples: 600 });
		expect(settings).toMatchObject({
			optimizer: "adamw",
			learningRate: 3e-4,
			epochs: 3,
			batchSize: 8,
			weightDecay: 0.01,
		});
		expect(settings).not.toHaveProperty("batchRamp");
		// A twentieth of 3 * 600 / 8 steps.
		expect(settings.warmupSteps).toBe(11);
	});

	test("every point is a run of finetune, whatever the data and the budget", () => {
		const anyFacts = fc.record({
			examples: fc.integer({ min: 8, max: 100_000 }),
			tokensPerExample: fc.integer({ min: 4, max: 2000 }),
			mostEpochs: fc.double({ min: 0.01, max: 12, noNaN: true }),
			lora: fc.boolean(),
			seed: fc.nat(),
		});
		fc.assert(
			fc.property(anyFacts, ({ lora, seed, ...rest }) => {
				const space = defaultSpace({
					...rest,
					defaults: { ...facts.defaults, lora },
					objectives: ["quality", "size"],
				});
				const rng = new Rng(seed);
				const point: Record<string, Params[string]> = {};
				for (const [name, parameter] of Object.entries(space)) {
					const active = Object.entries(parameter.when ?? {}).every(([parent, wanted]) =>
						[wanted].flat().includes(point[parent] as string),
					);
					if (active) point[name] = fromUnit(parameter, rng.uniform());
				}
				const settings = settingsOf(point, { fixed: values, examples: rest.examples });
				const { learningRate, epochs, batchSize, warmupSteps, batchRamp } = resolveOptions(finetuneOptions, {
					options: { ...values, lora, ...settings },
				}).values;
				expect(learningRate).toBeGreaterThan(0);
				expect(warmupSteps).toBeLessThanOrEqual((epochs * rest.examples) / batchSize);
				if (batchRamp) expect(batchRamp.to).toBe(batchSize);
			}),
		);
	});

	test("guesses lie in the space, and there are none where the rate is not searched", () => {
		const space = defaultSpace(facts);
		expect(informedGuesses(space)).toEqual([
			{ learningRate: 9e-4 * (0.0003 / 3e-4), epochs: 5 },
			{ learningRate: 3e-4 * 8, epochs: 5 },
		]);
		const { learningRate: _, ...without } = space;
		expect(informedGuesses(without)).toEqual([]);
	});
});

describe("what a person says of the space", () => {
	test("an option that was given is not searched; a condition on it is decided", () => {
		const adam = compose({ given: new Set(["optimizer"]) });
		expect(adam.space).not.toHaveProperty("optimizer");
		expect(adam.space).not.toHaveProperty(["learningRate.sgd"]);
		expect(adam.space.learningRate).not.toHaveProperty("when");
		const sgd = compose({ given: new Set(["optimizer"]), values: { ...values, optimizer: "sgd" } });
		expect(sgd.space).not.toHaveProperty("learningRate");
		expect(sgd.space).toHaveProperty(["learningRate.sgd"]);
		const rate = compose({ given: new Set(["learningRate"]) });
		expect(Object.keys(rate.space).filter((name) => name.startsWith("learningRate"))).toEqual([]);
	});

	test("--vary: ranges of whole and other numbers, on a logarithm, choices, and a single value, which fixes", () => {
		const { space, fixed } = compose({
			vary: [
				"epochs=1..4",
				"learning-rate=1e-5..1e-2:log",
				"dropout=0,0.1",
				"lr-schedule=linear",
				"batch-size=2..64:log",
			],
		});
		expect(space.epochs).toEqual({ type: "int", low: 1, high: 4 });
		expect(space.learningRate).toEqual({ type: "float", low: 1e-5, high: 1e-2, log: true });
		expect(space.dropout).toEqual({ type: "categorical", choices: [0, 0.1] });
		expect(space.batchSize).toEqual({ type: "int", low: 2, high: 64, log: true });
		expect(space).not.toHaveProperty("lrSchedule");
		expect(fixed).toEqual({ lrSchedule: "linear" });
	});

	test("a file says all that is searched, in the words of the flags", async () => {
		const { space, fixed } = compose({
			file: await file(
				"lr-schedule: [cosine, wsd]\nmomentum: { type: float, low: 0, high: 0.9, when: { lr-schedule: wsd } }\nepochs: 2\n",
			),
		});
		expect(Object.keys(space)).toEqual(["lrSchedule", "momentum"]);
		expect(space.momentum).toMatchObject({ when: { lrSchedule: "wsd" } });
		expect(fixed).toEqual({ epochs: 2 });
	});

	test("names that are none are found by line, with what was probably meant", async () => {
		await expect(async () =>
			compose({ file: await file("epochs: [1, 2]\nbatch-sise: [4, 8]\n") }),
		).rejects.toMatchObject({
			code: "SPACE_UNKNOWN",
			where: "space.yaml, line 2",
			hint: "batch-size",
		});
	});
});

// Forecasts and what follows from them. How near they are to real processes: bench/forecast/results.md.

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { architectureFor } from "../models/architectures.ts";
import { UserError } from "../util/errors.ts";
import { forecastTraining, smallerRuns, type TrainingShape } from "./forecast.ts";
import { availableMemory } from "./machine.ts";
import type { RecipeEvent } from "./options/recipe.ts";
import { plan } from "./plan.ts";
import { assertFits, makePlan } from "./plan-summary.ts";

function shapeOf(more: Partial<TrainingShape> = {}): TrainingShape {
	const architecture = architectureFor({ model_type: "gpt2" });
	const config = architecture.parseConfig({ model_type: "gpt2", n_layer: 4, n_embd: 128, n_head: 2, vocab_size: 2000 });
	return {
		architecture,
		config,
		trainable: new Set(architecture.parameters(config).map(({ name }) => name)),
		optimizer: "adamw",
		accumulate: true,
		recompute: false,
		evaluates: true,
		maxRows: 1024,
		microBatches: [{ batch: 8, time: 256, rows: 1024 }],
		sampled: { steps: 1, examples: 8 },
		...more,
	};
}

describe("forecast", () => {
	test("parts of the memory follow from the parameters", () => {
		const { memory, trainableParameters, parameters } = forecastTraining(shapeOf());
		expect(trainableParameters).toBe(parameters);
		expect(memory.gradients).toBe(4 * parameters);
		expect(memory.optimizer).toBe(8 * parameters);
		expect(memory.snapshot).toBe(12 * parameters);
		expect(forecastTraining(shapeOf({ optimizer: "sgd", momentum: 0 })).memory.optimizer).toBe(0);
		expect(forecastTraining(shapeOf({ optimizer: "sgd", momentum: 0.9 })).memory.optimizer).toBe(4 * parameters);
	});

	test("every change that is offered makes the run smaller", () => {
		const shape = shapeOf();
		const { peakBytes } = forecastTraining(shape);
		const changes = smallerRuns(shape);
		expect(changes.map(({ flags }) => flags)).toEqual([
			"--recompute",
			"--token-budget 1024",
			"--token-budget 512",
			"--token-budget 256",
			"--max-length 128",
			"--lora",
			"--recompute --token-budget 256",
			"--lora --recompute",
			"--lora --recompute --token-budget 256",
		]);
		for (const { flags, shape: smaller } of changes) {
			expect(forecastTraining(smaller).peakBytes, flags).toBeLessThan(peakBytes);
		}
	});
});

describe("does it fit", () => {
	test("what fits says nothing of changes", async () => {
		const made = await makePlan({
			shape: shapeOf(),
			availableBytes: 1e12,
			examplesPerEpoch: 80,
			steps: 30,
			threads: 1,
		});
		expect(made).toMatchObject({ fits: true, steps: 30 });
		expect(made.changes).toBeUndefined();
		expect(made.secondsPerEpoch).toBeGreaterThan(0);
		expect(() => assertFits(made)).not.toThrow();
	});

	test("what does not fit is refused with the changes that are enough, and only those", async () => {
		const shape = shapeOf();
		const { peakBytes, memory } = forecastTraining(shape);
		const made = await makePlan({ shape, availableBytes: peakBytes - memory.snapshot - 1, threads: 1 });
		expect(made.fits).toBe(false);
		expect(made.changes?.[0]).toMatch(/^--recompute \(/);
		expect(made.changes?.[1]).toMatch(/^--token-budget 1024 \(/);
		expect(() => assertFits(made)).toThrow(UserError);
	});

	test("without room for the copy of a checkpoint, the run fits and waits for its saves", async () => {
		const shape = shapeOf();
		const { peakBytes, memory } = forecastTraining(shape);
		const made = await makePlan({ shape, availableBytes: peakBytes - 1, threads: 1 });
		expect(made).toMatchObject({ fits: true, waitsForSaves: true, peakBytes: peakBytes - memory.snapshot });
		expect((await makePlan({ shape, availableBytes: peakBytes, threads: 1 })).waitsForSaves).toBeUndefined();
	});

	test("what nothing makes fit says so", async () => {
		const made = await makePlan({ shape: shapeOf(), availableBytes: 1e6, threads: 1 });
		expect(made.changes).toEqual([expect.stringContaining("a smaller model")]);
		expect(() => assertFits(made)).toThrow(/more memory than/);
	});

	test("this machine has some memory", async () => {
		expect(await availableMemory()).toBeGreaterThan(1e6);
	});
});

describe("attune plan", () => {
	async function planned(options: Parameters<typeof plan>[0]) {
		const events: RecipeEvent[] = [];
		for await (const event of plan(options)) events.push(event);
		return events.flatMap((event) => (event.type === "plan-made" ? [event.plan] : []))[0];
	}

	test("GPT-2 by name, without files or data", async () => {
		const made = await planned({ model: "gpt2", lora: true, batchSize: 1, maxLength: 16, threads: 1 });
		expect(made?.parameters).toBe(124_439_808 + (made?.trainableParameters ?? 0));
		expect(made?.trainableParameters).toBe(1_179_648);
		expect(made?.secondsPerThousandTokens).toBeGreaterThan(0);
		expect(made?.alternatives?.map(({ model }) => model)).toEqual(["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"]);
	});

	test("data are counted with the model's own tokenizer", async () => {
		const file = "examples/customer-service/train.en.json";
		const events = await planned({ model: "builtin", data: [file], validation: 0, threads: 1 });
		const rows = JSON.parse(readFileSync(file, "utf8")).length;
		// In steps of 8, three times.
		expect(events?.steps).toBe(3 * Math.ceil(rows / 8));
		expect(events?.secondsPerEpoch).toBeGreaterThan(0);
	});

	test("a length above the context is refused", async () => {
		await expect(planned({ model: "gpt2", maxLength: 4096 })).rejects.toThrow("maximum length");
	});
});

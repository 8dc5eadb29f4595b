// Silent failures of numbers, from the field: each cannot happen here, or is said aloud.
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { makeMicroBatch } from "../../src/data/micro-batch.ts";
import type { Model } from "../../src/models/model.ts";
import { saveModel } from "../../src/models/model.ts";
import { trainingGraph } from "../../src/models/training-graph.ts";
import { finetune } from "../../src/recipes/finetune.ts";
import { TrainingEngine } from "../../src/train/engine.ts";
import { Rng } from "../../src/util/rng.ts";
import { dialoguesFile, eventsOf, ofType, quick, temporary, tinyModel, tinyModelDirectory } from "../support/tiny.ts";

let model: string;
let data: string[];
beforeAll(async () => {
	model = await tinyModelDirectory();
	data = [dialoguesFile()];
});

const run = (options: object) =>
	eventsOf(finetune({ ...quick, model, data, output: join(temporary(), "run"), ...options } as never));

describe("accumulation differs from the big batch (trl #2175, LlamaFactory #7443)", () => {
	test("however small the parts of a step are, losses, norms and sizes are those of the whole", async () => {
		const steps = async (tokenBudget: number) => ofType(await run({ tokenBudget, batchSize: 6 }), "step-done");
		const [whole, parts] = [await steps(10_000), await steps(1)];
		for (const [i, step] of whole.entries()) {
			expect(parts[i]?.loss).toBeCloseTo(step.loss, 4);
			expect(parts[i]?.gradientNorm).toBeCloseTo(step.gradientNorm, 3);
			// Running out of memory is met with smaller parts, not with a smaller batch (EuroEval PR #69).
			expect(parts[i]?.batchSize).toBe(step.batchSize);
		}
	});
});

describe("packed documents see each other (trl #3910)", () => {
	const rng = new Rng(4);
	const example = (length: number) => ({
		ids: Int32Array.from({ length }, () => 1 + rng.integer(95)),
		supervised: new Uint8Array(length - 1).fill(1),
	});

	async function engineOf({ architecture, config, parameters }: Model, chunkBytes?: number) {
		const options = { architecture, config, parameters, trainable: new Set<string>(), maxRows: 200, threads: 1 };
		return TrainingEngine.create({ ...options, ...(chunkBytes !== undefined && { chunkBytes }) });
	}

	test("a conversation's loss is the same alone and beside others, longer and shorter", async () => {
		const engine = await engineOf(tinyModel());
		const examples = [12, 5, 40, 29, 3].map(example);
		const alone = await Promise.all(examples.map(async () => 0));
		for (const [i, one] of examples.entries()) alone[i] = (await engine.evaluate([makeMicroBatch([one])])).loss;
		const together = await engine.evaluate([makeMicroBatch(examples)]);
		const tokens = examples.map(({ supervised }) => supervised.length);
		const sum = alone.reduce((total, loss, i) => total + loss * (tokens[i] as number), 0);
		expect(together.tokens).toBe(tokens.reduce((a, b) => a + b));
		expect(together.loss).toBeCloseTo(sum / together.tokens, 5);
		await engine.dispose();
	});

	test("evaluation keeps every logit (transformers #12878): here nothing leaves the graph but a number", async () => {
		const tiny = tinyModel();
		const { graph } = trainingGraph(tiny.architecture, tiny.config, { trainable: new Set(), chunks: 4 });
		expect([...graph.outputs.keys()]).toEqual(["loss"]);
		// And a piece of the logits at a time gives what all of them give.
		const batch = makeMicroBatch([example(60), example(60)]);
		const [whole, pieces] = [await engineOf(tiny), await engineOf(tiny, 4096)];
		expect((await pieces.evaluate([batch])).loss).toBeCloseTo((await whole.evaluate([batch])).loss, 5);
		await whole.dispose();
		await pieces.dispose();
	});
});

describe("a run that comes to nothing says so after its first steps", () => {
	/** Warnings of a run of twelve steps from the tiny model, changed. */
	async function warningsOf(change: (parameters: Model["parameters"]) => void, options: object = {}) {
		const changed = tinyModel();
		change(changed.parameters);
		const directory = join(temporary(), "model");
		await saveModel(directory, changed);
		return ofType(await run({ model: directory, steps: 12, ...options }), "warning");
	}
	const of = (code: string) => expect.objectContaining({ code });

	test("healthy: no warning", async () => {
		expect(await warningsOf(() => {})).toEqual([]);
	});

	test("weights that do not change (lerobot #3459, trl #6700)", async () => {
		const warnings = await warningsOf(() => {}, { learningRate: 1e-15, weightDecay: 0 });
		expect(warnings).toEqual([of("NOTHING_TRAINED")]);
		expect(warnings[0]?.hint).toContain("--learning-rate");
	});

	test("weights that are not finite are found before the first step", async () => {
		const damaged = warningsOf((parameters) => {
			(parameters.get("h.0.mlp.c_fc.weight") as Float32Array)[3] = Number.NaN;
		});
		await expect(damaged).rejects.toMatchObject({ code: "TENSOR_NOT_FINITE" });
	});

	test("a loss that is not finite: the steps are not taken, and the weights stay what they were", async () => {
		const warnings = await warningsOf((parameters) => parameters.get("h.0.mlp.c_fc.weight")?.fill(1e30));
		expect(warnings.filter(({ code }) => code === "STEP_SKIPPED").length).toBe(12);
		expect(warnings).toContainEqual(of("LOSS_NOT_FINITE"));
		expect(warnings.find(({ code }) => code === "LOSS_NOT_FINITE")?.hint).toContain("damaged");
		expect(warnings).toContainEqual(of("NOTHING_TRAINED"));
	});

	test("a loss far above ln(V): weights that are not those of this model", async () => {
		const rng = new Rng(1);
		const warnings = await warningsOf(
			(parameters) => {
				const table = parameters.get("wte.weight") as Float32Array;
				for (let i = 0; i < table.length; i++) table[i] = 4 * rng.normal();
			},
			{ learningRate: 1e-5 },
		);
		expect(warnings).toContainEqual(of("LOSS_ABOVE_CHANCE"));
		expect(warnings.find(({ code }) => code === "LOSS_ABOVE_CHANCE")?.hint).toContain("tokenizer");
	});

	test("a gradient that explodes: the learning rate", async () => {
		const warnings = await warningsOf(() => {}, {
			learningRate: 30,
			optimizer: "sgd",
			momentum: 0.9,
			maxGradNorm: 0,
			warmupSteps: 0,
		});
		const codes = warnings.map(({ code }) => code);
		expect(codes.some((code) => ["GRADIENT_EXPLODING", "LOSS_NOT_FINITE", "LOSS_ABOVE_CHANCE"].includes(code))).toBe(
			true,
		);
		for (const { hint } of warnings.filter(({ code }) => code !== "STEP_SKIPPED"))
			expect(hint).toContain("learning rate");
	});
});

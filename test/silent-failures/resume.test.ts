// Silent failures of resuming and of saving, from the field. That whole runs are exact is tested in test/resume; here each
// failure has its own situation.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { latestCheckpoint, openCheckpoint } from "../../src/checkpoint/checkpoints.ts";
import { evaluationBatches } from "../../src/data/batch-stream.ts";
import { prepareDialogues } from "../../src/data/dialogues.ts";
import { saveModel } from "../../src/models/model.ts";
import { finetune } from "../../src/recipes/finetune.ts";
import { loadReferencedModel } from "../../src/recipes/model-reference.ts";
import { TrainingEngine } from "../../src/train/engine.ts";
import {
	dialoguesFile,
	eventsOf,
	ofType,
	quick,
	resultHash,
	temporary,
	tinyModel,
	tinyModelDirectory,
} from "../support/tiny.ts";

let settings: Parameters<typeof finetune>[0];
let model: string;
beforeAll(async () => {
	model = await tinyModelDirectory();
	settings = { ...quick, model, data: [dialoguesFile()], saveSteps: 1, lrSchedule: "cosine", warmupSteps: 2 };
});

/** A run that is interrupted after a step and resumed: the events of both parts. */
async function inTwo(more: object, { at }: { at: number }) {
	const output = join(temporary(), "run");
	const controller = new AbortController();
	const events = [];
	for await (const event of finetune({ ...settings, ...more, output } as never, { signal: controller.signal })) {
		events.push(event);
		if (event.type === "step-done" && event.step === at) controller.abort();
	}
	expect(ofType(events, "run-done")).toEqual([]);
	const resumed = await eventsOf(finetune({ resume: output }));
	return { output, steps: [...ofType(events, "step-done"), ...ofType(resumed, "step-done")], resumed };
}

async function whole(more: object) {
	const output = join(temporary(), "whole");
	const events = await eventsOf(finetune({ ...settings, ...more, output } as never));
	return { output, steps: ofType(events, "step-done") };
}

test("the schedule is lost at resume (torchtune #1551): the learning rate goes on where it was", async () => {
	const rates = ({ steps }: { steps: { learningRate: number }[] }) => steps.map(({ learningRate }) => learningRate);
	const expected = rates(await whole({}));
	expect(rates(await inTwo({}, { at: 3 }))).toEqual(expected);
	expect(new Set(expected).size).toBeGreaterThan(4);
});

test("an adapter is discarded at resume (lerobot #3459), or cannot be resumed (LitGPT #2021)", async () => {
	const lora = { lora: true, loraRank: 4 };
	const { steps, output } = await inTwo(lora, { at: 3 });
	const uninterrupted = await whole(lora);
	const losses = (done: readonly { loss: number }[]) => done.map(({ loss }) => loss);
	expect(losses(steps)).toEqual(losses(uninterrupted.steps));
	expect(resultHash(output)).toBe(resultHash(uninterrupted.output));
});

test("an epoch is skipped when the run stops at its end (verl #7401)", async () => {
	// 9 training rows by 4: an epoch is three steps.
	const epochs = { steps: undefined, epochs: 3 };
	const { steps, output } = await inTwo(epochs, { at: 3 });
	expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
	expect(resultHash(output)).toBe(resultHash((await whole(epochs)).output));
});

test("an epoch is skipped when the run stops before the evaluation that ends it", async () => {
	const output = join(temporary(), "run");
	const epochs = { steps: undefined, epochs: 2 };
	const controller = new AbortController();
	const evaluated: number[] = [];
	const note = (events: readonly { type: string; step?: number }[]) => {
		for (const { type, step } of events) if (type === "evaluation-done") evaluated.push(step as number);
	};
	for await (const event of finetune({ ...settings, ...epochs, output } as never, { signal: controller.signal })) {
		note([event]);
		if (event.type === "step-done" && event.step === 3) controller.abort();
	}
	note(await eventsOf(finetune({ resume: output })));
	expect(evaluated).toEqual([0, 3, 6]);
});

test("moments of the optimizer are lost or belong to other weights: a checkpoint holds them under the weights' names", async () => {
	const { output } = await whole({ steps: 2, warmupSteps: 0 });
	const { latest } = await latestCheckpoint(output);
	const checkpoint = await openCheckpoint(latest?.path as string);
	const weights = [...(checkpoint.tensors.get("model.safetensors")?.tensors.keys() ?? [])];
	const states = [...(checkpoint.tensors.get("optimizer.safetensors")?.tensors.keys() ?? [])];
	expect(states.length).toBe(2 * weights.length);
	expect(checkpoint.state).toMatchObject({ optimizerSteps: 2 });
	await checkpoint.close();
});

test.each([
	["all weights", {}],
	["an adapter", { lora: true, loraRank: 4 }],
])(
	"healthy curves, but what is saved equals the start (trl #6700): %s, loaded, have the loss that was reported",
	async (_, more) => {
		const held = dialoguesFile([
			{ input: "May I pay later?", output: "Yes, within a month." },
			{ input: "Is it open on Sunday?", output: "From ten to four." },
		]);
		const output = join(temporary(), "run");
		const options = { ...settings, validation: held, output, steps: 20, learningRate: 0.02, ...more };
		const events = await eventsOf(finetune(options as never));
		const [done] = ofType(events, "run-done");
		const { validationLossBefore, validationLossAfter } = done?.report ?? {};
		expect(validationLossAfter).toBeLessThan((validationLossBefore as number) - 0.05);

		const saved = await loadReferencedModel(output);
		const { store } = await prepareDialogues({ files: [held], template: saved.template, maxLength: 65, seed: 0 });
		const { architecture, config, parameters } = saved;
		const engine = await TrainingEngine.create({
			architecture,
			config,
			parameters,
			trainable: new Set(),
			maxRows: 500,
			threads: 1,
		});
		const { loss } = await engine.evaluate(evaluationBatches({ store, tokenBudget: 512 }));
		expect(loss).toBeCloseTo(validationLossAfter as number, 4);
		await engine.dispose();
	},
);

test("a validation loss that is not a number: the run is saved, resumed to the same bytes, and the report says so", async () => {
	const broken = tinyModel();
	// Logits of infinity minus infinity.
	broken.parameters.get("ln_f.weight")?.fill(3e38);
	const directory = join(temporary(), "broken");
	await saveModel(directory, broken);
	const more = { model: directory, evalSteps: 2, keep: "best", lrSchedule: "constant", warmupSteps: 0 };
	const { output, resumed } = await inTwo(more, { at: 3 });
	expect(ofType(resumed, "evaluation-done").map(({ loss }) => loss)).toEqual([Number.NaN, Number.NaN]);
	const { report } = ofType(resumed, "run-done")[0] as NonNullable<ReturnType<typeof ofType<"run-done">>[0]>;
	expect(report).toMatchObject({ validationLossBefore: Number.NaN, validationLossAfter: Number.NaN, skippedSteps: 6 });
	expect(report.advice?.[0]).toContain("learning rate");
	expect(resultHash(output)).toBe(resultHash((await whole(more)).output));
	const written = JSON.parse(readFileSync(join(output, "report.json"), "utf8"));
	expect(written).toMatchObject({ validationLossAfter: "NaN" });
	expect(readFileSync(join(output, "report.md"), "utf8")).toContain("| validation loss after | NaN |");
});

test("every trained tensor is another after training, and every frozen one is the same", async () => {
	const output = join(temporary(), "run");
	await eventsOf(finetune({ ...settings, output, freeze: ["h.0", "wpe"] } as never));
	const [before, after] = [await loadReferencedModel(model), await loadReferencedModel(output)];
	for (const [name, data] of after.parameters) {
		const frozen = name.startsWith("h.0") || name.startsWith("wpe");
		const start = before.parameters.get(name) as Float32Array;
		expect(
			data.every((value, i) => value === start[i]),
			name,
		).toBe(frozen);
	}
});

// Going on with a run under other settings or other data: refused by name, or allowed by name and written down. And what
// a resumed run finds when its directory is not as it was left.
import { appendFileSync, existsSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { listCheckpoints } from "../../src/checkpoint/checkpoints.ts";
import { readManifest } from "../../src/checkpoint/manifest.ts";
import { readRunEvents } from "../../src/checkpoint/run-directory.ts";
import { finetune } from "../../src/recipes/finetune.ts";
import type { finetuneOptions } from "../../src/recipes/options/jobs.ts";
import type { OptionsInput } from "../../src/recipes/options/table.ts";
import { pretrain } from "../../src/recipes/pretrain.ts";
import {
	checkpointSteps,
	dialoguesFile,
	eventsOf,
	ofType,
	quick,
	resultHash,
	rows,
	sha256,
	temporary,
	textFile,
	tinyModelDirectory,
} from "../support/tiny.ts";

type Options = OptionsInput<typeof finetuneOptions>;

let settings: Options & { data: string[] };
let output: string;
beforeEach(async () => {
	output = join(temporary(), "run");
	settings = { ...quick, model: await tinyModelDirectory(), data: [dialoguesFile()], output, saveSteps: 1 };
	await stopAfter(3);
});

/** Begins the run and interrupts it after some steps. */
async function stopAfter(steps: number, options: Options = settings) {
	const controller = new AbortController();
	for await (const event of finetune(options, { signal: controller.signal })) {
		if (event.type === "step-done" && event.step === steps) controller.abort();
	}
}

const resume = (more: Options) => eventsOf(finetune({ resume: output, ...more }));

describe("settings", () => {
	test("that differ are refused by name, with what they were", async () => {
		await expect(resume({ learningRate: 0.5 })).rejects.toMatchObject({
			code: "RESUME_CHANGED",
			where: "--learning-rate",
			expected: "0.01",
			found: "0.5",
			hint: expect.stringContaining("--allow-change learning-rate"),
		});
		await expect(resume({ seed: 8, batchSize: 2 })).rejects.toMatchObject({
			message: expect.stringMatching(/batch-size.*seed|seed.*batch-size/),
		});
		// Nothing happened to the run.
		expect(checkpointSteps(output).at(-1)).toBe(3);
		expect((await readManifest(output)).changes).toEqual([]);
	});

	test("that are the same, or were not given, are those of the run", async () => {
		const whole = join(temporary(), "whole");
		await eventsOf(finetune({ ...settings, output: whole }));
		await resume({ learningRate: quick.learningRate });
		expect(resultHash(output)).toBe(resultHash(whole));
	});

	test("that may differ by name are used, and the manifest says so", async () => {
		await resume({ learningRate: 0.02, steps: 8, allowChange: ["learning-rate", "steps"] });
		const { changes, options } = await readManifest(output);
		expect(changes).toMatchObject([
			{ step: 3, option: "steps", from: 6, to: 8 },
			{ step: 3, option: "learningRate", from: 0.01, to: 0.02 },
		]);
		expect(options.learningRate).toEqual({ value: 0.02, origin: "option" });
		const steps = (await readRunEvents(output)).filter(({ type }) => type === "step-done");
		expect(steps.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
		expect(Math.max(...steps.slice(3).map(({ learningRate }) => learningRate as number))).toBeGreaterThan(0.01);
		// From now on these are the run's settings.
		await resume({ learningRate: 0.02 });
	});

	test("the order of the data may change knowingly: its epoch begins again", async () => {
		for (const changed of [{ batchSize: 2 }, { seed: 8 }]) {
			const [name] = Object.keys(changed) as [string];
			const events = await resume({ ...changed, allowChange: [name] });
			expect(ofType(events, "run-done").length).toBe(1);
		}
	});

	test.each([
		[{ optimizer: "sgd" }, "optimizer"],
		[{ freeze: ["h.0"] }, "freeze"],
	] as const)("that the saved state depends on cannot be allowed: %o", async (changed, name) => {
		await expect(resume({ ...(changed as Options), allowChange: [name] })).rejects.toMatchObject({
			code: "RESUME_CHANGED",
			where: `--${name}`,
			hint: expect.stringContaining("new run"),
		});
	});

	test("another job is named", async () => {
		await expect(eventsOf(pretrain({ resume: output, data: [textFile()] }))).rejects.toMatchObject({
			code: "RESUME_OTHER_JOB",
			hint: expect.stringContaining("attune finetune"),
		});
	});
});

describe("data", () => {
	test("with other bytes is refused, or allowed and recorded", async () => {
		const [file] = settings.data as [string];
		appendFileSync(file, `${JSON.stringify({ input: "One more?", output: "Yes." })}\n`);
		await expect(resume({})).rejects.toMatchObject({
			code: "RESUME_CHANGED",
			where: file,
			hint: expect.stringContaining("--allow-change data"),
		});
		const before = (await readManifest(output)).data[0]?.sha256;
		expect(ofType(await resume({ allowChange: ["data"] }), "run-done").length).toBe(1);
		const { changes, data } = await readManifest(output);
		expect(changes).toMatchObject([{ step: 3, option: "data", from: [{ sha256: before }] }]);
		expect(data[0]?.sha256).not.toBe(before);
		// The next time this is the data of the run.
		await resume({});
	});

	test("of which the same files come in another order is other data", async () => {
		const [a, b] = [dialoguesFile(rows.slice(0, 6)), dialoguesFile(rows.slice(6))];
		output = join(temporary(), "two");
		settings = { ...settings, output, data: [a, b] };
		await stopAfter(2);
		await expect(resume({ data: [b, a] })).rejects.toMatchObject({ code: "RESUME_CHANGED", where: "--data" });
	});

	test("another base model is refused", async () => {
		const other = await tinyModelDirectory({ seed: 5 });
		await expect(resume({ model: other })).rejects.toMatchObject({ code: "RESUME_CHANGED", where: "--model" });
		await expect(resume({ model: other, allowChange: [] })).rejects.toMatchObject({ code: "RESUME_CHANGED" });
	});
});

describe("the run directory", () => {
	test("a damaged checkpoint is named and passed over; the result is the same", async () => {
		const whole = join(temporary(), "whole");
		await eventsOf(finetune({ ...settings, output: whole }));
		const last = (await listCheckpoints(output)).at(-1)?.path as string;
		truncateSync(join(last, "optimizer.safetensors"), 1000);
		const events = await resume({});
		expect(ofType(events, "warning")).toMatchObject([
			{ code: "CHECKPOINT_DAMAGED", message: expect.stringContaining("optimizer.safetensors") },
		]);
		expect(ofType(events, "step-done")[0]?.step).toBeLessThan(4);
		expect(resultHash(output)).toBe(resultHash(whole));
	});

	test("without any checkpoint it begins anew, and its log, too", async () => {
		rmSync(join(output, "checkpoints"), { recursive: true });
		await resume({});
		const events = await readRunEvents(output);
		expect(events.filter(({ type }) => type === "step-done").map(({ step }) => step)).toEqual([1, 2, 3, 4, 5, 6]);
		expect(events.filter(({ type, step }) => type === "evaluation-done" && step === 0).length).toBe(1);
	});

	test("that is none of ours is refused and left as it is", async () => {
		const foreign = temporary();
		writeFileSync(join(foreign, "notes.txt"), "mine");
		await expect(eventsOf(finetune({ resume: foreign }))).rejects.toMatchObject({ code: "NOT_A_RUN" });
		expect(readdirSync(foreign)).toEqual(["notes.txt"]);
	});

	test("resume auto starts a run where there is none, and needs to know where", async () => {
		const fresh = join(temporary(), "fresh");
		await eventsOf(finetune({ ...settings, output: fresh, resume: "auto", steps: 2 }));
		expect(existsSync(join(fresh, "model", "model.safetensors"))).toBe(true);
		await expect(eventsOf(finetune({ data: settings.data, resume: "auto" }))).rejects.toMatchObject({
			code: "OPTION_MISSING",
		});
	});

	test("a finished run that is resumed ends with the same bytes and takes no step", async () => {
		await resume({});
		const before = resultHash(output);
		const events = await resume({});
		expect(ofType(events, "step-done")).toEqual([]);
		expect(resultHash(output)).toBe(before);
	});
});

describe("checkpoints", () => {
	test("the limit removes the oldest, never the best nor the last", async () => {
		const directory = join(temporary(), "limited");
		// A rate so high that the loss rises soon: an early evaluation is the best.
		const events = await eventsOf(
			finetune({ ...settings, output: directory, learningRate: 0.3, steps: 10, evalSteps: 1, saveTotalLimit: 1 }),
		);
		const losses = ofType(events, "evaluation-done").filter(({ step }) => step > 0);
		const best = losses.reduce((a, b) => (b.loss < a.loss ? b : a)).step;
		expect(best).toBeLessThan(10);
		expect(checkpointSteps(directory)).toEqual([best, 10]);
		expect(ofType(events, "run-done")[0]?.report).toMatchObject({ bestStep: best });
		// The result is the best, byte for byte; with --keep last it is the last.
		const weights = (step: number) =>
			join(directory, "checkpoints", `step-${String(step).padStart(6, "0")}`, "model.safetensors");
		expect(resultHash(directory)).toBe(sha256(weights(best)));
		const last = join(temporary(), "last");
		const kept = await eventsOf(finetune({ ...settings, output: last, learningRate: 0.3, steps: 10, keep: "last" }));
		expect(resultHash(last)).toBe(sha256(weights(10)));
		expect(ofType(kept, "run-done")[0]?.report.validationLossAfter).toBe(ofType(kept, "evaluation-done").at(-1)?.loss);
	});

	test("three of ten stay with a limit of three", async () => {
		const directory = join(temporary(), "three");
		await eventsOf(finetune({ ...settings, output: directory, steps: 10, validation: 0, saveTotalLimit: 3 }));
		expect(checkpointSteps(directory)).toEqual([8, 9, 10]);
	});
});

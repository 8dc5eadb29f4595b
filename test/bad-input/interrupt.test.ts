// Ctrl-C in the middle of a step: a checkpoint of the last whole step is written, the process ends with 130, and the run
// goes on from there to the same bytes.
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { latestCheckpoint } from "../../src/checkpoint/checkpoints.ts";
import { finetune } from "../../src/recipes/finetune.ts";
import { flags } from "../support/grid.ts";
import { buildProgram, type Program } from "../support/program.ts";
import {
	checkpointSteps,
	dialoguesFile,
	eventsOf,
	leftovers,
	quick,
	resultHash,
	temporary,
	tinyModelDirectory,
} from "../support/tiny.ts";

let program: Program;
let settings: { model: string; data: string[] };
beforeAll(async () => {
	program = await buildProgram();
	// Steps long enough to be in the middle of one.
	settings = { model: await tinyModelDirectory({ channels: 64 }), data: [dialoguesFile()] };
});
afterAll(() => program?.remove());

test.each(["SIGINT", "SIGTERM"] as const)("%s in the middle of a step", async (signal) => {
	const variant = { recipe: "finetune" as const, settings: { ...settings, ...quick, accumulate: 3, steps: 12 } };
	const output = join(temporary(), "run");
	let last = 0;
	const { code, err } = await program.run(flags(variant, { output, json: true }), {
		onEvent: ({ type, step }, child) => {
			if (type !== "step-done") return;
			last = step as number;
			// A few milliseconds into the next step.
			if (step === 3) setTimeout(() => child.kill(signal), 4);
		},
	});
	expect(code).toBe(130);
	expect(err).toContain("Interrupted");
	expect(err).not.toMatch(/^ +at /m);
	// The checkpoint is of the last step that was told, and of no other.
	expect(checkpointSteps(output).at(-1)).toBe(last);
	expect((await latestCheckpoint(output)).damaged).toEqual([]);
	expect(leftovers(output)).toEqual([]);
	const resumed = await program.run(["finetune", "--resume", output]);
	expect(resumed.code, resumed.err).toBe(0);
	const whole = join(temporary(), "whole");
	await eventsOf(finetune({ ...variant.settings, output: whole }));
	expect(resultHash(output)).toBe(resultHash(whole));
});

// A process that does nothing but write a run, to be killed: node run-until-killed.mjs DIRECTORY. It creates the run or
// goes on from its latest checkpoint; every number it saves is the step.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { CheckpointWriter } from "../checkpoint-writer.ts";
import { latestCheckpoint, pruneCheckpoints } from "../checkpoints.ts";
import { createRun, openRun } from "../run-directory.ts";
import { contentOfStep, manifestForTests } from "./content.ts";

const path = process.argv[2] as string;
const run = existsSync(join(path, "manifest.json"))
	? await openRun(path)
	: await createRun(path, { manifest: manifestForTests });
const start = (await latestCheckpoint(path)).latest?.step ?? 0;
await run.rewindTo({ step: start });
const writer = new CheckpointWriter({
	runDirectory: path,
	onSaved: async ({ step }) => {
		run.appendEvent({ type: "checkpoint-saved", step });
		await pruneCheckpoints(path, { saveTotalLimit: 2 });
	},
});
process.stdout.write("writing\n");
for (let step = start + 1; ; step++) {
	run.appendEvent({ type: "step-done", step, loss: 1 / step });
	await writer.save(contentOfStep(step));
}

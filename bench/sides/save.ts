// How long training waits for a checkpoint of GPT-2 124M with AdamW's states, and how long the disk takes behind it.

import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CheckpointWriter } from "../../src/checkpoint/checkpoint-writer.ts";
import { gpt2Parts, option, report } from "../gpt2.ts";

const runDirectory = mkdtempSync(join(option("folder", "."), "attune-bench-"));
const { parameters } = gpt2Parts();
const entries = [...parameters].map(([name, data]) => ({ name, shape: [data.length], data }));
const state = (moment: string) =>
	entries.map(({ name, shape, data }) => ({
		name: `${name}.${moment}`,
		shape,
		data: new Float32Array(data.length).fill(1),
	}));
const tensors = { "model.safetensors": entries, "optimizer.safetensors": [...state("m"), ...state("v")] };
const writer = new CheckpointWriter({ runDirectory });
await writer.reserve(tensors);
for (let step = 1; step <= 3; step++) {
	const start = performance.now();
	await writer.save({ step, tensors, state: { step } });
	const pauseSeconds = (performance.now() - start) / 1000;
	await writer.flush();
	report({ pauseSeconds, writeSeconds: (performance.now() - start) / 1000 - pauseSeconds });
}
rmSync(runDirectory, { recursive: true });

// A character-level model, pretrained by the recipe with everything that belongs to it: data, evaluation, checkpoint.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pretrain } from "../../src/recipes/pretrain.ts";
import { median } from "../compare.ts";
import { option, peakBytes, report } from "../gpt2.ts";

const steps = Number(option("steps", "2000"));
const output = mkdtempSync(join(tmpdir(), "attune-bench-"));
const start = performance.now();
const ends: number[] = [];
let validationLoss = Number.NaN;
const events = pretrain({
	data: [option("data", "")],
	tokenizer: "characters",
	layers: 4,
	heads: 4,
	channels: 128,
	blockSize: 64,
	batchSize: 12,
	steps,
	evalSteps: steps,
	validation: 0.1,
	learningRate: 1e-3,
	beta2: 0.99,
	weightDecay: 0.1,
	warmupSteps: Math.min(100, steps >> 1),
	minLearningRateRatio: 0.1,
	output,
	overwrite: true,
});
for await (const event of events) {
	if (event.type === "step-done") ends.push(performance.now());
	if (event.type === "evaluation-done") validationLoss = event.loss;
}
const seconds = ends.slice(1).map((end, i) => (end - (ends[i] as number)) / 1000);
report({
	medianSeconds: median(seconds),
	totalSeconds: (performance.now() - start) / 1000,
	validationLoss,
	peakBytes: peakBytes(),
});
rmSync(output, { recursive: true });

// One training step of GPT-2 124M as the engine and the updater do it: forward, backward, norm of the gradients, AdamW.

import { ParameterUpdater } from "../../src/optim/parameter-updater.ts";
import { TrainingEngine } from "../../src/train/engine.ts";
import { median } from "../compare.ts";
import { gpt2Parts, option, peakBytes, report } from "../gpt2.ts";

const [batch, time, steps] = [8, 128, Number(option("steps", "6"))];
const n = batch * time;
const { architecture, config, parameters } = gpt2Parts();
const trainable = new Set(parameters.keys());
const engine = await TrainingEngine.create({ architecture, config, parameters, trainable, maxRows: n });
const updater = await ParameterUpdater.create(
	[...parameters].map(([name, data]) => ({
		name,
		data,
		gradient: engine.gradients.get(name) as Float32Array,
		decay: true,
	})),
	{ optimizer: "adamw" },
);
const token = (i: number) => (i * 7919) % 50257;
const microBatch = {
	batch,
	time,
	ids: Int32Array.from({ length: n }, (_, i) => token(i)),
	lengths: new Int32Array(batch).fill(time),
	rows: Int32Array.from({ length: n }, (_, i) => i),
	labels: Int32Array.from({ length: n }, (_, i) => token(i + 1)),
	tokens: n,
};
const seconds: number[] = [];
for (let step = 0; step < steps; step++) {
	const start = performance.now();
	engine.beginStep();
	await engine.microStep(microBatch, { tokenWeight: 1 / n });
	await updater.gradientNorm();
	await updater.step({ learningRate: 1e-5 });
	seconds.push((performance.now() - start) / 1000);
}
// The first steps pay for cold memory, on both sides.
const medianSeconds = median(seconds.slice(Math.min(2, steps - 1)));
report({ medianSeconds, tokensPerSecond: n / medianSeconds, peakBytes: peakBytes() });
updater.dispose();
await engine.dispose();

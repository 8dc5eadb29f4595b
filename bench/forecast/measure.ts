// One process, one setting: builds a GPT-2 of random weights and trains it for a few steps with all that a run has
// (engine, optimizer, evaluation, the checkpoint's snapshot), then prints its peak memory beside the forecast.

import { readFileSync } from "node:fs";
import { CheckpointWriter } from "../../src/checkpoint/checkpoint-writer.ts";
import type { MicroBatch } from "../../src/data/index.ts";
import { adapterParameters, createAdapter, isAdapted } from "../../src/models/adapter.ts";
import { architectureFor } from "../../src/models/architectures.ts";
import { type Model, parameterEntries, sizeOf } from "../../src/models/model.ts";
import { ParameterUpdater } from "../../src/optim/parameter-updater.ts";
import "../../src/recipes/finetune.ts";
import { forecastTraining, secondsOf, type TrainingShape } from "../../src/recipes/forecast.ts";
import { machineSpeed } from "../../src/recipes/machine.ts";
import { TrainingEngine } from "../../src/train/engine.ts";
import { Rng } from "../../src/util/rng.ts";

interface Setting {
	layers: number;
	channels: number;
	vocabulary: number;
	/** Of the micro-batches of a step, one after the other. */
	batch: number[];
	time: number[];
	/** Part of the positions that is labelled. */
	labelled: number;
	lora?: boolean;
	recompute?: boolean;
	optimizer?: "adamw" | "sgd";
	evaluates?: boolean;
	/** Whether a snapshot is taken for what is written in the background. */
	snapshot?: boolean;
}

const setting = JSON.parse(process.argv[2] as string) as Setting;
const { layers, channels, vocabulary, labelled, lora = false, recompute = false, optimizer = "adamw" } = setting;
const { evaluates = true, snapshot = true } = setting;
const architecture = architectureFor({ model_type: "gpt2" });
const config = architecture.parseConfig({
	model_type: "gpt2",
	vocab_size: vocabulary,
	n_embd: channels,
	n_layer: layers,
	n_head: channels / 64,
});
const base = new Map<string, Float32Array>();
for (const spec of architecture.parameters(config)) {
	const data = new Float32Array(sizeOf(spec));
	let state = data.length;
	for (let i = 0; i < data.length; i++) {
		state = (Math.imul(state, 1664525) + 1013904223) | 0;
		data[i] = "constant" in spec.initial ? spec.initial.constant : state * 1e-11;
	}
	base.set(spec.name, data);
}
// Only the vocabulary's size is asked of the tokenizer here.
const whole = { architecture, config, parameters: base, tokenizer: { size: vocabulary }, firstNewToken: vocabulary };
const settings = { rank: 8, alpha: 16, targets: ["c_attn", "c_proj", "c_fc"], dropout: 0, rsLora: false, dora: false };
const plain = whole as unknown as Model;
const model = lora ? createAdapter(plain, { ...settings, rng: new Rng([0]) }) : plain;
const trainable = isAdapted(model) ? adapterParameters(model) : new Set(base.keys());
const sizes = setting.batch.map((batch, i) => {
	const time = setting.time[i] as number;
	return { batch, time, rows: Math.round(batch * time * labelled) };
});
const maxRows = Math.max(...sizes.map(({ rows }) => rows));
const shape: TrainingShape = {
	architecture: model.architecture,
	config,
	trainable,
	optimizer,
	momentum: 0,
	accumulate: true,
	recompute,
	evaluates,
	saves: snapshot,
	maxRows,
	microBatches: sizes,
	sampled: { steps: 1, examples: setting.batch.reduce((a, b) => a + b, 0) },
};
const forecast = forecastTraining(shape);
const { peakBytes, memory, work } = forecast;
if (process.argv[3] === "forecast") {
	console.log(JSON.stringify({ forecast: peakBytes, memory }));
	process.exit();
}
const speed = await machineSpeed();

const engine = await TrainingEngine.create({
	architecture: model.architecture,
	config,
	parameters: model.parameters,
	trainable,
	maxRows,
	accumulate: true,
	recompute,
});
const trained = [...engine.gradients].map(([name, gradient]) => ({
	name,
	data: model.parameters.get(name) as Float32Array,
	gradient,
	decay: true,
}));
const updater = await ParameterUpdater.create(trained, { optimizer });
const batches = sizes.map(({ batch, time, rows: count }): MicroBatch => {
	const rows = Int32Array.from({ length: count }, (_, i) => Math.floor(i / labelled));
	return {
		ids: Int32Array.from({ length: batch * time }, (_, i) => (i * 7919) % vocabulary),
		batch,
		time,
		lengths: new Int32Array(batch).fill(time),
		rows,
		labels: rows.map((row) => (row * 31) % vocabulary),
		tokens: batch * time,
	};
});
if (evaluates) await engine.evaluate(batches);
const writer = new CheckpointWriter({ runDirectory: "/nowhere", write: async () => "" });
const parameters = new Map(trained.map(({ name, data }) => [name, data]));
if (snapshot)
	await writer.reserve({
		model: parameterEntries(model.architecture, { config, parameters }),
		optimizer: [...updater.state().tensors].map(([name, data]) => ({ name, shape: [data.length], data })),
	});
let seconds = 0;
for (let step = 0; step < 2; step++) {
	const start = performance.now();
	engine.beginStep();
	for (const batch of batches) await engine.microStep(batch, { tokenWeight: 1 / maxRows });
	await updater.gradientNorm();
	await updater.step({ learningRate: 1e-5 });
	seconds = (performance.now() - start) / 1000;
}
const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]) * 1024;
console.log(JSON.stringify({ peak, forecast: peakBytes, memory, seconds, forecastSeconds: secondsOf(work, speed) }));

// Fine-tuning on dialogues as the recipe does it (prompt masked, batches without padding that could be spared), without
// its files: supervised tokens in a second over the first steps, which pay for cold memory on both sides. All weights, or
// with --lora RANK an adapter on all linear layers.

import { BatchStream, prepareDialogues } from "../../src/data/index.ts";
import { ParameterUpdater } from "../../src/optim/parameter-updater.ts";
import { microBatchCut, mostSupervised } from "../../src/recipes/finetune.ts";
import { trainedPart } from "../../src/recipes/trained-part.ts";
import { TrainingEngine } from "../../src/train/engine.ts";
import { gpt2Model, option, peakBytes, report } from "../gpt2.ts";

const [batchSize, steps] = [8, Number(option("steps", "6"))];
const rank = Number(option("lora", "0"));
const { model, trainable } = trainedPart(gpt2Model(), {
	freeze: undefined,
	seed: 1,
	lora: rank > 0,
	loraRank: rank,
	loraAlpha: 2 * rank,
	loraTargets: undefined,
	loraDropout: 0,
	loraRs: false,
	loraDora: false,
});
const { store, train } = await prepareDialogues({
	files: [option("data", "")],
	columns: { input: "instruction", output: "response" },
	template: model.template,
	maxLength: 513,
	overflow: "split",
	seed: 1,
});
const longest = train.reduce((most, index) => Math.max(most, store.timeOf(index)), 0);
const cut = microBatchCut({ batchSize, batchRamp: undefined, tokenBudget: undefined }, longest);
const stream = new BatchStream({ store, indices: train, seed: 1, groupSize: batchSize, ...cut });
const engine = await TrainingEngine.create({
	...model,
	trainable,
	maxRows: Math.min(cut.tokenBudget, mostSupervised(train, { store, count: batchSize })),
	accumulate: true,
});
const updater = await ParameterUpdater.create(
	[...engine.gradients].map(([name, gradient]) => ({
		name,
		data: model.parameters.get(name) as Float32Array,
		gradient,
		decay: true,
	})),
	{ optimizer: "adamw" },
);
let tokens = 0;
const start = performance.now();
for (let step = 0; step < steps; step++) {
	const { microBatches, supervisedTokens } = stream.next(batchSize);
	engine.beginStep();
	for (const microBatch of microBatches) await engine.microStep(microBatch, { tokenWeight: 1 / supervisedTokens });
	await updater.gradientNorm();
	await updater.step({ learningRate: 1e-5 });
	tokens += supervisedTokens;
}
const seconds = (performance.now() - start) / 1000;
report({ supervisedTokensPerSecond: tokens / seconds, peakBytes: peakBytes() });
updater.dispose();
await engine.dispose();
store.dispose();

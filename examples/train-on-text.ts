// The example of the article this package comes from: load GPT-2, cut a text into blocks of 128 tokens, train three
// epochs in batches of 8, keep two checkpoints. Then let the model go on with a line of its own.
//
//     node --experimental-strip-types examples/train-on-text.ts my.txt gpt2
//
// after `npm run build`, with Node 22 or later. Any Hugging Face id or directory will do; "builtin" needs no download.

import { Decoder, generateText, loadModel, pretrain } from "attune";

const [data = "README.md", model = "builtin"] = process.argv.slice(2);

const training = pretrain({
	model,
	data: [data],
	blockSize: 128,
	epochs: 3,
	batchSize: 8,
	saveSteps: 10_000,
	saveTotalLimit: 2,
	output: "runs/on-text",
	overwrite: true,
});
for await (const event of training) {
	if (event.type === "step-done") console.log(`step ${event.step}/${event.steps}  loss ${event.loss.toFixed(3)}`);
	if (event.type === "evaluation-done") console.log(`validation loss ${event.loss.toFixed(3)}`);
}

const trained = await loadModel("runs/on-text");
const decoder = await Decoder.create(trained);
const ids = trained.tokenizer.encode("The kettle");
for await (const event of generateText(decoder, trained, {
	ids,
	maxTokens: 40,
	stopIds: [],
	seed: 1,
	temperature: 0.8,
})) {
	if (event.type === "text-generated") process.stdout.write(event.text);
}
process.stdout.write("\n");
decoder.dispose();

// Fine-tune on dialogues from code, then ask: the same functions that the command line calls.
// After `npm run build`: node --experimental-strip-types examples/finetune-and-ask.ts (Node 22 or later)

import { chat, completed, finetune } from "attune";

const run = await completed(
	finetune({
		model: "builtin",
		data: ["examples/customer-service/train.en.json"],
		validation: "examples/customer-service/held-out.jsonl",
		steps: 40,
		batchSize: 8,
		learningRate: 1e-3,
		output: "runs/from-code",
		overwrite: true,
	}),
);
console.log(
	`validation loss ${run?.report.validationLossBefore?.toFixed(2)} -> ${run?.report.validationLossAfter?.toFixed(2)}`,
);

const conversation = await chat({ directory: "runs/from-code", temperature: 0 });
for await (const piece of conversation.ask("How long does delivery take?", { signal: new AbortController().signal })) {
	process.stdout.write(piece);
}
process.stdout.write("\n");
await conversation[Symbol.asyncDispose]();

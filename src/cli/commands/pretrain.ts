// `attune pretrain`: training from random weights.
import { pretrainOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const pretrainCommand = eventCommand({
	recipe: "pretrain",
	words: "pretrain",
	summary: "train a new model from random weights on plain text",
	table: pretrainOptions,
	examples: [
		"attune pretrain --data book.txt --steps 2000 --output runs/small",
		"attune pretrain --data book.txt --tokenizer characters --output runs/tiny",
	],
});

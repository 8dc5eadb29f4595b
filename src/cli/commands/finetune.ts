// `attune finetune`: training from a pretrained model, resumed or new.
import { finetuneOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const finetuneCommand = eventCommand({
	recipe: "finetune",
	words: "finetune",
	summary: "teach a pretrained model from conversations",
	table: finetuneOptions,
	examples: [
		"attune finetune --data dialogues.jsonl --output runs/mine",
		"attune finetune --model gpt2 --data dialogues.csv --lora --output runs/lora",
		"attune finetune --resume runs/mine",
	],
});

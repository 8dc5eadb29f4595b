// `attune plan`: the forecast of a training run.
import { planOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const planCommand = eventCommand({
	recipe: "plan",
	words: "plan",
	summary: "tell whether a training run fits this machine and how long it takes",
	table: planOptions,
	examples: [
		"attune plan --model gpt2 --data dialogues.jsonl --batch-size 4",
		"attune plan --model gpt2-medium --lora",
	],
});

// `attune search`: the best settings, and the best model, within a budget of minutes.
import { searchOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const searchCommand = eventCommand({
	recipe: "search",
	words: "search",
	summary: "find the best settings for these data, and the model they give, within a budget of minutes",
	table: searchOptions,
	examples: [
		"attune search --data dialogues.jsonl --budget 30m --output runs/search",
		"attune search --data dialogues.jsonl --lora --trials 40 --output runs/lora",
		"attune search --resume runs/search",
	],
});

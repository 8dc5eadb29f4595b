// `attune data check`: the row ledger of a file, and its rows as the model sees them.
import { dataCheckOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const dataCheckCommand = eventCommand({
	recipe: "dataCheck",
	words: "data check",
	summary: "say what a file holds, what each row becomes and what would be lost",
	table: dataCheckOptions,
	examples: [
		"attune data check dialogues.jsonl",
		"attune data check dialogues.csv --columns input=question,output=reply --show 3",
	],
});

// `attune evaluate`: measures of a model, alone or beside another.
import { evaluateOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const evaluateCommand = eventCommand({
	recipe: "evaluate",
	words: "evaluate",
	summary: "measure a model on held-out conversations",
	table: evaluateOptions,
	examples: ["attune evaluate runs/mine --data held-out.jsonl --baseline builtin"],
});

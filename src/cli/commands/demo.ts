// `attune demo`: the first thing to try.
import { demoOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const demoCommand = eventCommand({
	recipe: "demo",
	words: "demo",
	summary: "fine-tune the built-in model on an example, in two minutes",
	table: demoOptions,
	examples: ["attune demo"],
});

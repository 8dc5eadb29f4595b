// `attune generate`: goes on with a text.
import { text } from "node:stream/consumers";
import { generateOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const generateCommand = eventCommand({
	recipe: "generate",
	words: "generate",
	summary: "complete a text",
	table: generateOptions,
	examples: [
		'attune generate runs/mine --prompt "Dear customer," --temperature 0.5',
		"cat letter.txt | attune generate builtin --prompt -",
	],
	prepare: async (flags, { stdin }) => (flags.prompt === "-" ? { ...flags, prompt: await text(stdin) } : flags),
});

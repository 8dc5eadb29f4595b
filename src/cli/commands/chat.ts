// `attune chat`: a conversation in the terminal, or one question a line from a pipe.
import { chatOptions } from "../../recipes/options/jobs.ts";
import { resolveOptions } from "../../recipes/options/resolve.ts";
import { runChat } from "../chat/repl.ts";
import { type Command, gather } from "../command.ts";
import { withInterrupt } from "../interrupt.ts";
import type { Recipes } from "../recipes.ts";
import { exitCodes } from "../terminal.ts";

export const chatCommand: Command = {
	recipe: "chat",
	words: "chat",
	summary: "hold a conversation with a model",
	table: chatOptions,
	examples: ["attune chat runs/mine", 'attune chat builtin --system "You are a polite clerk." --temperature 0.5'],
	run: async (invocation) => {
		const { options, origins } = await gather(chatOptions, invocation);
		resolveOptions(chatOptions, { options, origins });
		const open = (await invocation.recipes.chat?.()) as Recipes["chat"];
		const { terminal, frame } = invocation;
		const session = await withInterrupt((signal) => open(options, { signal, origins }), {
			source: terminal.signals,
			onAbort: () => terminal.signals.exit(exitCodes.interrupted),
		});
		try {
			return await runChat(session, { terminal, json: frame.json, quiet: frame.quiet });
		} finally {
			await session[Symbol.asyncDispose]();
		}
	},
};

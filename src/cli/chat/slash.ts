// The commands inside a chat, one row each: what they take, what they do. They act on the session and say what happened.
import { writeFile } from "node:fs/promises";
import type { ChatSession } from "../../recipes/options/recipe.ts";
import { closest, UserError } from "../../util/errors.ts";
import { fileError } from "../../util/file-errors.ts";

interface SlashCommand {
	takes: string;
	help: string;
	/** What to tell; undefined ends the chat. */
	run(session: ChatSession, rest: string): Promise<string | undefined> | string | undefined;
}

export const slashCommands: Readonly<Record<string, SlashCommand>> = {
	reset: {
		takes: "",
		help: "forget the conversation",
		run: (session) => {
			session.reset();
			return "The conversation starts anew.";
		},
	},
	system: {
		takes: "TEXT",
		help: "instructions put before the conversation; none without TEXT",
		run: (session, rest) => {
			session.setSystem(rest === "" ? undefined : rest);
			return rest === "" ? "No system text." : "System text set.";
		},
	},
	prefix: {
		takes: "TEXT",
		help: "a style or topic put before each question; none without TEXT",
		run: (session, rest) => {
			session.setPrefix(rest === "" ? undefined : rest);
			return rest === "" ? "No prefix." : "Prefix set.";
		},
	},
	save: {
		takes: "FILE",
		help: "write the conversation as a line of JSON, ready to train on",
		run: (session, rest) => save(session, rest),
	},
	help: {
		takes: "",
		help: "this list",
		run: () =>
			Object.entries(slashCommands)
				.map(([name, { takes, help }]) => `${`/${name} ${takes}`.padEnd(15)} ${help}`)
				.concat("A question that begins with / is typed with two: //etc is what?")
				.join("\n"),
	},
	quit: { takes: "", help: "leave (or Ctrl-D)", run: () => undefined },
};

/** `line` begins with a slash. Throws UserErrors: CHAT_COMMAND_UNKNOWN, CHAT_SAVE_FAILED, FILE_EXISTS and its kin. */
export async function runSlashCommand(line: string, session: ChatSession): Promise<string | undefined> {
	const [, name = "", rest = ""] = /^\/(\S*)\s*([\s\S]*)$/.exec(line) ?? [];
	const command = Object.hasOwn(slashCommands, name) ? slashCommands[name] : undefined;
	if (command === undefined) {
		const nearest = closest(name, Object.keys(slashCommands));
		const hint = nearest === undefined ? "/help" : `/${nearest}`;
		throw new UserError("CHAT_COMMAND_UNKNOWN", `There is no command /${name}.`, { hint });
	}
	return command.run(session, rest.trim());
}

async function save(session: ChatSession, file: string): Promise<string> {
	if (file === "")
		throw new UserError("CHAT_SAVE_FAILED", "/save needs the name of a file.", { hint: "/save chat.jsonl" });
	const messages = session.transcript();
	if (messages.length === 0) throw new UserError("CHAT_SAVE_FAILED", "There is nothing to save yet.");
	await writeFile(file, `${JSON.stringify({ messages })}\n`, { flag: "wx" }).catch((error) => {
		throw fileError(error, { doing: "write", path: file });
	});
	return `Saved ${messages.length} turns to ${file}.`;
}

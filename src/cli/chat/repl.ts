// The chat loop: lines in, answers out as they are made. On a terminal with a prompt and colours; from a pipe, one
// question a line and only the answers on stdout. Which model answers is the session's affair.
import { createInterface, type Interface } from "node:readline";
import type { ChatSession } from "../../recipes/options/recipe.ts";
import { describeError, UserError } from "../../util/errors.ts";
import { paintFor } from "../render/style.ts";
import { printable } from "../render/width.ts";
import { exitCodes, type Terminal } from "../terminal.ts";
import { runSlashCommand, slashCommands } from "./slash.ts";

export interface ChatLoopOptions {
	terminal: Terminal;
	/** Each answer as a line of JSON: question, answer, and whether it was stopped. */
	json: boolean;
	/** No greeting and no remarks. */
	quiet: boolean;
}

/**
 * Runs until /quit, the end of the input, or Ctrl-C while nothing is being answered. During an answer, the first Ctrl-C
 * stops the answer and a second one leaves. Gives the exit code.
 */
export async function runChat(session: ChatSession, { terminal, json, quiet }: ChatLoopOptions): Promise<number> {
	const { stdin, stdout, stderr, env, signals } = terminal;
	const paint = paintFor(stdout, env);
	const interactive = stdin.isTTY === true && stdout.isTTY === true;
	const input = openInput(terminal, interactive);
	let answering: AbortController | undefined;
	let interrupted = false;
	const onInterrupt = () => {
		if (answering !== undefined && !answering.signal.aborted) {
			answering.abort();
			if (interactive) return;
		}
		interrupted = true;
		input.close();
	};
	input.on("SIGINT", onInterrupt);
	signals.on("SIGINT", onInterrupt);

	const remark = (text: string) => {
		if (!quiet) stderr.write(`${text}\n`);
	};
	const onNotice = (notice: string) => remark(paint("yellow", notice));
	const ask = async (question: string): Promise<void> => {
		const controller = new AbortController();
		answering = controller;
		let answer = "";
		try {
			for await (const piece of session.ask(question, { signal: controller.signal, onNotice })) {
				answer += piece;
				if (!json) stdout.write(printable(piece));
				if (interrupted) break;
			}
		} finally {
			answering = undefined;
			if (!json) stdout.write("\n");
		}
		const stopped = controller.signal.aborted;
		if (json) stdout.write(`${JSON.stringify({ type: "answer", question, answer, stopped })}\n`);
		else if (stopped && !interrupted) remark(paint("dim", "(stopped)"));
	};
	/** False ends the chat. */
	const handle = async (line: string): Promise<boolean> => {
		if (line.trim() === "") return true;
		if (!line.startsWith("/") || line.startsWith("//")) {
			await ask(line.startsWith("//") ? line.slice(1) : line);
			return true;
		}
		const reply = await runSlashCommand(line, session);
		if (reply !== undefined) remark(reply);
		return reply !== undefined;
	};

	if (interactive) remark(paint("dim", "/help lists the commands, Ctrl-C stops an answer, /quit leaves."));
	input.setPrompt(paint("bold", "you> "));
	try {
		for await (const line of linesOf(input, { prompt: interactive })) {
			if (interrupted) break;
			try {
				if (!(await handle(line))) break;
			} catch (error) {
				if (!(error instanceof UserError)) throw error;
				stderr.write(`${describeError(error)}\n`);
			}
		}
	} finally {
		signals.off("SIGINT", onInterrupt);
		input.close();
	}
	return interrupted ? exitCodes.interrupted : exitCodes.done;
}

function openInput({ stdin, stdout }: Terminal, interactive: boolean): Interface {
	return createInterface({
		input: stdin,
		crlfDelay: Number.POSITIVE_INFINITY,
		...(interactive
			? { output: stdout as unknown as NodeJS.WritableStream, terminal: true, completer: completeSlash }
			: { terminal: false }),
	});
}

/** Tab completes commands. */
function completeSlash(line: string): [string[], string] {
	const candidates = Object.keys(slashCommands).map((name) => `/${name} `);
	return [line.startsWith("/") ? candidates.filter((candidate) => candidate.startsWith(line)) : [], line];
}

/**
 * The lines of the input, kept while an answer is being made: readline's own iterator loses those that come before the
 * first question is answered. Ends when the input closes, even with lines left when it was closed by Ctrl-C.
 */
async function* linesOf(input: Interface, { prompt }: { prompt: boolean }): AsyncGenerator<string> {
	const waiting: string[] = [];
	let closed = false;
	let wake = () => {};
	input.on("line", (line) => {
		waiting.push(line);
		wake();
	});
	input.on("close", () => {
		closed = true;
		wake();
	});
	if (prompt) input.prompt();
	while (true) {
		const line = waiting.shift();
		if (line !== undefined) {
			yield line;
			if (prompt && !closed) input.prompt();
		} else if (closed) {
			return;
		} else {
			await new Promise<void>((resolve) => {
				wake = resolve;
			});
		}
	}
}

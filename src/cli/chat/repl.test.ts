// The chat loop with a session that needs no model: from a pipe, on a terminal, and interrupted.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { UserError } from "../../util/errors.ts";
import { FakeTerminal, fakeChatSession } from "../testing/fakes.ts";
import { runChat } from "./repl.ts";

let folder: string;
beforeEach(async () => {
	folder = await mkdtemp(join(tmpdir(), "attune-chat-"));
});
afterEach(() => rm(folder, { recursive: true }));

const loud = { json: false, quiet: false };

async function chat(lines: string[], { session = fakeChatSession(), options = loud } = {}) {
	const terminal = new FakeTerminal();
	terminal.stdin.end(lines.join("\n"));
	const code = await runChat(session, { ...options, terminal });
	return { code, out: terminal.outText, err: terminal.errText, session, terminal };
}

describe("from a pipe", () => {
	test("one question a line; only answers on stdout; the end of the input ends it", async () => {
		const { code, out, err } = await chat(["hello", "", "你好"]);
		expect(out).toBe("hello, yes?\n你好, yes?\n");
		expect({ code, err }).toEqual({ code: 0, err: "" });
	});

	test("commands act on the session and answer on stderr", async () => {
		const { out, err, session } = await chat([
			"/prefix Briefly: ",
			"one",
			"/reset",
			"/system Be kind.",
			"two",
			"/prefix",
			"three",
		]);
		expect(out).toBe("Briefly:one, yes?\nBriefly:two, yes?\nthree, yes?\n");
		expect(err).toBe("Prefix set.\nThe conversation starts anew.\nSystem text set.\nNo prefix.\n");
		expect(session.systemText).toBe("Be kind.");
		expect(session.transcript().map((turn) => turn.content)).toEqual([
			"two",
			"Briefly:two, yes?",
			"three",
			"three, yes?",
		]);
	});

	test("/quit ends it before the rest of the input, and two slashes are one", async () => {
		const { out, code } = await chat(["//etc", "/quit", "never"]);
		expect(out).toBe("/etc, yes?\n");
		expect(code).toBe(0);
	});

	test("a mistyped command gets a suggestion and asks nothing", async () => {
		const { out, err } = await chat(["/rest", "/constructor", "/help"]);
		expect(out).toBe("");
		expect(err).toContain("There is no command /rest.\n  try:      /reset\n");
		expect(err).toContain("There is no command /constructor.");
		expect(err).toContain("/save FILE");
	});

	test("/save writes a line of training data, and never over a file", async () => {
		const file = join(folder, "chat.jsonl");
		const { err } = await chat([
			"/save",
			`/save ${file}`,
			"hello",
			`/save ${file}`,
			`/save ${file}`,
			`/save ${folder}/no/x`,
		]);
		expect(err).toContain("/save needs the name of a file.");
		expect(err).toContain("nothing to save");
		expect(err).toContain("Saved 2 turns");
		expect(err).toContain("it exists already");
		expect(err).toContain("does not exist");
		expect(JSON.parse(await readFile(file, "utf8"))).toEqual({
			messages: [
				{ role: "user", content: "hello" },
				{ role: "assistant", content: "hello, yes?" },
			],
		});
	});

	test("json gives one object an answer", async () => {
		const { out } = await chat(["a", "b"], { options: { json: true, quiet: true } });
		expect(
			out
				.trimEnd()
				.split("\n")
				.map((line) => JSON.parse(line)),
		).toEqual([
			{ type: "answer", question: "a", answer: "a, yes?", stopped: false },
			{ type: "answer", question: "b", answer: "b, yes?", stopped: false },
		]);
	});

	test("what the model says cannot steer the terminal", async () => {
		expect((await chat(["\u001b[2J"])).out).toBe("␛[2J, yes?\n");
	});

	test("a mistake is told and the chat goes on; a bug ends it", async () => {
		const session = fakeChatSession();
		const { ask } = session;
		session.ask = (text, options) => {
			if (text === "long") throw new UserError("TOO_LONG", "The question is too long.");
			if (text === "bug") throw new TypeError("oops");
			return ask(text, options);
		};
		const { out, err } = await chat(["long", "short"], { session });
		expect(err).toContain("The question is too long.");
		expect(out).toContain("short, yes?");
		await expect(chat(["bug"], { session })).rejects.toThrow("oops");
	});

	test("Ctrl-C stops the answer and leaves, with 130", async () => {
		const terminal = new FakeTerminal();
		terminal.stdin.write("slow\nnever\n");
		const running = runChat(fakeChatSession({ pieceMs: 40 }), { ...loud, terminal });
		await sleep(60);
		terminal.signals.emit("SIGINT");
		expect(await running).toBe(130);
		expect(terminal.outText).not.toContain("yes?");
		expect(terminal.outText).not.toContain("never");
		expect(terminal.signals.listenerCount("SIGINT")).toBe(0);
	});
});

describe("on a terminal", () => {
	const ctrlC = "\u0003";

	function open(pieceMs: number) {
		const terminal = new FakeTerminal({ isTTY: true });
		terminal.stdin.isTTY = true;
		// readline asks a terminal for more than our writes do: it needs a stream that can be listened to.
		Object.assign(terminal.stdout, { on: () => {}, off: () => {}, removeListener: () => {} });
		const session = fakeChatSession({ pieceMs });
		return { terminal, session, running: runChat(session, { ...loud, terminal }) };
	}
	const until = async (ready: () => boolean) => {
		while (!ready()) await sleep(5);
	};

	test("prompts, answers, and ends with Ctrl-D", async () => {
		const { terminal, running } = open(0);
		expect(terminal.outText).toContain("you> ");
		terminal.stdin.write("hello\r");
		await until(() => terminal.outText.includes("hello, yes?"));
		terminal.stdin.write("\u0004");
		expect(await running).toBe(0);
		expect(terminal.errText).toContain("/help lists the commands");
	});

	test("the first Ctrl-C stops the answer, the next one leaves", async () => {
		const { terminal, session, running } = open(30);
		terminal.stdin.write("hello\r");
		await until(() => session.questions.length === 1);
		terminal.stdin.write(ctrlC);
		await until(() => terminal.errText.includes("(stopped)"));
		expect(session.transcript().at(-1)?.content).not.toContain("yes?");
		terminal.stdin.write(ctrlC);
		expect(await running).toBe(130);
	});

	test("two Ctrl-C in one answer leave", async () => {
		const { terminal, session, running } = open(30);
		terminal.stdin.write("hello\r");
		await until(() => session.questions.length === 1);
		terminal.stdin.write(ctrlC);
		terminal.stdin.write(ctrlC);
		expect(await running).toBe(130);
	});
});

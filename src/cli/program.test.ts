// The shape of the command line: commands below commands, each with flags of its own.
import { expect, test } from "vitest";
import { finetuneOptions, planOptions } from "../recipes/options/jobs.ts";
import type { Command } from "./command.ts";
import { buildProgram } from "./program.ts";
import { FakeTerminal } from "./testing/fakes.ts";

const fakeCommand = (words: string, table: Command["table"]): Command => ({
	recipe: "finetune",
	words,
	summary: `what ${words} does`,
	table,
	examples: [`attune ${words}`],
	run: async () => 0,
});

const search = fakeCommand("search", finetuneOptions);
const worker = fakeCommand("search worker", planOptions);

async function call(args: string[], commands = [search, worker]) {
	const terminal = new FakeTerminal();
	const calls: { words: string; flags: Record<string, unknown>; json: boolean }[] = [];
	const program = buildProgram(commands, {
		version: "1.2.3",
		terminal,
		onCommand: async ({ words }, { flags, frame }) => void calls.push({ words, flags, json: frame.json }),
	});
	const error = await program.parseAsync(args, { from: "user" }).then(
		() => undefined,
		(error) => error as Error,
	);
	return { calls, error, out: terminal.outText, err: terminal.errText };
}

test.each([
	["the command first", [search, worker]],
	["its subcommand first", [worker, search]],
])("a command that runs may have a subcommand, defined with %s", async (_, commands) => {
	const alone = await call(["search", "--data", "a.jsonl"], commands);
	expect(alone.calls).toMatchObject([{ words: "search", flags: { data: expect.anything() }, json: false }]);
	const below = await call(["search", "worker", "--model", "x", "--json"], commands);
	expect(below.calls).toMatchObject([{ words: "search worker", flags: { model: "x" }, json: true }]);
});

test("flags go to the command whose word stands before them, also those that both have", async () => {
	const { calls } = await call(["search", "worker", "--data", "b.jsonl", "--quiet"]);
	expect(calls).toMatchObject([{ words: "search worker", flags: { data: expect.anything() } }]);
	const above = await call(["search", "--seed", "1", "worker"]);
	expect(above.calls).toEqual([{ words: "search worker", flags: {}, json: false }]);
});

test("help of both, and wrong words", async () => {
	const parent = await call(["search", "--help"]);
	expect(parent.out).toContain("what search does");
	expect(parent.out).toMatch(/^ {2}worker.* what search worker does$/m);
	expect((await call(["search", "worker", "--help"])).out).toContain("Usage: attune search worker");
	const wrong = await call(["search", "wroker"]);
	expect(wrong.calls).toEqual([]);
	expect(wrong.error).toBeDefined();
	expect(wrong.err).toMatch(/unknown command 'wroker'\n\(Did you mean worker\?\)/);
	const excess = await call(["search", "worker", "more"]);
	expect([excess.calls, excess.error]).toEqual([[], expect.anything()]);
	expect(excess.err).toContain("too many arguments, from 'more' on: 0 expected");
});

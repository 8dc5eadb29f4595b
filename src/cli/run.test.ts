// One call of the command line after the other, in this process, with stand-ins for the recipes: help, usage, outcomes.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { optionTables } from "../recipes/options/jobs.ts";
import { kebabCase } from "../recipes/options/table.ts";
import { commands } from "./commands/index.ts";
import { displayWidth } from "./render/width.ts";
import { runCommandLine } from "./run.ts";
import { type FakeBehaviour, FakeTerminal, fakeRecipes } from "./testing/fakes.ts";

let folder: string;
beforeAll(async () => {
	folder = await mkdtemp(join(tmpdir(), "attune-run-"));
});
afterAll(() => rm(folder, { recursive: true }));

interface CallOptions {
	env?: Record<string, string>;
	input?: string;
	behaviour?: FakeBehaviour;
}

async function attune(args: string[], { env = {}, input = "", behaviour = "steps" }: CallOptions = {}) {
	const terminal = new FakeTerminal({ env });
	terminal.stdin.end(input);
	const code = await runCommandLine(args, { recipes: fakeRecipes(behaviour), terminal });
	return { code, out: terminal.outText, err: terminal.errText };
}

const run = ["finetune", "--data", "a.jsonl", "--output", "b"];

describe("help", () => {
	test("lists the commands and fits the terminal", async () => {
		const { code, out, err } = await attune(["--help"]);
		expect({ code, err }).toEqual({ code: 0, err: "" });
		for (const { words } of commands) expect(out).toContain(`  ${words.split(" ")[0]}`);
		expect(Math.max(...out.split("\n").map(displayWidth))).toBeLessThanOrEqual(80);
	});

	test.each(commands.map((command) => [command.words, command] as const))(
		"of %s shows every option, grouped, with an example",
		async (words, command) => {
			const { code, out } = await attune([...words.split(" "), "--help"]);
			expect(code).toBe(0);
			for (const [name, option] of Object.entries(command.table.options)) {
				if (!option.positional) expect(out).toContain(`--${kebabCase(name)}`);
			}
			for (const { title, options } of command.table.groups) {
				if (Object.values(options).some((option) => !option.positional))
					expect(out.split(`\n${title}:\n`)).toHaveLength(2);
			}
			expect(out).toContain(`For example:\n  `);
			expect(out).toContain("attune");
			expect(out).not.toMatch(/undefined|NaN|\[object/);
			expect(Math.max(...out.split("\n").map(displayWidth))).toBeLessThanOrEqual(80);
		},
	);

	test("shows defaults", async () => {
		const { out } = await attune(["finetune", "--help"]);
		expect(out).toMatch(/--epochs <NUMBER> .*\n? *\(default: 3\)/);
		expect(out).toContain("default: the model's");
	});

	test("examples are valid calls", async () => {
		for (const example of commands.flatMap((command) => command.examples)) {
			const words =
				(example.split("| ").at(-1) as string).match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', "")) ?? [];
			const { code, err } = await attune(words.slice(1), { input: "/quit\n" });
			expect({ example, code, err: code === 0 ? "" : err }).toEqual({ example, code: 0, err: "" });
		}
	});

	test("a command without a recipe is not offered", async () => {
		const terminal = new FakeTerminal();
		const { finetune: _, ...recipes } = fakeRecipes();
		expect(await runCommandLine(["finetune"], { recipes, terminal })).toBe(2);
		expect(terminal.errText).toContain("unknown command");
	});
});

describe("wrong usage ends with 2, without a stack trace", () => {
	test.each([
		[["finetne"], "Did you mean finetune?"],
		[["data", "chek"], "Did you mean check?"],
		[["finetune", "--lerning-rate", "1"], "Did you mean --learning-rate?"],
		[[...run, "--learning-rate", "-1"], "--learning-rate cannot be -1."],
		[[...run, "--learning-rate", "0"], "--learning-rate cannot be 0."],
		[[...run, "--learning-rate", "NaN"], "--learning-rate cannot be NaN."],
		[[...run, "--optimizer", "adamv"], "adamw"],
		[[...run, "--epochs", "1", "--steps", "2"], "cannot be given together"],
		[[...run, "extra"], "too many arguments"],
		[[...run, "--seed"], "argument missing"],
		[["chat"], "missing required argument"],
		[["data"], "Usage: attune data"],
		[[], "Usage: attune"],
	])("%j", async (args, message) => {
		const { code, out, err } = await attune(args);
		expect({ code, out }).toEqual({ code: 2, out: "" });
		expect(err).toContain(message);
		expect(err).not.toMatch(/^ +at /m);
	});

	test("a mistake in a config file is shown with its line", async () => {
		await writeFile(join(folder, "train.yaml"), "epochs: 2\nlerning-rate: 1\n");
		const { code, err } = await attune([...run, "--config", join(folder, "train.yaml")]);
		expect(code).toBe(2);
		expect(err).toContain("train.yaml, line 2");
		expect(err).toContain("try:      learning-rate");
	});
});

describe("a run", () => {
	test("ends with 0, results on stdout", async () => {
		const { code, out, err } = await attune(run);
		expect(code).toBe(0);
		expect(out).toContain("attune chat runs/fake");
		expect(err).toContain("step 5/5");
	});

	test("json is nothing but lines of JSON", async () => {
		const { out } = await attune([...run, "--json"]);
		expect(
			out
				.trimEnd()
				.split("\n")
				.map((line) => JSON.parse(line).type)
				.at(-1),
		).toBe("run-done");
	});

	test("that fails by a mistake of the user ends with 1, without a stack unless ATTUNE_DEBUG=1", async () => {
		const behaviour = "user-error";
		const { code, err } = await attune(run, { behaviour });
		expect(code).toBe(1);
		expect(err).toBe("error: Cannot read nowhere.json: it does not exist.\n  try:      Check the path.\n");
		expect((await attune(run, { behaviour, env: { ATTUNE_DEBUG: "1" } })).err).toMatch(/^ +at /m);
		const { out } = await attune([...run, "--json"], { behaviour });
		expect(JSON.parse(out)).toMatchObject({ type: "error", code: "FILE_NOT_FOUND", hint: "Check the path." });
	});

	test("that fails by a bug of ours ends with 1 and its stack", async () => {
		const { code, err } = await attune(run, { behaviour: "bug" });
		expect(code).toBe(1);
		expect(err).toMatch(/TypeError: cannot read[\s\S]*^ +at [\s\S]*This is a bug in attune/m);
	});

	test("reads the prompt from a pipe, and a missing config file is a mistake", async () => {
		expect((await attune(["generate", "x", "--prompt", "-"], { input: "Dear" })).code).toBe(0);
		const { code, err } = await attune([...run, "--config", join(folder, "none.yaml")]);
		expect(code).toBe(1);
		expect(err).toContain("none.yaml: it does not exist.");
	});
});

test("every job of the tables has its command", () => {
	const jobs = commands.map((command) => command.recipe);
	expect(Object.keys(optionTables).filter((job) => !(jobs as string[]).includes(job))).toEqual([]);
});

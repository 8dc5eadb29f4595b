// The program as a process of its own, bundled as it is shipped, with stand-ins for the recipes.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build } from "tsdown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { version } from "../../package.json";
import { optionTables } from "../recipes/options/jobs.ts";
import { kebabCase } from "../recipes/options/table.ts";
import { commands } from "./commands/index.ts";
import { displayWidth } from "./render/width.ts";

const root = resolve(import.meta.dirname, "../..");
let folder: string;

beforeAll(async () => {
	// Inside node_modules, so that the bundle finds the packages it does not contain.
	const cache = join(root, "node_modules/.cache");
	await mkdir(cache, { recursive: true });
	folder = await mkdtemp(join(cache, "attune-cli-"));
	await build({
		config: false,
		cwd: root,
		entry: { main: "src/cli/main.ts", fake: "src/cli/testing/main.ts" },
		outDir: folder,
		format: "esm",
		platform: "node",
		dts: false,
		logLevel: "error",
	});
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Outcome {
	code: number | null;
	out: string;
	err: string;
}

interface StartOptions {
	env?: Record<string, string>;
	input?: string;
	program?: "fake" | "main";
	onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

function attune(
	args: string[],
	{ env = {}, input = "", program = "fake", onStderr }: StartOptions = {},
): Promise<Outcome> {
	return new Promise((done) => {
		const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
		const child = spawn(process.execPath, [join(folder, `${program}.mjs`), ...args], {
			cwd: folder,
			env: { ...inherited, ...env },
		});
		let [out, err] = ["", ""];
		child.stdout.on("data", (data) => {
			out += data;
		});
		child.stderr.on("data", (data) => {
			err += data;
			onStderr?.(err, (signal) => child.kill(signal));
		});
		child.on("close", (code) => done({ code, out, err }));
		child.stdin.end(input);
	});
}

const run = ["finetune", "--data", "a.jsonl", "--output", "b"];

describe("help", () => {
	test("lists the commands, fits the terminal, and needs no recipe", async () => {
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

	test("the version is that of the package", async () => {
		expect(await attune(["--version"], { program: "main" })).toEqual({ code: 0, out: `${version}\n`, err: "" });
	});

	test("examples are valid calls", async () => {
		for (const example of commands.flatMap((command) => command.examples)) {
			const words =
				(example.split("| ").at(-1) as string).match(/"[^"]*"|\S+/g)?.map((word) => word.replaceAll('"', "")) ?? [];
			const { code, err } = await attune(words.slice(1), { input: "/quit\n" });
			expect({ example, code, err: code === 0 ? "" : err }).toEqual({ example, code: 0, err: "" });
		}
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
		const { code, err } = await attune([...run, "--config", "train.yaml"]);
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
		const env = { FAKE_RECIPE: "user-error" };
		const { code, err } = await attune(run, { env });
		expect(code).toBe(1);
		expect(err).toBe("error: Cannot read nowhere.json: it does not exist.\n  try:      Check the path.\n");
		expect((await attune(run, { env: { ...env, ATTUNE_DEBUG: "1" } })).err).toMatch(/^ +at /m);
		const { out } = await attune([...run, "--json"], { env });
		expect(JSON.parse(out)).toMatchObject({ type: "error", code: "FILE_NOT_FOUND", hint: "Check the path." });
	});

	test("that fails by a bug of ours ends with 1 and its stack", async () => {
		const { code, err } = await attune(run, { env: { FAKE_RECIPE: "bug" } });
		expect(code).toBe(1);
		expect(err).toMatch(/TypeError: cannot read[\s\S]*^ +at [\s\S]*This is a bug in attune/m);
	});

	test("reads the prompt from a pipe, and a missing config file is a mistake", async () => {
		expect((await attune(["generate", "x", "--prompt", "-"], { input: "Dear" })).code).toBe(0);
		const { code, err } = await attune([...run, "--config", "none.yaml"]);
		expect(code).toBe(1);
		expect(err).toContain("Cannot read none.yaml: it does not exist.");
	});
});

describe("Ctrl-C", () => {
	test("the first lets the run write its checkpoint, and the code is 130", async () => {
		let sent = false;
		const { code, err } = await attune(run, {
			env: { FAKE_RECIPE: "endless" },
			onStderr: (text, kill) => {
				if (!sent && text.includes("step 1/")) {
					sent = true;
					kill("SIGINT");
				}
			},
		});
		expect(code).toBe(130);
		expect(err).toContain("Interrupted: stopping at the next safe place.");
		expect(err).toMatch(/saved runs\/fake\/checkpoints\/step-\d+/);
	});

	test("the second ends a run that is stuck", async () => {
		let sent = 0;
		const { code } = await attune([...run], {
			env: { FAKE_RECIPE: "stuck" },
			onStderr: (text, kill) => {
				if (sent === 1 && text.includes("Interrupted")) {
					sent = 2;
					kill("SIGINT");
				}
				if (sent === 0 && text.includes("waiting")) {
					sent = 1;
					kill("SIGINT");
				}
			},
		});
		expect(code).toBe(130);
	});
});

test("every job of the tables has its command, search excepted", () => {
	const jobs = commands.map((command) => command.recipe);
	expect(Object.keys(optionTables).filter((job) => !(jobs as string[]).includes(job))).toEqual(["search"]);
});

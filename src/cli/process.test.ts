// The program as a process of its own, bundled as it is shipped, with stand-ins for the recipes.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build } from "tsdown";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { version } from "../../package.json";

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
	closeStdout?: boolean;
	onStderr?: (text: string, kill: (signal: NodeJS.Signals) => void) => void;
}

function attune(
	args: string[],
	{ env = {}, input = "", program = "fake", closeStdout = false, onStderr }: StartOptions = {},
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
		if (closeStdout) child.stdout.destroy();
		child.stdin.end(input);
	});
}

const run = ["finetune", "--data", "a.jsonl", "--output", "b"];

test("help and version need no recipe", async () => {
	const { code, out, err } = await attune(["--help"], { program: "main" });
	expect({ code, err }).toEqual({ code: 0, err: "" });
	expect(out).toContain("Usage: attune");
	expect(await attune(["--version"], { program: "main" })).toEqual({ code: 0, out: `${version}\n`, err: "" });
});

test("exit codes: done, failed, wrong usage", async () => {
	const done = await attune(run);
	expect(done.code).toBe(0);
	expect(done.out).toContain("attune chat runs/fake");
	expect(done.err).toContain("step 5/5");
	const failed = await attune(run, { env: { FAKE_RECIPE: "user-error" } });
	expect(failed.code).toBe(1);
	expect(failed.err).toBe("error: Cannot read nowhere.json: it does not exist.\n  try:      Check the path.\n");
	const wrong = await attune([...run, "--lerning-rate", "1"]);
	expect(wrong.code).toBe(2);
	expect(wrong.err).toContain("Did you mean --learning-rate?");
	expect(failed.err + wrong.err).not.toMatch(/^ +at /m);
});

test("a chat reads its questions from a pipe", async () => {
	expect(await attune(["chat", "x"], { input: "你好\n" })).toEqual({ code: 0, out: "你好, yes?\n", err: "" });
});

test("a closed pipe behind stdout is no error", async () => {
	const { code, err } = await attune(["finetune", "--help"], { closeStdout: true });
	expect({ code, err }).toEqual({ code: 0, err: "" });
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

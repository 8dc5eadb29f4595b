// The command line as a process of its own, bundled as it is shipped.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "tsdown";

const root = resolve(import.meta.dirname, "../..");

export interface Outcome {
	code: number | null;
	signal: NodeJS.Signals | null;
	out: string;
	err: string;
}

export interface StartOptions {
	cwd?: string;
	env?: Record<string, string>;
	/** Called with each event of a program that runs with --json. */
	onEvent?: (event: { type: string; step?: number }, child: ChildProcess) => void;
}

export interface Program {
	/** The script, for a test that starts it in its own way. */
	readonly file: string;
	run(args: readonly string[], options?: StartOptions): Promise<Outcome>;
	remove(): void;
}

/** Bundles the program as it is now. The caller removes it. */
export async function buildProgram(): Promise<Program> {
	// Inside node_modules, so that the bundle finds the packages it does not contain.
	const cache = join(root, "node_modules/.cache");
	mkdirSync(cache, { recursive: true });
	const folder = mkdtempSync(join(cache, "attune-test-"));
	await build({
		config: false,
		cwd: root,
		entry: { main: "src/cli/main.ts" },
		outDir: folder,
		format: "esm",
		platform: "node",
		dts: false,
		logLevel: "error",
	});
	const file = join(folder, "main.mjs");
	return {
		file,
		run: (args, options) => runProgram(file, { args, ...options }),
		remove: () => rmSync(folder, { recursive: true, force: true }),
	};
}

function runProgram(
	file: string,
	{ args, cwd = root, env = {}, onEvent }: StartOptions & { args: readonly string[] },
): Promise<Outcome> {
	return new Promise((done, fail) => {
		const { NO_COLOR: _, FORCE_COLOR: __, ...inherited } = process.env;
		const child = spawn(process.execPath, [file, ...args], {
			cwd,
			env: { ...inherited, ...env },
			stdio: ["ignore", "pipe", "pipe"],
		});
		let [out, err, rest] = ["", "", ""];
		child.stdout.on("data", (data) => {
			out += data;
			const lines = (rest + data).split("\n");
			rest = lines.pop() as string;
			if (onEvent) for (const line of lines) onEvent(JSON.parse(line), child);
		});
		child.stderr.on("data", (data) => {
			err += data;
		});
		child.on("error", fail);
		child.on("close", (code, signal) => done({ code, signal, out, err }));
	});
}

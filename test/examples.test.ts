// The examples run, as they stand, on the data that they name.
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { build } from "tsdown";
import { afterAll, beforeAll, expect, test } from "vitest";
import { temporary, write } from "./support/tiny.ts";

const root = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);
const names = ["finetune-and-ask", "search-anything", "train-on-text"];

let bundles: string;
beforeAll(async () => {
	// Inside node_modules, so that the bundles find the packages they do not contain.
	const cache = join(root, "node_modules/.cache");
	mkdirSync(cache, { recursive: true });
	bundles = mkdtempSync(join(cache, "attune-examples-"));
	await build({
		config: false,
		cwd: root,
		entry: names.map((name) => `examples/${name}.ts`),
		alias: { "attune/search": join(root, "src/search/index.ts"), attune: join(root, "src/index.ts") },
		outDir: bundles,
		format: "esm",
		platform: "node",
		dts: false,
		logLevel: "error",
	});
});
afterAll(() => rmSync(bundles, { recursive: true, force: true }));

/** Runs an example in a new folder that has the repository's examples beside it. */
async function output(name: string, ...args: string[]): Promise<string> {
	const cwd = temporary();
	symlinkSync(join(root, "examples"), join(cwd, "examples"));
	return (await execute(process.execPath, [join(bundles, `${name}.mjs`), ...args], { cwd })).stdout;
}

test("finetune-and-ask: the loss falls and an answer comes", async () => {
	const [losses, answer] = (await output("finetune-and-ask")).split("\n");
	const [, before, after] = losses?.match(/^validation loss ([\d.]+) -> ([\d.]+)$/) ?? [];
	expect(Number(after)).toBeLessThan(Number(before) - 1);
	expect(answer).toMatch(/\w/);
});

test("train-on-text: a text is learnt in blocks and gone on with", async () => {
	const text = write("my.txt", Array.from({ length: 150 }, (_, i) => `The kettle number ${i} is blue.\n`).join(""));
	const lines = (await output("train-on-text", text)).split("\n");
	const losses = lines.flatMap((line) => line.match(/^validation loss ([\d.]+)/)?.[1] ?? []).map(Number);
	expect(losses.at(-1)).toBeLessThan(losses[0] as number);
	expect(lines.at(-2)).toMatch(/\S/);
});

test("search-anything: the search ends with what mattered", async () => {
	expect(await output("search-anything")).toMatch(/\d+ bytes .*method.*\n(\w+ \d+ %\n)+$/);
});

// The layer picture of ARCHITECTURE.md, kept true: imports point down the list, folders are known, files stay readable.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { expect, test } from "vitest";

const root = resolve(import.meta.dirname, "../src");
/** From the table of ARCHITECTURE.md, which lists them from the top down. */
const layers = [...readFileSync(join(root, "../ARCHITECTURE.md"), "utf8").matchAll(/^\| `(\w+)` +\|/gm)]
	.map((match) => match[1] as string)
	.reverse();
const sources = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));

/** [importing file, imported file], relative to src. */
const imports = sources.flatMap((file) => {
	const text = readFileSync(join(root, file), "utf8");
	return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)].map((match) => [
		file,
		relative(root, resolve(root, dirname(file), match[1] as string)),
	]);
}) as [string, string][];

const layerOf = (file: string) => file.split("/")[0] as string;
const isTest = (file: string) => file.endsWith(".test.ts") || file.includes("/testing/");

test("ARCHITECTURE.md lists the folders of src, and no others", () => {
	const folders = new Set(sources.filter((file) => file.includes("/")).map(layerOf));
	expect([...folders].sort()).toEqual([...layers].sort());
});

test("imports point down the list of layers", () => {
	const wrong = imports
		.filter(([from]) => !isTest(from) && from.includes("/"))
		.filter(([from, to]) => layers.indexOf(layerOf(to)) > layers.indexOf(layerOf(from)) || !to.includes("/"));
	expect(wrong).toEqual([]);
});

test("search knows nothing of models: it imports util alone", () => {
	const wrong = imports.filter(([from, to]) => layerOf(from) === "search" && !["search", "util"].includes(layerOf(to)));
	expect(wrong).toEqual([]);
});

test("no import cycles between files", () => {
	const edges = new Map<string, string[]>();
	for (const [from, to] of imports) edges.set(from, [...(edges.get(from) ?? []), to]);
	const done = new Set<string>();
	const visit = (file: string, path: string[]): void => {
		if (path.includes(file)) throw new Error(`import cycle: ${[...path.slice(path.indexOf(file)), file].join(" -> ")}`);
		if (done.has(file)) return;
		for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
		done.add(file);
	};
	for (const file of edges.keys()) visit(file, []);
});

// A message that tells a person to use a flag names one that there is.
import { readdirSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { optionTables } from "../src/recipes/options/jobs.ts";
import { kebabCase } from "../src/recipes/options/table.ts";

const root = resolve(import.meta.dirname, "..");
/** Those of the program itself, one of npm, one of Node. */
const others = ["help", "version", "config", "json", "quiet", "save-exact", "experimental-strip-types"];

test("every flag in the sources and in the README exists", () => {
	const known = new Set([
		...others,
		...Object.values(optionTables).flatMap(({ options }) => Object.keys(options).map(kebabCase)),
	]);
	const files = ["src", "examples", "."].flatMap((folder) =>
		readdirSync(resolve(root, folder), { recursive: folder !== ".", encoding: "utf8" }).map(
			(file) => `${folder}/${file}`,
		),
	);
	const named = files
		.filter((file) => /(\.ts|README.*\.md)$/.test(file) && !/test|fixtures|config/.test(file))
		.flatMap((file) => [
			...readFileSync(resolve(root, file), "utf8").matchAll(
				/(?<![\w-])--(?!this\b)([a-z][a-z0-9-]*[a-z0-9])(?![\w-])/g,
			),
		])
		.map(([, flag]) => flag as string);
	expect(named.length).toBeGreaterThan(20);
	expect([...new Set(named)].filter((flag) => !known.has(flag))).toEqual([]);
});

// Config files: YAML with one key an option, in kebab-case or camelCase. Reading keeps the line of each key, so that a
// mistake can be pointed at; which keys a job knows is decided in resolve.ts. The parser is loaded when a file is read.
import { readFile } from "node:fs/promises";
import { UserError } from "../../util/errors.ts";
import { fileError } from "../../util/file-errors.ts";
import { applies, type ConfigEntry, type ConfigFile } from "./resolve.ts";
import { camelCase, kebabCase, type OptionsOf, type OptionTable } from "./table.ts";

/** Throws FILE_NOT_FOUND and its kin, and CONFIG_INVALID. */
export async function readConfig(file: string): Promise<ConfigFile> {
	const bytes = await readFile(file).catch((cause) => {
		throw fileError(cause, { doing: "read", path: file });
	});
	let content: string;
	try {
		content = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch (cause) {
		throw new UserError("CONFIG_INVALID", `The config file ${file} is not UTF-8 text.`, { where: file, cause });
	}
	return parseConfig(content, { file });
}

/** Throws CONFIG_INVALID with line and column. */
export async function parseConfig(content: string, { file }: { file: string }): Promise<ConfigFile> {
	const { isMap, isScalar, LineCounter, parseDocument } = await import("yaml");
	const lineCounter = new LineCounter();
	const document = parseDocument(content, { lineCounter, prettyErrors: false, logLevel: "silent" });
	const placeOf = (offset: number) => {
		const { line, col } = lineCounter.linePos(offset);
		return { line, where: `${file}, line ${line}, column ${col}` };
	};
	const problem = document.errors[0];
	if (problem !== undefined) {
		throw new UserError("CONFIG_INVALID", `The config file is not YAML: ${problem.message}`, {
			expected: "lines like `learning-rate: 1e-4`",
			where: placeOf(problem.pos[0]).where,
		});
	}
	const root = document.contents;
	if (root === null) return { file, entries: [] };
	if (!isMap(root)) {
		throw new UserError("CONFIG_INVALID", "The config file is not a list of keys and values.", {
			expected: "lines like `learning-rate: 1e-4`",
			found: describeYaml(root.toJSON()),
			where: placeOf(root.range?.[0] ?? 0).where,
		});
	}
	const entries: ConfigEntry[] = [];
	for (const item of root.items) {
		const offset = isScalar(item.key) ? (item.key.range?.[0] ?? 0) : (root.range?.[0] ?? 0);
		const { line, where } = placeOf(offset);
		const key = isScalar(item.key) ? String(item.key.value) : "";
		const earlier = entries.find((entry) => camelCase(entry.key) === camelCase(key));
		if (earlier !== undefined) {
			const message = `The config file gives ${kebabCase(key)} twice.`;
			throw new UserError("CONFIG_INVALID", message, { where, found: `the first is on line ${earlier.line}` });
		}
		const node = item.value as { toJS?: (document: unknown) => unknown } | null;
		entries.push({ key, value: yamlValue(() => node?.toJS?.(document) ?? null, where), line });
	}
	return { file, entries };
}

/** The values as a config file that gives them back exactly. Options that are unset or have no effect are left out. */
export function formatConfig<T extends OptionTable>(table: T, values: Partial<OptionsOf<T>>): string {
	const lines = Object.keys(table.options)
		.filter((name) => values[name] !== undefined && applies(table, name, values))
		// JSON is YAML, and says which values are text.
		.map((name) => `${kebabCase(name)}: ${JSON.stringify(values[name])}\n`);
	return lines.join("");
}

/** Aliases may be unresolved or explode ("billion laughs"); the parser says so only when the value is made. */
function yamlValue(make: () => unknown, where: string): unknown {
	try {
		return make();
	} catch (cause) {
		throw new UserError("CONFIG_INVALID", `The config file is not YAML: ${(cause as Error).message}`, { where, cause });
	}
}

function describeYaml(value: unknown): string {
	return Array.isArray(value) ? "a list" : `${JSON.stringify(value)}`.slice(0, 80);
}

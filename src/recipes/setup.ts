// The beginning of every training run: options with their origins, and, when an earlier run is resumed, that run's
// options in place of the defaults. What would silently differ from the resumed run is refused.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { type FileHash, type Manifest, manifestFile, readManifest } from "../checkpoint/manifest.ts";
import { UserError } from "../util/errors.ts";
import type { RecipeContext } from "./options/recipe.ts";
import { applies, changedOptions, type OptionRecord, resolveOptions } from "./options/resolve.ts";
import { kebabCase, type OptionsInput, type OptionsOf, type OptionTable } from "./options/table.ts";

export interface Setup<T extends OptionTable> {
	values: OptionsOf<T>;
	record: OptionRecord;
	/** The run directory to write. */
	directory: string;
	/** The manifest of the run that is resumed. */
	previous: Manifest | undefined;
	/** Options that differ from the resumed run's, as was allowed. */
	changed: readonly string[];
}

/** Options about a single call, which may differ between a run and its resumption. */
const ownOfCall = new Set(["resume", "allowChange", "overwrite", "output", "force", "ask"]);

export async function setUp<T extends OptionTable>(
	table: T,
	{ options, context }: { options: OptionsInput<T>; context: RecipeContext },
): Promise<Setup<T>> {
	const asked = options as { resume?: string; output?: string; allowChange?: readonly string[] };
	const origins = context.origins ? { origins: context.origins } : {};
	const directory = await resumedDirectory(asked);
	if (directory === undefined) {
		const { values, record } = resolveOptions(table, { options, ...origins });
		return { values, record, directory: (values as { output: string }).output, previous: undefined, changed: [] };
	}
	const previous = await readManifest(directory);
	if (previous.recipe !== table.job) {
		throw new UserError("RESUME_OTHER_JOB", `${directory} is a run of another job.`, {
			expected: table.job,
			found: previous.recipe,
			hint: `attune ${previous.recipe} --resume ${directory}`,
		});
	}
	const given = { ...options, output: directory } as OptionsInput<T>;
	const { values, record } = resolveOptions(table, {
		options: given,
		previous: previous.options as OptionRecord,
		...origins,
	});
	const changed = changedOptions(previous.options as OptionRecord, record).filter(
		(name) => !ownOfCall.has(name) && (applies(table, name, values as Record<string, unknown>) || name in options),
	);
	const allowed = new Set(asked.allowChange?.flatMap((name) => [name, kebabCase(name)]) ?? []);
	const refused = changed.filter((name) => !allowed.has(name) && !allowed.has(kebabCase(name)));
	if (refused.length > 0) throw changedError(refused, { previous, record });
	return { values, record, directory, previous, changed };
}

/** Refuses to go on when a file is not what it was; `what` names it in --allow-change. */
export function assertSameFiles(
	what: "data" | "model",
	{ before, now, allowed }: { before: readonly FileHash[]; now: readonly FileHash[]; allowed: readonly string[] },
): boolean {
	const hashes = (files: readonly FileHash[]) =>
		files
			.map(({ sha256 }) => sha256)
			.sort()
			.join();
	if (hashes(before) === hashes(now)) return false;
	if (allowed.includes(what)) return true;
	const different = now.filter((file) => !before.some(({ sha256 }) => sha256 === file.sha256)).map(({ path }) => path);
	throw new UserError("RESUME_CHANGED", `The ${what} is not what it was when the run began.`, {
		where: different.join(", ") || before.map(({ path }) => path).join(", "),
		expected: "the same bytes",
		found: "other bytes",
		hint: `Restore the files, start a new run, or go on knowingly with --allow-change ${what}.`,
	});
}

async function resumedDirectory({ resume, output }: { resume?: string; output?: string }): Promise<string | undefined> {
	if (resume === undefined) return undefined;
	if (resume !== "auto") return resume;
	if (output === undefined) {
		throw new UserError("OPTION_MISSING", "--resume auto needs --output, which names the run.", {
			expected: "--output DIR",
		});
	}
	const there = await stat(join(output, manifestFile)).catch(() => undefined);
	return there ? output : undefined;
}

function changedError(
	names: readonly string[],
	{ previous, record }: { previous: Manifest; record: OptionRecord },
): UserError {
	const spell = (value: unknown) => (value === null || value === undefined ? "not set" : JSON.stringify(value));
	const [first] = names as [string];
	return new UserError("RESUME_CHANGED", `The run was begun with other settings: ${names.map(kebabCase).join(", ")}.`, {
		where: `--${kebabCase(first)}`,
		expected: spell(previous.options[first]?.value),
		found: spell(record[first]?.value),
		hint: `Leave the flag out, or go on knowingly with --allow-change ${names.map(kebabCase).join(" ")}.`,
	});
}

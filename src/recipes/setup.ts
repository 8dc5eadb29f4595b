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
const ownOfCall = new Set([
	...["resume", "allowChange", "overwrite", "output", "force", "ask"],
	...["budget", "trials", "keepTrials", "baseline"],
]);

/** What the saved weights or the optimizer's memory of them depend on. */
const cannotChange = new Set([
	...["tokenizer", "vocabularySize", "layers", "heads", "channels"],
	...["optimizer", "momentum", "freeze"],
	...["lora", "loraRank", "loraAlpha", "loraTargets", "loraRs", "loraDora", "baseBits"],
]);

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
	const lasting = changed.filter((name) => cannotChange.has(name));
	if (lasting.length > 0) throw lastingError(lasting, { previous, record });
	const allowed = new Set(asked.allowChange?.flatMap((name) => [name, kebabCase(name)]) ?? []);
	const refused = changed.filter((name) => !allowed.has(name) && !allowed.has(kebabCase(name)));
	if (refused.length > 0) throw changedError(refused, { previous, record });
	return { values, record, directory, previous, changed };
}

/** Which files are not what they were when the resumed run began. Throws UserError for those that are not allowed to differ. */
export function changedFilesOf(
	previous: Manifest | undefined,
	{ data, base, allowed }: Pick<Manifest, "data" | "base"> & { allowed: readonly string[] },
): ("data" | "model")[] {
	if (!previous) return [];
	const before = { data: previous.data, model: previous.base?.files ?? [] };
	const now = { data, model: base?.files ?? [] };
	const hashes = (files: readonly FileHash[]) => files.map(({ sha256 }) => sha256).join();
	const changed = (["data", "model"] as const).filter((what) => hashes(before[what]) !== hashes(now[what]));
	const refused = changed.find((what) => !allowed.includes(what));
	if (refused === undefined) return changed;
	const known = new Set(before[refused].map(({ sha256 }) => sha256));
	const different = now[refused].filter(({ sha256 }) => !known.has(sha256)).map(({ path }) => path);
	throw new UserError("RESUME_CHANGED", `The ${refused} is not what it was when the run began.`, {
		where: (different.length > 0 ? different : now[refused].map(({ path }) => path)).join(", "),
		expected: "the same files, with the same bytes, in the same order",
		found: different.length > 0 ? "other bytes" : "other files or another order",
		hint: `Restore the files, start a new run, or go on knowingly with --allow-change ${refused}.`,
	});
}

/**
 * The place in the data at which a run goes on: the saved one, or, when a change that was allowed gives the data another
 * order, the beginning of the epoch that was under way, in the `fresh` order.
 */
export function placeIn<State extends { position: number; order: string }>(
	fresh: State,
	{ state, changed }: { state: State; changed: boolean },
): State {
	return changed && state.order !== fresh.order ? { ...state, position: 0, order: fresh.order } : state;
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

interface Change {
	previous: Manifest;
	record: OptionRecord;
}

function changedError(names: readonly string[], change: Change): UserError {
	const flags = names.map(kebabCase);
	return new UserError("RESUME_CHANGED", `The run was begun with other settings: ${flags.join(", ")}.`, {
		...spelled(names[0] as string, change),
		hint: `Leave the flag out, or go on knowingly with --allow-change ${flags.join(",")}.`,
	});
}

function lastingError(names: readonly string[], change: Change): UserError {
	return new UserError("RESUME_CHANGED", `A run cannot change ${names.map(kebabCase).join(", ")} on its way.`, {
		...spelled(names[0] as string, change),
		hint: "Leave the flag out, or start a new run from what this one learned: --model DIR with its directory.",
	});
}

function spelled(name: string, { previous, record }: Change) {
	const spell = (value: unknown) => (value === null || value === undefined ? "not set" : JSON.stringify(value));
	return {
		where: `--${kebabCase(name)}`,
		expected: spell(previous.options[name]?.value),
		found: spell(record[name]?.value),
	};
}

// From what was given (flags, a config file, a caller's object, the run that is resumed) to the options of a job, each
// with its origin. Pure: files are read by config.ts, flags by the command line.
import { closest, UserError } from "../../util/errors.ts";
import { describeValue, type Option } from "./option.ts";
import { camelCase, kebabCase, type OptionsInput, type OptionsOf, type OptionTable } from "./table.ts";

/** Where a value came from; "option" is a caller of the library. */
export type Origin = "default" | "config" | "flag" | "option";
export type Origins = Readonly<Record<string, Origin>>;

/** Every option with its value and origin, for the manifest of a run. An option without a value is null. */
export type OptionRecord = Record<string, { value: unknown; origin: Origin }>;

export interface ConfigEntry {
	key: string;
	value: unknown;
	/** From 1. */
	line: number;
}

/** What config.ts reads from a file. */
export interface ConfigFile {
	file: string;
	entries: readonly ConfigEntry[];
}

export interface OptionSources<T extends OptionTable> {
	config?: ConfigFile | undefined;
	/** Values by name, as text or typed. They win over the config file. */
	flags?: Readonly<Record<string, unknown>> | undefined;
	/** The plain object of a caller of the library. */
	options?: OptionsInput<T> | undefined;
	/** Where the values of `options` came from, when a command line gathered them. */
	origins?: Origins | undefined;
	/** The record of the run that is resumed: stands in place of the defaults and keeps its origins. */
	previous?: OptionRecord | undefined;
}

export interface GivenOptions<T extends OptionTable> {
	/** The checked values of what was given, without defaults. */
	given: Partial<OptionsOf<T>>;
	origins: Origins;
}

export interface ResolvedOptions<T extends OptionTable> extends GivenOptions<T> {
	values: OptionsOf<T>;
	record: OptionRecord;
}

/**
 * Checks what was given, without filling in defaults or insisting on what is required. Throws OPTION_UNKNOWN,
 * OPTION_INVALID and OPTION_CONFLICT.
 */
export function gatherOptions<T extends OptionTable>(table: T, sources: OptionSources<T>): GivenOptions<T> {
	const given: Record<string, unknown> = {};
	const origins: Record<string, Origin> = {};
	for (const entry of entriesOf(table, sources)) {
		given[entry.name] = checkedValue(table, entry);
		origins[entry.name] = entry.origin;
	}
	for (const [a, b] of table.exclusive) {
		if (!(isMeant(table, a, given, origins) && isMeant(table, b, given, origins))) continue;
		const [first, second] = [spell(a, origins[a]), spell(b, origins[b])];
		if (origins[a] === origins[b]) {
			const message = `${first} and ${second} cannot be given together.`;
			throw new UserError("OPTION_CONFLICT", message, { expected: "one of the two", hint: `leave out ${second}` });
		}
		const weaker = origins[a] === "config" ? a : b;
		delete given[weaker];
		delete origins[weaker];
	}
	return { given: given as Partial<OptionsOf<T>>, origins };
}

/** Checks what was given, fills in the defaults and records where each value came from. Also throws OPTION_MISSING. */
export function resolveOptions<T extends OptionTable>(table: T, sources: OptionSources<T>): ResolvedOptions<T> {
	const { given, origins } = gatherOptions(table, sources);
	const values: Record<string, unknown> = {};
	const record: OptionRecord = {};
	const excluded = new Set(
		table.exclusive
			.flatMap(([a, b]) => [...(a in given ? [b] : []), ...(b in given ? [a] : [])])
			.filter((n) => !(n in given)),
	);
	for (const [name, option] of Object.entries(table.options)) {
		const before = excluded.has(name) ? undefined : sources.previous?.[name];
		const value = name in given ? given[name] : (before?.value ?? option.default);
		const origin = origins[name] ?? before?.origin ?? "default";
		if (value === undefined && option.presence === "required") throw missing(name, option, sources);
		values[name] = value;
		record[name] = { value: value ?? null, origin };
	}
	for (const name of Object.keys(given)) {
		if (isMeant(table, name, given, origins)) checkNeeds(table, { name, values, origins });
	}
	return { given, origins, values: values as OptionsOf<T>, record };
}

/** The names of the options whose values differ between two runs, for a resume that must not change anything unseen. */
export function changedOptions(before: OptionRecord, after: OptionRecord): string[] {
	const names = new Set([...Object.keys(before), ...Object.keys(after)]);
	const recorded = (record: OptionRecord, name: string) => JSON.stringify(record[name]?.value ?? null);
	return [...names].filter((name) => recorded(before, name) !== recorded(after, name));
}

/** Whether the option does anything under these values: `--lora-rank` does nothing without `--lora`. */
export function applies(table: OptionTable, name: string, values: Readonly<Record<string, unknown>>): boolean {
	return unmetNeed(table.options[name], values) === undefined;
}

interface Entry {
	name: string;
	raw: unknown;
	origin: Origin;
	where: string | undefined;
}

function* entriesOf<T extends OptionTable>(table: T, sources: OptionSources<T>): Generator<Entry> {
	const { config, flags = {}, options = {}, origins } = sources;
	for (const { key, value, line } of config?.entries ?? []) {
		const name = camelCase(key);
		const where = `${config?.file}, line ${line}`;
		if (table.foreign.has(name)) continue;
		if (!Object.hasOwn(table.options, name)) throw unknown(table, { name, origin: "config", key, where });
		yield { name, raw: value, origin: "config", where };
	}
	for (const [name, raw] of [...Object.entries(options), ...Object.entries(flags)]) {
		if (raw === undefined) continue;
		const origin = name in flags ? "flag" : (origins?.[name] ?? "option");
		if (!Object.hasOwn(table.options, name)) throw unknown(table, { name, origin, key: name, where: undefined });
		yield { name, raw, origin, where: undefined };
	}
}

function checkedValue(table: OptionTable, { name, raw, origin, where }: Entry): unknown {
	const option = table.options[name] as Option;
	const value = option.parse(raw);
	if (value !== undefined) return value;
	const spelled = option.positional ? placeholderOf(name, option) : spell(name, origin);
	const nearest = typeof raw === "string" ? closest(raw, option.choices ?? []) : undefined;
	throw new UserError("OPTION_INVALID", `${spelled} cannot be ${describeValue(raw)}.`, {
		expected: option.unit === undefined ? option.expected : `${option.expected} (${option.unit})`,
		found: describeValue(raw),
		where: where ?? (origin === "flag" ? "the command line" : `the options of ${table.job}`),
		...(nearest === undefined ? {} : { hint: nearest }),
	});
}

/** Whether somebody meant this value. A program that passes on a whole resolved object has not meant the defaults in it. */
function isMeant(table: OptionTable, name: string, given: Record<string, unknown>, origins: Origins): boolean {
	if (!(name in given)) return false;
	return origins[name] !== "option" || JSON.stringify(given[name]) !== JSON.stringify(table.options[name]?.default);
}

function unmetNeed(option: Option | undefined, values: Readonly<Record<string, unknown>>) {
	return Object.entries(option?.needs ?? {}).find(([other, accepted]) =>
		accepted === "given" ? values[other] === undefined : !accepted.includes(values[other] as string | boolean),
	);
}

function checkNeeds(
	table: OptionTable,
	{ name, values, origins }: { name: string; values: Record<string, unknown>; origins: Origins },
): void {
	const need = unmetNeed(table.options[name], values);
	if (need === undefined) return;
	const [other, accepted] = need;
	const spelled = spell(name, origins[name]);
	const needed = spell(other, origins[name]);
	const isSwitch = accepted === "given" || accepted.includes(true);
	const expected = isSwitch ? needed : `${needed} ${(accepted as readonly unknown[]).join(" or ")}`;
	throw new UserError("OPTION_CONFLICT", `${spelled} has no effect without ${expected}.`, {
		expected,
		found: `${needed} ${describeValue(values[other])}`,
		hint: `add ${expected}, or leave out ${spelled}`,
	});
}

function unknown(
	table: OptionTable,
	{ name, origin, key, where }: { name: string; origin: Origin; key: string; where: string | undefined },
): UserError {
	const nearest = closest(kebabCase(name), Object.keys(table.options).map(kebabCase));
	const suggestion = nearest === undefined ? undefined : origin === "option" ? camelCase(nearest) : nearest;
	return new UserError("OPTION_UNKNOWN", `${table.job} has no option ${key}.`, {
		expected: `an option of ${table.job}`,
		found: key,
		where: where ?? (origin === "flag" ? "the command line" : `the options of ${table.job}`),
		hint: suggestion ?? `attune ${table.job} --help lists them`,
	});
}

function missing<T extends OptionTable>(name: string, option: Option, sources: OptionSources<T>): UserError {
	const fromShell = sources.flags !== undefined || sources.origins !== undefined;
	const spelled =
		option.positional && fromShell ? placeholderOf(name, option) : spell(name, fromShell ? "flag" : "option");
	return new UserError("OPTION_MISSING", `${spelled} is missing.`, {
		expected: `${option.expected}: ${option.help}`,
		found: "nothing",
		...(fromShell && !option.positional ? { hint: `${spelled} ${option.placeholder}` } : {}),
	});
}

/** The name as the person wrote it: a flag, a config key or a property. */
function spell(name: string, origin: Origin | undefined): string {
	return origin === "option" ? name : origin === "config" ? kebabCase(name) : `--${kebabCase(name)}`;
}

function placeholderOf(name: string, option: Option): string {
	return option.placeholder === "" ? name.toUpperCase() : option.placeholder;
}

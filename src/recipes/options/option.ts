// The kinds of options: each knows how to read a value from a flag (text), a config file or a caller of the library
// (typed), and how to say what it accepts. It knows no table, no command line and no file. Written by hand rather than
// with a schema library, because `attune --help` reads every table and has to be quick.

import { type BatchRamp, parseBatchRamp } from "../../optim/batch-ramp.ts";

export type OptionKind =
	| "number"
	| "integer"
	| "boolean"
	| "text"
	| "path"
	| "choice"
	| "list"
	| "fraction-or-file"
	| "pairs"
	| "ramp"
	| "duration";

/** Whether a value is always there after resolving: from a default, by insisting, or not. */
export type Presence = "default" | "required" | "optional";

/** Limits of a number. `above` and `below` are exclusive. */
export interface Range {
	min?: number;
	max?: number;
	above?: number;
	below?: number;
}

/** Another option on which this one depends: one of these values, or any value at all. */
export type Needs = Readonly<Record<string, readonly (string | boolean)[] | "given">>;

export interface Option<Value = unknown, P extends Presence = Presence, Input = Value> {
	readonly kind: OptionKind;
	/** One line, without the default: help adds it. */
	readonly help: string;
	/** Stands for the value in help, as in `--epochs NUMBER`; empty for a boolean. */
	readonly placeholder: string;
	/** What is accepted, in words that end the sentence "expected ...". */
	readonly expected: string;
	readonly presence: P;
	readonly default: Value | undefined;
	/** Shown where there is no fixed default: "the model's context". */
	readonly defaultNote: string | undefined;
	readonly unit: string | undefined;
	readonly range: Range | undefined;
	readonly choices: readonly string[] | undefined;
	/** Takes several values: `--data a.jsonl b.jsonl`. */
	readonly variadic: boolean;
	/** An argument without a flag: the DIR of `attune chat DIR`. */
	readonly positional: boolean;
	/** Giving this option while the need is not met is an error, because it would have no effect. */
	readonly needs: Needs | undefined;
	/** The value, or undefined when `raw` is not acceptable. Its own result is always acceptable: parse(parse(x)) = parse(x). */
	parse(raw: unknown): Value | undefined;
	/** Never set: carries the type that a caller of the library may pass. */
	readonly input?: Input;
}

interface Settings<Value> {
	help: string;
	default?: Value;
	required?: true;
	defaultNote?: string;
	unit?: string;
	placeholder?: string;
	positional?: true;
	needs?: Needs;
}

type PresenceOf<S> = S extends { required: true }
	? "required"
	: S extends { default: unknown }
		? "default"
		: "optional";

export function number<const S extends Settings<number> & Range>(settings: S): Option<number, PresenceOf<S>> {
	const range = rangeOf(settings);
	return make("number", settings, {
		placeholder: "NUMBER",
		expected: `a number${describeRange(range)}`,
		range,
		parse: (raw) => inRange(toNumber(raw), range),
	});
}

export function integer<const S extends Settings<number> & Range>(settings: S): Option<number, PresenceOf<S>> {
	const range = rangeOf(settings);
	return make("integer", settings, {
		placeholder: "NUMBER",
		expected: `a whole number${describeRange(range)}`,
		range,
		parse: (raw) => {
			const value = inRange(toNumber(raw), range);
			return Number.isSafeInteger(value) ? value : undefined;
		},
	});
}

export function boolean<const S extends Settings<boolean>>(settings: S): Option<boolean, PresenceOf<S>> {
	return make("boolean", settings, {
		placeholder: "",
		expected: "true or false",
		parse: (raw) => (raw === true || raw === "true" ? true : raw === false || raw === "false" ? false : undefined),
	});
}

/** Any text, the empty one included. */
export function text<const S extends Settings<string>>(settings: S): Option<string, PresenceOf<S>> {
	return make("text", settings, { placeholder: "TEXT", expected: "text", parse: toText });
}

/** The name of a file or folder. Whether it exists is the recipe's affair. */
export function path<const S extends Settings<string>>(settings: S): Option<string, PresenceOf<S>> {
	return make("path", settings, {
		placeholder: "FILE",
		expected: "the name of a file or folder",
		parse: (raw) => (typeof raw === "string" && raw !== "" ? raw : undefined),
	});
}

export function choice<const C extends readonly string[], const S extends Settings<C[number]>>(
	choices: C,
	settings: S,
): Option<C[number], PresenceOf<S>> {
	return make("choice", settings, {
		placeholder: choices.join("|"),
		expected: anyOf(choices),
		choices,
		// YAML reads `base-bits: 4` as a number.
		parse: (raw) => choices.find((candidate) => candidate === toText(raw)),
	});
}

/** Words from a closed set, or any words: `a,b,c` or `none` on the command line, a YAML list in a config file. */
export function list<const S extends Settings<readonly string[]> & { choices?: readonly string[] }>(
	settings: S,
): Option<readonly string[], PresenceOf<S>, readonly string[] | string> {
	const { choices } = settings;
	return make("list", settings, {
		placeholder: "NAMES",
		expected: `${choices === undefined ? "names" : `some of ${choices.join(", ")},`} separated by commas, or none`,
		choices,
		parse: (raw) => {
			if (raw === "none") return [];
			const names = typeof raw === "string" ? raw.split(",").map((name) => name.trim()) : toTexts(raw);
			return names?.every((name) => name !== "" && (choices?.includes(name) ?? true)) ? names : undefined;
		},
	});
}

/** One or more file names: `--data a.jsonl b.jsonl`. Commas belong to the names. */
export function paths<const S extends Settings<readonly string[]>>(
	settings: S,
): Option<readonly string[], PresenceOf<S>, readonly string[] | string> {
	return make("list", settings, {
		placeholder: "FILE",
		expected: "one or more files",
		variadic: true,
		parse: (raw) => {
			const names = toTexts(raw);
			return names !== undefined && names.length > 0 && names.every((name) => name !== "") ? names : undefined;
		},
	});
}

/** One or more texts, each an argument of its own. */
export function texts<const S extends Settings<readonly string[]>>(
	settings: S,
): Option<readonly string[], PresenceOf<S>, readonly string[] | string> {
	return make("list", settings, { placeholder: "TEXT", expected: "one or more texts", variadic: true, parse: toTexts });
}

/** A number strictly between 0 and 1 (0 itself means none), or the name of a file. A file called `0.1` is written `./0.1`. */
export function fractionOrFile<const S extends Settings<number | string>>(
	settings: S,
): Option<number | string, PresenceOf<S>> {
	return make("fraction-or-file", settings, {
		placeholder: "FILE|FRACTION",
		expected: "a fraction from 0 to below 1, or a file",
		parse: (raw) => {
			const value = toNumber(raw);
			if (value !== undefined) return inRange(value, { min: 0, below: 1 });
			return typeof raw === "string" && raw !== "" && !looksNumeric(raw) ? raw : undefined;
		},
	});
}

/**
 * `key=value,key=value` on the command line, a map in a config file or a program. All of `keys` have to be there, those of
 * `extra` may.
 */
export function pairs<
	const K extends readonly string[],
	const E extends readonly string[],
	const S extends Settings<Readonly<Record<string, string>>>,
>(keys: K, settings: S & { extra: E }): Option<Pairs<K, E>, PresenceOf<S>, Pairs<K, E> | string> {
	const known: readonly string[] = [...keys, ...settings.extra];
	return make("pairs", settings, {
		placeholder: "KEY=NAME,...",
		expected: `${keys.map((key) => `${key}=NAME`).join(",")}, and perhaps ${settings.extra.map((key) => `${key}=NAME`).join(",")}`,
		choices: known,
		parse: (raw) => {
			const entries = typeof raw === "string" ? raw.split(",").map(splitPair) : mapEntries(raw);
			const given = new Map(entries);
			const acceptable =
				given.size === entries?.length &&
				entries.every(([key, value]) => known.includes(key) && typeof value === "string" && value !== "") &&
				keys.every((key) => given.has(key));
			return acceptable ? (Object.fromEntries(entries) as Pairs<K, E>) : undefined;
		},
	});
}

type Pairs<K extends readonly string[], E extends readonly string[]> = { [Key in K[number]]: string } & {
	[Key in E[number]]?: string;
};

export function ramp<const S extends Settings<BatchRamp>>(
	settings: S,
): Option<BatchRamp, PresenceOf<S>, BatchRamp | string> {
	return make("ramp", settings, {
		placeholder: "FROM:TO@PART",
		expected: "FROM:TO@PART as in 8:64@0.3, FROM at most TO, PART above 0 and at most 1",
		parse: (raw) => (typeof raw === "string" ? rampFromText(raw) : rampFromObject(raw)),
	});
}

const unitSeconds = { s: 1, m: 60, h: 3600 } as const;

/** A time in seconds; `90s`, `30m`, `1.5h` on the command line. */
export function duration<const S extends Settings<number>>(
	settings: S,
): Option<number, PresenceOf<S>, number | string> {
	return make("duration", settings, {
		placeholder: "TIME",
		expected: "a time above 0 with its unit, as in 90s, 30m or 2h",
		parse: (raw) => {
			const text = typeof raw === "string" ? /^(\d+\.?\d*|\.\d+)([smh])$/.exec(raw.trim()) : null;
			const seconds = text ? Number(text[1]) * unitSeconds[text[2] as keyof typeof unitSeconds] : raw;
			return inRange(typeof seconds === "number" ? seconds : undefined, { above: 0 });
		},
	});
}

/** A value as it stands in messages: short, on one line. */
export function describeValue(value: unknown): string {
	if (value === undefined || value === null || value === "") return value === "" ? "empty text" : "nothing";
	const shown = typeof value === "string" || typeof value === "number" ? String(value) : JSON.stringify(value);
	return shown.length > 80 ? `${shown.slice(0, 77)}...` : shown;
}

type Fixed<Value> = Pick<Option<Value>, "placeholder" | "expected" | "parse"> &
	Partial<Pick<Option<Value>, "range" | "choices" | "variadic">>;

function make<Value, P extends Presence, Input>(
	kind: OptionKind,
	settings: Settings<unknown>,
	fixed: Fixed<Value>,
): Option<Value, P, Input> {
	const presence: Presence = settings.required ? "required" : settings.default === undefined ? "optional" : "default";
	return {
		kind,
		help: settings.help,
		placeholder: settings.placeholder ?? fixed.placeholder,
		expected: fixed.expected,
		presence: presence as P,
		default: settings.default as Value | undefined,
		defaultNote: settings.defaultNote,
		unit: settings.unit,
		range: fixed.range,
		choices: fixed.choices,
		variadic: fixed.variadic ?? false,
		positional: settings.positional ?? false,
		needs: settings.needs,
		parse: fixed.parse,
	};
}

function rampFromText(raw: string): BatchRamp | undefined {
	try {
		return parseBatchRamp(raw);
	} catch {
		return undefined;
	}
}

function rampFromObject(raw: unknown): BatchRamp | undefined {
	const { from, to, over } = (raw ?? {}) as Partial<Record<keyof BatchRamp, unknown>>;
	if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || typeof over !== "number") return undefined;
	const value = { from: from as number, to: to as number, over };
	return value.from >= 1 && value.from <= value.to && over > 0 && over <= 1 ? value : undefined;
}

const decimal = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function toNumber(raw: unknown): number | undefined {
	if (typeof raw === "string") return decimal.test(raw.trim()) ? Number(raw) : undefined;
	return typeof raw === "number" && Number.isFinite(raw) ? raw : undefined;
}

function looksNumeric(raw: string): boolean {
	return decimal.test(raw.trim()) || /^[-+]?(nan|inf|infinity)$/i.test(raw.trim());
}

function toText(raw: unknown): string | undefined {
	// YAML reads `prefix: 42` as a number, where only text can have been meant.
	return typeof raw === "string" ? raw : typeof raw === "number" ? String(raw) : undefined;
}

function toTexts(raw: unknown): readonly string[] | undefined {
	if (typeof raw === "string") return [raw];
	return Array.isArray(raw) && raw.every((item) => typeof item === "string") ? raw : undefined;
}

function splitPair(pair: string): [string, string] {
	const at = pair.indexOf("=");
	return at < 0 ? [pair.trim(), ""] : [pair.slice(0, at).trim(), pair.slice(at + 1).trim()];
}

function mapEntries(raw: unknown): [string, unknown][] | undefined {
	return typeof raw === "object" && raw !== null && !Array.isArray(raw) ? Object.entries(raw) : undefined;
}

function rangeOf({ min, max, above, below }: Range): Range {
	return {
		...(min !== undefined && { min }),
		...(max !== undefined && { max }),
		...(above !== undefined && { above }),
		...(below !== undefined && { below }),
	};
}

function inRange(value: number | undefined, range: Range): number | undefined {
	if (value === undefined) return undefined;
	const { min = -Infinity, max = Infinity, above = -Infinity, below = Infinity } = range;
	// Adding 0 turns -0 into 0, which JSON and YAML would do anyway.
	return Number.isFinite(value) && value >= min && value <= max && value > above && value < below
		? value + 0
		: undefined;
}

function describeRange({ min, max, above, below }: Range): string {
	if (min !== undefined && max !== undefined) return ` from ${min} to ${max}`;
	const parts = [
		...(above === undefined ? [] : [`above ${above}`]),
		...(min === undefined ? [] : [`of at least ${min}`]),
		...(below === undefined ? [] : [`below ${below}`]),
		...(max === undefined ? [] : [`at most ${max}`]),
	];
	return parts.length === 0 ? "" : ` ${parts.join(" and ")}`;
}

function anyOf(choices: readonly string[]): string {
	return choices.length < 2 ? choices.join("") : `${choices.slice(0, -1).join(", ")} or ${choices.at(-1)}`;
}

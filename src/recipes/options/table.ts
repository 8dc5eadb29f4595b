// Option tables: named groups of options, put together into one table a job. A table is the only place where an option
// is defined: its TypeScript type, flag, config key, default, check and help line all come from here.
import type { Option } from "./option.ts";

export type Options = Readonly<Record<string, Option>>;

/** Options that stand together under one heading in help. Names are camelCase. */
export interface OptionGroup<O extends Options = Options> {
	readonly title: string;
	readonly options: O;
}

export interface OptionTable<O extends Options = Options> {
	readonly job: string;
	readonly groups: readonly OptionGroup[];
	/** All options of all groups, by name. */
	readonly options: O;
	/** Pairs of which only one may be given. */
	readonly exclusive: readonly (readonly [string, string])[];
	/** Names that a config file may hold for another job that shares the file; they are skipped here. */
	readonly foreign: ReadonlySet<string>;
}

/** The options of a table with their defaults filled in: what a recipe works with. */
export type OptionsOf<T extends OptionTable> = {
	-readonly [Name in keyof T["options"]]: T["options"][Name] extends Option<infer Value, infer P, infer _Input>
		? P extends "optional"
			? Value | undefined
			: Value
		: never;
};

type InputOf<O> = O extends Option<infer _Value, infer _P, infer Input> ? Input : never;
type RequiredNames<T extends OptionTable> = {
	[Name in keyof T["options"]]: T["options"][Name] extends Option<unknown, "required", unknown> ? Name : never;
}[keyof T["options"]];
// A job that can be resumed finds in the earlier run what is otherwise required.
type InsistedNames<T extends OptionTable> = "resume" extends keyof T["options"] ? never : RequiredNames<T>;

/** What a caller of the library passes. */
export type OptionsInput<T extends OptionTable> = {
	[Name in Exclude<keyof T["options"], InsistedNames<T>>]?: InputOf<T["options"][Name]> | undefined;
} & { [Name in InsistedNames<T>]: InputOf<T["options"][Name]> };

type Merged<G extends readonly OptionGroup[]> = G extends readonly [
	infer First extends OptionGroup,
	...infer Rest extends readonly OptionGroup[],
]
	? First["options"] & Merged<Rest>
	: unknown;

// Without an index signature, which would let any name pass.
type Checked<O> = O extends Options ? O : never;

export function optionGroup<const O extends Options>(title: string, options: O): OptionGroup<O> {
	return { title, options };
}

export interface TableRules {
	exclusive?: readonly (readonly [string, string])[];
	/** A table whose config files this job also reads. */
	sharesConfigWith?: OptionTable;
}

/** Puts groups together. Throws (a bug of ours) when two groups define the same option or a rule names an unknown one. */
export function optionTable<const G extends readonly OptionGroup[]>(
	{ job, exclusive = [], sharesConfigWith }: { job: string } & TableRules,
	groups: G,
): OptionTable<Checked<Merged<G>>> {
	const options: Record<string, Option> = {};
	for (const group of groups) {
		for (const [name, option] of Object.entries(group.options)) {
			if (name in options) throw new Error(`the option ${name} of ${job} is defined twice`);
			options[name] = option;
		}
	}
	const rules = exclusive.flat().concat(Object.values(options).flatMap((option) => Object.keys(option.needs ?? {})));
	for (const name of rules) {
		if (!(name in options)) throw new Error(`a rule of ${job} names the option ${name}, which it does not have`);
	}
	const foreign = Object.keys(sharesConfigWith?.options ?? {}).filter((name) => !(name in options));
	return { job, groups, options: options as Checked<Merged<G>>, exclusive, foreign: new Set(foreign) };
}

/** learningRate -> learning-rate: the name of an option as a flag (without dashes) and as a config key. */
export function kebabCase(name: string): string {
	return name.replace(/[A-Z]/g, (capital) => `-${capital.toLowerCase()}`);
}

/** learning-rate -> learningRate. A name that is camelCase already stays as it is. */
export function camelCase(key: string): string {
	return key.replace(/-([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

// The search space: named parameters, each a range or a set of choices, some active only when another has a certain
// value. A space is plain data (what `float`, `int` and `categorical` return is what the journal holds), and the type of
// its points is inferred from it. Reading a space from YAML or JSON is parse-space.ts; points and the unit cube are point.ts.

/** Anything JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export type Choice = string | number | boolean | null;

/** Active only while each named categorical parameter has (one of) the given value(s). */
export type When = { readonly [parent: string]: Choice | readonly Choice[] };

interface Shared {
	readonly when?: When;
}

export interface FloatParameter extends Shared {
	readonly type: "float";
	readonly low: number;
	readonly high: number;
	/** Searched on a logarithmic scale: right for learning rates and everything that spans decades. */
	readonly log?: boolean;
	readonly default?: number;
}

export interface IntParameter extends Shared {
	readonly type: "int";
	/** Inclusive. */
	readonly low: number;
	/** Inclusive. */
	readonly high: number;
	readonly log?: boolean;
	/** Distance between neighbouring values; 1 unless said. */
	readonly step?: number;
	readonly default?: number;
}

export interface CategoricalParameter<C extends Choice = Choice> extends Shared {
	readonly type: "categorical";
	readonly choices: readonly C[];
	readonly default?: C;
}

export type Parameter = FloatParameter | IntParameter | CategoricalParameter;
export type Space = { readonly [name: string]: Parameter };

/** A point of any space. A parameter that is not active is absent. */
export type Params = { readonly [name: string]: Choice };

type ValueOf<P> = P extends { readonly type: "float" | "int" }
	? number
	: P extends CategoricalParameter<infer C>
		? C
		: never;
type Conditional = { readonly when: When };
type Flat<T> = { readonly [K in keyof T]: T[K] };

/** The points of space `S`: conditional parameters are optional. */
export type ParamsOf<S extends Space> = Flat<
	{ readonly [K in keyof S as S[K] extends Conditional ? never : K]: ValueOf<S[K]> } & {
		readonly [K in keyof S as S[K] extends Conditional ? K : never]?: ValueOf<S[K]>;
	}
>;

type FloatOptions = Omit<FloatParameter, "type" | "when">;
type IntOptions = Omit<IntParameter, "type" | "when">;

/** A real number in [low, high]: `float({ low: 1e-6, high: 1e-2, log: true })`. */
export function float(options: FloatOptions & Conditional): FloatParameter & Conditional;
export function float(options: FloatOptions): FloatParameter;
export function float(options: FloatOptions & Shared): FloatParameter {
	return { type: "float", ...options };
}

/** A whole number in [low, high], both included: `int({ low: 1, high: 64, log: true, when: { method: "lora" } })`. */
export function int(options: IntOptions & Conditional): IntParameter & Conditional;
export function int(options: IntOptions): IntParameter;
export function int(options: IntOptions & Shared): IntParameter {
	return { type: "int", ...options };
}

/** One of the choices; they have no order: `categorical(["full", "lora"])`. The first is the default unless said. */
export function categorical<const C extends Choice>(
	choices: readonly C[],
	options: { readonly default?: NoInfer<C> } & Conditional,
): CategoricalParameter<C> & Conditional;
export function categorical<const C extends Choice>(
	choices: readonly C[],
	options?: { readonly default?: NoInfer<C> },
): CategoricalParameter<C>;
export function categorical(
	choices: readonly Choice[],
	options: { readonly default?: Choice } & Shared = {},
): CategoricalParameter {
	return { type: "categorical", choices, ...options };
}

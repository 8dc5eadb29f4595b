// The contract of an optimizer: its settings, what it remembers of each parameter, and one update as a graph of
// element-wise operators. It holds no arrays and runs nothing: parameter-updater.ts does. A new optimizer is a file beside
// adamw.ts and a row in optimizers.ts; the conformance suite and the fixtures from torch.optim are then its judges.

import type { Value } from "../graph/index.ts";

export type Settings = Readonly<Record<string, number | boolean>>;

/** The default of a setting, and for numbers the values it may take: from `min`, up to but without `below`. */
export type SettingRule<T> = T extends number ? { default: number; min: number; below?: number } : { default: boolean };

/** What changes from step to step. */
export interface Moment {
	/** 1 at the first update. */
	readonly step: number;
	/** Of this parameter: with the schedule's factor and the parameter's own scale in it. */
	readonly learningRate: number;
	/** The gradient is used times this: clipping, or the mean over accumulated micro-steps. */
	readonly gradientScale: number;
}

/** The values an update is built from. All have the shape [N] except the scalars, which have the shape []. */
export interface UpdateInputs {
	readonly parameter: Value;
	/** As backward left it. It is read, never written. */
	readonly gradient: Value;
	/** One for each of `states(settings)`. */
	readonly states: Readonly<Record<string, Value>>;
	/** The scalar of this name, which `scalars` computes for each step; asking for it declares it. */
	scalar(name: string): Value;
}

/** New values, each written over the memory of its old one. */
export interface Update {
	readonly parameter: Value;
	readonly states: Readonly<Record<string, Value>>;
}

/**
 * One optimizer, for parameters that all have the same settings. Equal inputs give equal bits, whatever the length of
 * the piece that is updated, so a parameter may be updated in pieces and in any order.
 */
export interface Optimizer<S extends Settings = Settings> {
	readonly settings: { readonly [Name in keyof S]: SettingRule<S[Name]> };

	/** Names of the tensors kept for each parameter, of its size, zero before the first update. torch.optim's names. */
	states(settings: S): readonly string[];

	/**
	 * The update as a graph. Each operator is a pass over memory, so there are as few as can be: what is the same for all
	 * elements is combined by `scalars`, in double precision, not here.
	 */
	update(inputs: UpdateInputs, variant: Variant<S>): Update;

	/** The values of the scalars that `update` asked for with the same variant. */
	scalars(moment: Moment, variant: Variant<S>): Readonly<Record<string, number>>;
}

export interface Variant<S extends Settings = Settings> {
	readonly settings: S;
	/** Whether weight decay applies to the parameter; the graph without it has fewer passes. */
	readonly decays: boolean;
}

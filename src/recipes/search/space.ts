// What a search of fine-tuning settings may change, and what a point of it means. A parameter is named after the option
// that it sets; `learningRate.sgd` sets learningRate, too, where another parameter decides which of the two is active, and
// `warmupSteps.part` sets warmupSteps as a part of the run.
//
// The ranges are the field's (shared rules of thumb, not fitted to a data set): full training of a pretrained model wants
// about the rate that `finetune` takes by itself, give or take a decade; small models bear more; adapters ten times as much.

import { parseSpace } from "../../search/parse-space.ts";
import { defaultPoint } from "../../search/point.ts";
import type { Choice, Parameter, Params, Space } from "../../search/space.ts";
import { closest, UserError } from "../../util/errors.ts";
import type { finetuneOptions } from "../options/jobs.ts";
import type { SearchObjective } from "../options/recipe.ts";
import type { ConfigFile } from "../options/resolve.ts";
import { camelCase, kebabCase, type OptionsOf } from "../options/table.ts";
import { optionOf } from "./wording.ts";

type Values = OptionsOf<typeof finetuneOptions>;

/** What the default space depends on. */
export interface SpaceFacts {
	/** The settings that `finetune` would take by itself. */
	defaults: Pick<Values, "epochs" | "batchSize" | "lora" | "loraRank" | "loraAlpha"> & { learningRate: number };
	/** Examples of one pass over the training data, and how many tokens each has on average. */
	examples: number;
	tokensPerExample: number;
	/** Most passes over the data that one trial can be given; at least a part of one. */
	mostEpochs: number;
	objectives: readonly SearchObjective[];
}

/** Tokens of a batch that are worth trying: fewer are noise, more are few updates. */
const batchTokens = { low: 256, high: 4096 };

/** The default space: every setting that usually matters, in an order that puts parents first. */
export function defaultSpace(facts: SpaceFacts): Space {
	const { defaults, objectives } = facts;
	const { epochs, batchSize } = lengths(facts);
	const rate = defaults.learningRate;
	const space: Record<string, Parameter> = {
		optimizer: { type: "categorical", choices: ["adamw", "adam", "rmsprop", "sgd"] },
		learningRate: {
			type: "float",
			low: round(rate / 10),
			high: round(rate * 30),
			log: true,
			default: rate,
			when: { optimizer: ["adamw", "adam", "rmsprop"] },
		},
		// Without a scale for each weight the rate has to be as large as the gradients are small.
		"learningRate.sgd": {
			type: "float",
			low: round(rate * 30),
			high: round(rate * 3000),
			log: true,
			when: { optimizer: "sgd" },
		},
		...(epochs && { epochs }),
		...(batchSize && { batchSize }),
		batchRamp: { type: "categorical", choices: ["none", "quarter"] },
		lrSchedule: { type: "categorical", choices: ["cosine", "linear", "wsd", "constant"] },
		"warmupSteps.part": { type: "categorical", choices: [0.05, 0, 0.2] },
		weightDecay: { type: "categorical", choices: [0.01, 0, 0.1] },
	};
	if (defaults.lora) {
		space.loraRank = {
			type: "categorical",
			choices: defaultFirst([4, 8, 16, 32], defaults.loraRank),
		};
		space.loraAlpha = { type: "categorical", choices: defaultFirst([8, 16, 32, 64], defaults.loraAlpha) };
		if (objectives.some((objective) => objective !== "quality")) {
			space.baseBits = { type: "categorical", choices: ["32", "8", "4"] };
		}
	}
	return space;
}

function lengths({ defaults, examples, tokensPerExample, mostEpochs }: SpaceFacts) {
	const high = Number(mostEpochs.toPrecision(2));
	const low = Number(Math.min(1, high / 4).toPrecision(2));
	const epochs: Parameter = {
		type: "float",
		low,
		high,
		log: true,
		default: Math.min(Math.max(defaults.epochs, low), high),
	};
	const most = Math.max(1, Math.floor(examples / 8));
	const least = Math.min(most, Math.max(1, Math.round(batchTokens.low / tokensPerExample)));
	const largest = Math.min(most, Math.max(least, Math.round(batchTokens.high / tokensPerExample)));
	const batchSize: Parameter | undefined =
		least < largest
			? {
					type: "int",
					low: Math.min(least, defaults.batchSize),
					high: Math.max(largest, defaults.batchSize),
					log: true,
					default: defaults.batchSize,
				}
			: undefined;
	return { epochs, batchSize };
}

const round = (value: number) => Number(value.toPrecision(2));

const defaultFirst = (choices: readonly number[], first: number) => [first, ...choices.filter((one) => one !== first)];

/** Values of `baseBits` and `batchRamp` that stand for "as if it was not given". */
const unset: Readonly<Record<string, Choice>> = { baseBits: "32", batchRamp: "none" };

/**
 * Points worth trying before any model knows better: the usual settings at rates that are often right where the usual one
 * is careful, for as long as can be.
 */
export function informedGuesses(space: Space): Params[] {
	const { learningRate, epochs } = space;
	if (learningRate?.type !== "float" || learningRate.default === undefined) return [];
	const usual = defaultPoint(space).learningRate as number | undefined;
	if (usual === undefined) return [];
	return [3, 8].flatMap((factor) => {
		const rate = usual * factor;
		if (rate > learningRate.high) return [];
		return [{ learningRate: rate, ...(epochs?.type === "float" && { epochs: epochs.high }) }];
	});
}

/** A point as options of `finetune`, beside the values of everything that is not searched. */
export function settingsOf(
	point: Params,
	{ fixed, examples }: { fixed: Pick<Values, "batchSize" | "accumulate" | "epochs" | "steps">; examples: number },
): Record<string, unknown> {
	const settings: Record<string, unknown> = {};
	for (const [name, value] of Object.entries(point)) {
		const option = optionOf(name);
		if (unset[option] !== value) settings[option] = value;
	}
	const { batchSize, accumulate, epochs, steps } = { ...fixed, ...settings } as typeof fixed;
	const part = point["warmupSteps.part"];
	if (part !== undefined) {
		const all = steps ?? Math.floor((epochs * examples) / (batchSize * accumulate));
		settings.warmupSteps = Math.floor((part as number) * all);
	}
	if (settings.batchRamp === "quarter") {
		// From a quarter of the batch to the whole of it, over the first half of training.
		settings.batchRamp = { from: Math.max(1, Math.round(batchSize / 4)), to: batchSize, over: 0.5 };
	}
	return settings;
}

/**
 * The space of a search: the default one, without what was fixed, changed by a file and by flags. In a file and in a flag
 * a range or choices replace or add a parameter, and a single value fixes it; what is fixed comes back as `fixed`.
 */
export function composeSpace(
	base: Space,
	{
		values,
		given,
		file,
		vary = [],
		known,
	}: {
		/** Every option's value without a search. */
		values: Readonly<Record<string, unknown>>;
		/** Options that were given a value, which they keep. */
		given: ReadonlySet<string>;
		file?: ConfigFile | undefined;
		vary?: readonly string[] | undefined;
		/** Every option that a search may change. */
		known: ReadonlySet<string>;
	},
): { space: Space; fixed: Record<string, unknown> } {
	const raw: Record<string, unknown> = {};
	const fixed: Record<string, unknown> = {};
	for (const [name, parameter] of Object.entries(base)) if (!given.has(optionOf(name))) raw[name] = parameter;
	const put = (written: string, value: unknown, where: string) => {
		const [head, ...rest] = written.split(".");
		const name = [camelCase(head as string), ...rest].join(".");
		checkKnown(optionOf(name), { known, where });
		if (typeof value === "object" && value !== null) raw[name] = withCamelCaseParents(value);
		else {
			for (const other of Object.keys(raw)) if (optionOf(other) === optionOf(name)) delete raw[other];
			fixed[optionOf(name)] = value;
		}
	};
	// A file says what to search: what it does not name keeps its value.
	if (file) {
		for (const name of Object.keys(raw)) delete raw[name];
		for (const { key, value, line } of file.entries) put(key, value, `${file.file}, line ${line}`);
	}
	for (const text of vary) {
		const at = text.indexOf("=");
		if (at < 1) throw varyError(text);
		put(text.slice(0, at).trim(), rangeFrom(text.slice(at + 1).trim(), text), `--vary ${text}`);
	}
	for (const name of Object.keys(raw)) {
		const { when } = raw[name] as { when?: Record<string, unknown> };
		// A parameter whose parent was fixed is there always or never.
		for (const parent of Object.keys(when ?? {})) {
			if (parent in raw) continue;
			const value = fixed[parent] ?? values[parent];
			const { when: _, ...always } = raw[name] as Record<string, unknown>;
			const wanted = (when as Record<string, unknown>)[parent];
			const holds = Array.isArray(wanted) ? wanted.includes(value) : wanted === value;
			if (holds) raw[name] = always;
			else delete raw[name];
		}
	}
	return { space: parseSpace(raw), fixed };
}

/** In a file the names in `when` are written as all names are. */
function withCamelCaseParents(parameter: object): object {
	const { when } = parameter as { when?: unknown };
	if (typeof when !== "object" || when === null) return parameter;
	return {
		...parameter,
		when: Object.fromEntries(Object.entries(when).map(([name, value]) => [camelCase(name), value])),
	};
}

function checkKnown(option: string, { known, where }: { known: ReadonlySet<string>; where: string }): void {
	if (known.has(option)) return;
	const nearest = closest(kebabCase(option), [...known].map(kebabCase));
	throw new UserError("SPACE_UNKNOWN", `There is no option ${kebabCase(option)} that a search could change.`, {
		where,
		expected: [...known].map(kebabCase).join(", "),
		found: kebabCase(option),
		...(nearest !== undefined && { hint: nearest }),
	});
}

/** `1e-5..1e-2:log`, `4..64`, `adamw,sgd`, or one value. Whole bounds make a range of whole numbers. */
function rangeFrom(text: string, whole: string): unknown {
	const range = /^([-+.\de]+)\.\.([-+.\de]+?)(:log)?$/i.exec(text);
	if (range) {
		const [low, high] = [Number(range[1]), Number(range[2])];
		if (!Number.isFinite(low) || !Number.isFinite(high)) throw varyError(whole);
		const type = [range[1], range[2]].every((bound) => /^[-+]?\d+$/.test(bound as string)) ? "int" : "float";
		return { type, low, high, ...(range[3] && { log: true }) };
	}
	const choices = text.split(",").map((choice) => choiceFrom(choice.trim()));
	if (choices.some((choice) => choice === "")) throw varyError(whole);
	return choices.length === 1 ? choices[0] : { type: "categorical", choices };
}

function choiceFrom(text: string): Choice {
	if (text === "true" || text === "false") return text === "true";
	return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
}

function varyError(found: string): UserError {
	return new UserError("OPTION_INVALID", "--vary names no range.", {
		where: "--vary",
		expected: "NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=a,b,c",
		found,
	});
}

// How the parts of a trial read, in the report and on the terminal alike: settings, rungs, values.
import type { Choice } from "../../search/space.ts";
import type { SearchObjective, TrialSummary } from "../options/recipe.ts";
import { kebabCase } from "../options/table.ts";

export type Settings = TrialSummary["settings"];

/** What each objective is called where its values stand. */
export const objectiveTitles = {
	quality: "loss",
	latency: "ms/token",
	size: "MiB",
} as const satisfies Record<SearchObjective, string>;

/** In the unit of the title. */
export function formatValue(value: number | undefined, objective: SearchObjective): string {
	if (value === undefined) return "";
	if (!Number.isFinite(value)) return String(value);
	if (objective === "latency") return value.toPrecision(3);
	if (objective === "size") return (value / 2 ** 20).toFixed(1);
	return Math.abs(value) >= 1e5 || (value !== 0 && Math.abs(value) < 1e-4) ? value.toExponential(2) : value.toFixed(4);
}

/** Two or three digits, which is as much as a search can tell: 0.0000481 -> 4.8e-5, 16 -> 16, 2.4317 -> 2.43 */
export function formatChoice(value: Choice): string {
	if (typeof value !== "number") return String(value);
	if (Number.isInteger(value) && Math.abs(value) < 1e6) return String(value);
	const size = Math.abs(value);
	if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace(".0e", "e").replace("e+", "e");
	return String(Number(value.toPrecision(3)));
}

/**
 * Settings by the option they set. A range of its own under a condition, "learningRate.sgd", sets the option before the
 * dot, and wins over the general one.
 */
export function settingsByOption(settings: Settings): Map<string, Choice> {
	return new Map(Object.entries(settings).map(([name, value]) => [optionOf(name), partOf(name, value)]));
}

/** A length that is searched as a part of the run, "warmupSteps.part", reads as one. */
function partOf(name: string, value: Choice): Choice {
	return name.endsWith(".part") && typeof value === "number"
		? `${Number((100 * value).toPrecision(3))} % of the run`
		: value;
}

export function optionOf(parameter: string): string {
	return parameter.split(".")[0] as string;
}

/** learningRate.sgd -> learning-rate (sgd) */
export function parameterTitle(name: string): string {
	const [option, ...conditions] = name.split(".");
	return [kebabCase(option as string), ...(conditions.length > 0 ? [`(${conditions.join(".")})`] : [])].join(" ");
}

/** learning-rate 4.8e-5, batch-size 16 */
export function settingsLine(settings: Settings): string {
	return [...settingsByOption(settings)].map(([name, value]) => `${kebabCase(name)} ${formatChoice(value)}`).join(", ");
}

/** The parts that rungs are told in: 9 when the lowest of the rungs is a ninth of the training. */
export function rungParts(targets: readonly number[]): number {
	const lowest = Math.min(...targets.filter((target) => target > 0));
	const parts = Math.round(1 / lowest);
	return parts >= 1 && parts <= 99 ? parts : 100;
}

/** Of the whole training: "3/9" where that is what it is, else a percentage. */
export function rungName(part: number, parts: number): string {
	if (part >= 1) return "done";
	const count = Math.round(part * parts);
	// Rungs end at whole steps, so that a ninth may be 11 steps of 100.
	return Math.abs(part * parts - count) < 0.15 && parts < 100 ? `${count}/${parts}` : `${Math.round(part * 100)}%`;
}

/** One argument of a shell command. */
export function shellWord(text: string): string {
	return /^[\w@%+=:,./\\-]+$/.test(text) ? text : `"${text.replace(/["$`]/g, "\\$&")}"`;
}

/** 12.3 s, 4 min 5 s, 1 h 2 min */
export function duration(seconds: number): string {
	if (!(seconds >= 0) || seconds === Number.POSITIVE_INFINITY) return "?";
	if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
	const whole = Math.round(seconds);
	const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
	return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`;
}

// The optimizers by name, and the reading of their settings.

import { closest, UserError } from "../util/errors.ts";
import { adam } from "./adam.ts";
import { adamw } from "./adamw.ts";
import type { Optimizer, SettingRule, Settings } from "./optimizer.ts";
import { rmsprop } from "./rmsprop.ts";
import { sgd } from "./sgd.ts";

const table = { adamw, adam, sgd, rmsprop } as const;

export type OptimizerName = keyof typeof table;
export const optimizers: Readonly<Record<OptimizerName, Optimizer>> = table;
export const optimizerNames = Object.keys(table) as readonly OptimizerName[];

/** Settings with the defaults filled in. Throws UserError for a name the optimizer does not have or a value out of range. */
export function resolveSettings(name: OptimizerName, given: Partial<Settings> = {}): Settings {
	const rules = optimizers[name].settings;
	const resolved: Record<string, number | boolean> = {};
	for (const [key, rule] of Object.entries(rules))
		resolved[key] = check(given[key] ?? rule.default, { name, key, rule });
	for (const key of Object.keys(given)) {
		if (given[key] === undefined || key in rules) continue;
		const near = closest(key, Object.keys(rules));
		throw new UserError("OPTIMIZER_SETTING", `The optimizer ${name} has no setting "${key}".`, {
			expected: Object.keys(rules).join(", "),
			found: key,
			...(near !== undefined && { hint: near }),
		});
	}
	if (resolved.nesterov === true && resolved.momentum === 0) {
		throw new UserError("OPTIMIZER_SETTING", "Nesterov momentum needs a momentum.", {
			where: "nesterov",
			expected: "momentum above 0",
			found: "momentum 0",
			hint: "set momentum to 0.9",
		});
	}
	return resolved;
}

type AnyRule = SettingRule<number> | SettingRule<boolean>;

function check(value: number | boolean, { name, key, rule }: { name: string; key: string; rule: AnyRule }) {
	const numeric = "min" in rule;
	const fits = numeric
		? typeof value === "number" && value >= rule.min && value < (rule.below ?? Number.POSITIVE_INFINITY)
		: typeof value === "boolean";
	if (fits) return value;
	const range = numeric
		? `from ${rule.min}${rule.below === undefined ? "" : ` to less than ${rule.below}`}`
		: "true or false";
	throw new UserError("OPTIMIZER_SETTING", `${value} is no value for the setting ${key} of ${name}.`, {
		where: key,
		expected: range,
		found: String(value),
	});
}

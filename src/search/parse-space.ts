// Reading a space from outside: YAML or JSON data, or an object built by hand. Every mistake names the field it is in.
// Parents must stand before the parameters that depend on them, so conditions cannot go round in a circle.
import { closest, UserError } from "../util/errors.ts";
import type { Choice, Parameter, Space, When } from "./space.ts";

const FIELDS = {
	float: ["type", "low", "high", "log", "default", "when"],
	int: ["type", "low", "high", "log", "step", "default", "when"],
	categorical: ["type", "choices", "default", "when"],
} satisfies Record<Parameter["type"], string[]>;

type Fields = { readonly [field: string]: unknown };

/**
 * A checked space from plain data:
 *
 *     rate: { type: float, low: 1e-6, high: 1e-2, log: true }
 *     method: [full, lora]                 # short for { type: categorical, choices: [full, lora] }
 *     rank: { type: int, low: 1, high: 64, log: true, when: { method: lora } }
 *
 * Throws a UserError with code SPACE_INVALID that names the field.
 */
export function parseSpace(data: unknown): Space {
	if (!isFields(data)) throw invalid("space", "The search space must map names to parameters.", show(data));
	const space: { [name: string]: Parameter } = {};
	for (const [name, value] of Object.entries(data)) {
		checkName(name);
		space[name] = parseParameter(name, value, space);
	}
	if (Object.keys(space).length === 0) throw invalid("space", "The search space has no parameters.");
	return space;
}

function checkName(name: string): void {
	if (/^(random[_-]?)?seed$/i.test(name)) {
		throw new UserError("SPACE_SEED", `"${name}" cannot be searched: the best seed is luck, not a setting.`, {
			where: `space.${name}`,
			hint: "Remove it. The study gives each trial its seed (`trial.seed`); measure seed noise with `noiseSeeds`.",
		});
	}
	if (!/^[A-Za-z_][\w.-]*$/.test(name) || name === "__proto__") {
		throw invalid(`space.${name}`, `"${name}" cannot be the name of a parameter.`, undefined, {
			expected: "a letter or _, then letters, digits, _, . or -",
		});
	}
}

function parseParameter(name: string, value: unknown, before: Space): Parameter {
	const where = `space.${name}`;
	const fields = Array.isArray(value) ? { type: "categorical", choices: value } : value;
	if (!isFields(fields)) {
		throw invalid(where, `"${name}" must be a parameter.`, show(value), {
			expected: '{ type: "float" | "int" | "categorical", ... } or a list of choices',
		});
	}
	const { type } = fields;
	if (type !== "float" && type !== "int" && type !== "categorical") {
		throw invalid(`${where}.type`, `"${name}" has an unknown type.`, show(type), {
			expected: "float, int or categorical",
			...(typeof type === "string" && hintFor(type, Object.keys(FIELDS))),
		});
	}
	const known: string[] = FIELDS[type];
	for (const field of Object.keys(fields)) {
		if (!known.includes(field)) {
			throw invalid(`${where}.${field}`, `A ${type} parameter has no field "${field}".`, field, {
				expected: known.join(", "),
				...hintFor(field, known),
			});
		}
	}
	const when = fields.when === undefined ? {} : { when: parseWhen(`${where}.when`, fields.when, before) };
	if (type === "categorical") return { type, ...parseChoices(where, fields), ...when };
	return { type, ...parseRange(where, type, fields), ...when };
}

function parseRange(where: string, type: "float" | "int", fields: Fields) {
	const low = number(`${where}.low`, fields.low);
	const high = number(`${where}.high`, fields.high);
	const log = flag(`${where}.log`, fields.log);
	if (low >= high) {
		throw invalid(`${where}.high`, "The range is empty.", `low ${low}, high ${high}`, {
			expected: "low < high",
			hint: "To fix a setting, leave it out of the space.",
		});
	}
	if (log && low <= 0) {
		throw invalid(`${where}.low`, "A logarithmic scale starts above 0.", `${low}`, { expected: "low > 0" });
	}
	const step = fields.step === undefined ? undefined : number(`${where}.step`, fields.step);
	if (type === "int") {
		for (const [field, bound] of Object.entries({ low, high, step: step ?? 1 })) {
			if (!Number.isSafeInteger(bound)) {
				throw invalid(`${where}.${field}`, "An int parameter has whole bounds and step.", `${bound}`);
			}
		}
		if (step !== undefined && step < 1) throw invalid(`${where}.step`, "The step must be at least 1.", `${step}`);
		const rest = (high - low) % (step ?? 1);
		if (rest !== 0) {
			throw invalid(`${where}.step`, "Steps from low do not arrive at high.", `${low} + k * ${step}, high ${high}`, {
				hint: `Use high: ${high - rest}.`,
			});
		}
	}
	const fallback = fields.default === undefined ? undefined : number(`${where}.default`, fields.default);
	if (fallback !== undefined) {
		const offGrid = type === "int" && (fallback - low) % (step ?? 1) !== 0;
		if (fallback < low || fallback > high || offGrid) {
			throw invalid(`${where}.default`, "The default is not in the range.", `${fallback}`);
		}
	}
	return {
		low,
		high,
		...(log && { log }),
		...(step !== undefined && { step }),
		...(fallback !== undefined && { default: fallback }),
	};
}

function parseChoices(where: string, fields: Fields) {
	const { choices } = fields;
	if (!Array.isArray(choices) || choices.length === 0) {
		throw invalid(`${where}.choices`, "A categorical parameter needs choices.", show(choices), {
			expected: "a list with at least one entry",
		});
	}
	choices.forEach((choice, i) => {
		if (!isChoice(choice)) {
			throw invalid(`${where}.choices[${i}]`, "A choice is a string, a number, true, false or null.", show(choice));
		}
		if (choices.indexOf(choice) !== i) throw invalid(`${where}.choices[${i}]`, "The same choice twice.", show(choice));
	});
	const fallback = fields.default;
	if (fallback === undefined) return { choices: choices as Choice[] };
	if (!choices.includes(fallback)) {
		throw invalid(`${where}.default`, "The default is not one of the choices.", show(fallback));
	}
	return { choices: choices as Choice[], default: fallback as Choice };
}

function parseWhen(where: string, value: unknown, before: Space): When {
	if (!isFields(value) || Object.keys(value).length === 0) {
		throw invalid(where, "`when` maps another parameter to the value(s) it must have.", show(value), {
			expected: 'for example { method: "lora" }',
		});
	}
	for (const [name, wanted] of Object.entries(value)) {
		const parent = Object.hasOwn(before, name) ? before[name] : undefined;
		if (parent === undefined) {
			throw invalid(`${where}.${name}`, `"${name}" is not a parameter declared before this one.`, name, {
				expected: Object.keys(before).join(", ") || "a parameter above",
				...hintFor(name, Object.keys(before)),
			});
		}
		if (parent.type !== "categorical") {
			throw invalid(`${where}.${name}`, "A condition may only look at a categorical parameter.", parent.type);
		}
		for (const choice of Array.isArray(wanted) ? wanted : [wanted]) {
			if (!parent.choices.includes(choice)) {
				throw invalid(`${where}.${name}`, `"${name}" never has this value.`, show(choice), {
					expected: parent.choices.map(show).join(", "),
				});
			}
		}
		if (Array.isArray(wanted) && wanted.length === 0) throw invalid(`${where}.${name}`, "No value is listed.");
	}
	return value as When;
}

function number(where: string, value: unknown): number {
	if (typeof value === "number" && Number.isFinite(value)) return value;
	const quoted = typeof value === "string" && value.trim() !== "" && Number.isFinite(Number(value));
	throw invalid(
		where,
		"A finite number is needed here.",
		show(value),
		quoted ? { hint: `Write ${value} without quotes.` } : {},
	);
}

function flag(where: string, value: unknown): boolean {
	if (value === undefined || typeof value === "boolean") return value === true;
	throw invalid(where, "true or false is needed here.", show(value));
}

function isFields(value: unknown): value is Fields {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isChoice(value: unknown): value is Choice {
	return (
		value === null ||
		typeof value === "string" ||
		typeof value === "boolean" ||
		(typeof value === "number" && Number.isFinite(value))
	);
}

function hintFor(word: string, known: string[]): { hint?: string } {
	const meant = closest(word, known);
	return meant === undefined ? {} : { hint: `Did you mean "${meant}"?` };
}

function show(value: unknown): string {
	if (value === undefined) return "nothing";
	const text = typeof value === "bigint" || typeof value === "function" ? String(value) : JSON.stringify(value);
	return (text ?? String(value)).slice(0, 80);
}

function invalid(where: string, message: string, found?: string, rest: { expected?: string; hint?: string } = {}) {
	return new UserError("SPACE_INVALID", message, { where, ...(found !== undefined && { found }), ...rest });
}

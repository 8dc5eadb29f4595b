// Points of a space, and the unit cube they are searched in. Each parameter has one coordinate in [0, 1]: linear or
// logarithmic for numbers, cells of equal width for choices; a whole number owns the cell half a step to either side
// of it, so that a uniform coordinate gives every value of a linear range the same chance.
import { closest, UserError } from "../util/errors.ts";
import type { Choice, IntParameter, Parameter, Params, Space } from "./space.ts";

/** Is `name` active, given the values chosen so far (its parents' included)? */
export function isActive(space: Space, name: string, params: Params): boolean {
	const { when } = space[name] as Parameter;
	if (when === undefined) return true;
	return Object.entries(when).every(([parent, wanted]) => {
		const value = params[parent];
		return value !== undefined && (Array.isArray(wanted) ? wanted.includes(value) : wanted === value);
	});
}

/** The point whose active parameters `choose` decides, parents before children. */
export function buildPoint(
	space: Space,
	choose: (name: string, parameter: Parameter, soFar: Params) => Choice,
): Params {
	const params: { [name: string]: Choice } = {};
	for (const name of Object.keys(space)) {
		if (isActive(space, name, params)) params[name] = choose(name, space[name] as Parameter, params);
	}
	return params;
}

/** The value at unit coordinate `u` in [0, 1]. */
export function fromUnit(parameter: Parameter, u: number): Choice {
	if (parameter.type === "categorical") {
		const { choices } = parameter;
		return choices[Math.min(Math.floor(u * choices.length), choices.length - 1)] as Choice;
	}
	const [low, high] = scaledBounds(parameter);
	const scaled = low + u * (high - low);
	const value = parameter.log ? Math.exp(scaled) : scaled;
	if (parameter.type === "float") return clamp(value, parameter.low, parameter.high);
	const step = parameter.step ?? 1;
	return clamp(parameter.low + Math.round((value - parameter.low) / step) * step, parameter.low, parameter.high);
}

/** The unit coordinate of a value: the middle of its cell for a choice. */
export function toUnit(parameter: Parameter, value: Choice): number {
	if (parameter.type === "categorical") {
		return (parameter.choices.indexOf(value) + 0.5) / parameter.choices.length;
	}
	const [low, high] = scaledBounds(parameter);
	return clamp(((parameter.log ? Math.log(value as number) : (value as number)) - low) / (high - low), 0, 1);
}

/** The interval of unit coordinates that belong to a whole number. The cells of a range tile [0, 1]. */
export function intCell(parameter: IntParameter, value: number): readonly [number, number] {
	const [low, high] = scaledBounds(parameter);
	const half = (parameter.step ?? 1) / 2;
	const unit = (edge: number) => ((parameter.log ? Math.log(edge) : edge) - low) / (high - low);
	return [value <= parameter.low ? 0 : unit(value - half), value >= parameter.high ? 1 : unit(value + half)];
}

/** Every value of a whole-number parameter, or every choice. Undefined for real numbers. */
export function valuesOf(parameter: Parameter): readonly Choice[] | undefined {
	if (parameter.type === "categorical") return parameter.choices;
	if (parameter.type === "float") return undefined;
	const { low, high, step = 1 } = parameter;
	return Array.from({ length: Math.floor((high - low) / step) + 1 }, (_, i) => low + i * step);
}

/** The value used when nothing is said: `default`, or the middle of the range, or the first choice. */
export function defaultOf(parameter: Parameter): Choice {
	if (parameter.default !== undefined) return parameter.default;
	return parameter.type === "categorical" ? (parameter.choices[0] as Choice) : fromUnit(parameter, 0.5);
}

/** The point of defaults. */
export function defaultPoint(space: Space): Params {
	return buildPoint(space, (_, parameter) => defaultOf(parameter));
}

/**
 * A full point from some of its values: missing active parameters take their defaults.
 * Throws a UserError (POINT_INVALID) for names and values that are not in the space, and for inactive parameters.
 */
export function completePoint(space: Space, some: Params): Params {
	for (const name of Object.keys(some)) {
		if (Object.hasOwn(space, name)) continue;
		const meant = closest(name, Object.keys(space));
		throw new UserError("POINT_INVALID", `The search space has no parameter "${name}".`, {
			where: name,
			expected: Object.keys(space).join(", "),
			...(meant !== undefined && { hint: `Did you mean "${meant}"?` }),
		});
	}
	const point = buildPoint(space, (name, parameter) => {
		const value = Object.hasOwn(some, name) ? (some[name] as Choice) : defaultOf(parameter);
		if (!contains(parameter, value)) {
			throw new UserError("POINT_INVALID", `The value of "${name}" is not in the search space.`, {
				where: name,
				expected: describe(parameter),
				found: JSON.stringify(value),
			});
		}
		return value;
	});
	for (const name of Object.keys(some)) {
		if (!Object.hasOwn(point, name)) {
			throw new UserError("POINT_INVALID", `"${name}" is not active at this point.`, {
				where: name,
				expected: `a value only when ${JSON.stringify((space[name] as Parameter).when)}`,
				found: JSON.stringify(some),
			});
		}
	}
	return point;
}

export function contains(parameter: Parameter, value: unknown): boolean {
	if (parameter.type === "categorical") return parameter.choices.includes(value as Choice);
	if (typeof value !== "number" || !(value >= parameter.low && value <= parameter.high)) return false;
	return parameter.type === "float" || (value - parameter.low) % (parameter.step ?? 1) === 0;
}

function describe(parameter: Parameter): string {
	if (parameter.type === "categorical") return parameter.choices.map((choice) => JSON.stringify(choice)).join(", ");
	const kind = parameter.type === "int" ? "a whole number" : "a number";
	return `${kind} from ${parameter.low} to ${parameter.high}${
		parameter.type === "int" && parameter.step !== undefined ? ` in steps of ${parameter.step}` : ""
	}`;
}

/** Bounds on the scale that is searched: a whole number's are half a step wider. */
function scaledBounds(parameter: Exclude<Parameter, { type: "categorical" }>): readonly [number, number] {
	let { low, high } = parameter;
	if (parameter.type === "int") {
		const half = (parameter.step ?? 1) / 2;
		low = parameter.log ? Math.max(low - half, low / 2) : low - half;
		high += half;
	}
	return parameter.log ? [Math.log(low), Math.log(high)] : [low, high];
}

function clamp(value: number, low: number, high: number): number {
	return Math.min(Math.max(value, low), high);
}

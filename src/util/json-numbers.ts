// Numbers that JSON cannot write: NaN and the infinities, which JSON.stringify silently turns into null. A loss may be any
// of them, and must neither be lost nor stop a run from being saved.

/** For JSON.stringify: such a number is written as its name ("NaN", "Infinity"), for whoever reads the text. */
export function nameNonFinite(_key: string, value: unknown): unknown {
	return isNonFinite(value) ? String(value) : value;
}

const tag = "$number";

/** A copy in which such numbers are objects that JSON holds; `untagNonFinite` gives the numbers back. */
export function tagNonFinite(value: unknown): unknown {
	if (isNonFinite(value)) return { [tag]: String(value) };
	return mapParts(value, tagNonFinite);
}

export function untagNonFinite(value: unknown): unknown {
	if (typeof value === "object" && value !== null && tag in value) return Number(value[tag]);
	return mapParts(value, untagNonFinite);
}

function isNonFinite(value: unknown): boolean {
	return typeof value === "number" && !Number.isFinite(value);
}

/** Of lists and plain objects; anything else is returned as it is. */
function mapParts(value: unknown, change: (part: unknown) => unknown): unknown {
	if (Array.isArray(value)) return value.map(change);
	if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
	return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, change(part)]));
}

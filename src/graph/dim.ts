// Symbolic dimensions: a number, or a product of named sizes such as "B*T" or "2*N". Only products are needed to check
// the shapes of a transformer; anything else (a sum, a slice of unknown length) gets a fresh name of its own.

/** A size that is known (`12`) or named (`"B"`, `"B*T"`, `"3*N"`). Two dimensions are the same when they are `===`. */
export type Dim = number | string;
export type Shape = readonly Dim[];

interface Product {
	factor: number;
	names: string[];
}

function parse(dim: Dim): Product {
	if (typeof dim === "number") return { factor: dim, names: [] };
	const parts = dim.split("*");
	const factor = Number(parts[0]);
	return Number.isInteger(factor) ? { factor, names: parts.slice(1) } : { factor: 1, names: parts };
}

function print({ factor, names }: Product): Dim {
	if (names.length === 0 || factor === 0) return factor;
	const sorted = [...names].sort().join("*");
	return factor === 1 ? sorted : `${factor}*${sorted}`;
}

/** The product of dimensions, in canonical form: `multiplyDims(["T", 2, "B"])` is `"2*B*T"`. */
export function multiplyDims(dims: Shape): Dim {
	const product: Product = { factor: 1, names: [] };
	for (const dim of dims) {
		const { factor, names } = parse(dim);
		product.factor *= factor;
		product.names.push(...names);
	}
	return print(product);
}

/** The quotient when `by` divides `dim` as a product, else undefined. */
export function divideDim(dim: Dim, by: Dim): Dim | undefined {
	const top = parse(dim);
	const bottom = parse(by);
	if (bottom.factor === 0 || top.factor % bottom.factor !== 0) return undefined;
	const names = [...top.names];
	for (const name of bottom.names) {
		const index = names.indexOf(name);
		if (index < 0) return undefined;
		names.splice(index, 1);
	}
	return print({ factor: top.factor / bottom.factor, names });
}

/** The value of a dimension when its names are known. Throws on a name without a value. */
export function resolveDim(dim: Dim, sizes: Readonly<Record<string, number>>): number {
	const { factor, names } = parse(dim);
	return names.reduce((product, name) => {
		const size = sizes[name];
		if (size === undefined) throw new Error(`dimension ${name} of "${dim}" has no size`);
		return product * size;
	}, factor);
}

export function sameShape(a: Shape, b: Shape): boolean {
	return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** "[B, T, 768]" */
export function formatShape(shape: Shape): string {
	return `[${shape.join(", ")}]`;
}

/** NumPy broadcasting; undefined when the shapes do not fit. A name only meets itself or 1. */
export function broadcast(a: Shape, b: Shape): Shape | undefined {
	const rank = Math.max(a.length, b.length);
	const out: Dim[] = [];
	for (let i = 0; i < rank; i++) {
		const x = a[i - rank + a.length] ?? 1;
		const y = b[i - rank + b.length] ?? 1;
		if (x !== y && x !== 1 && y !== 1) return undefined;
		out.push(x === 1 ? y : x);
	}
	return out;
}

// Arrays of any rank in double precision, for the interpreter of graphs: one way to make them, one way to read them. Slow
// and plain on purpose. Integers and truth values are doubles as well (exact up to 2^53).

export interface Nd {
	readonly shape: readonly number[];
	/** Row by row, the last axis fastest. */
	readonly data: Float64Array;
}

export type Index = readonly number[];

export function nd(shape: readonly number[], data: ArrayLike<number | bigint>): Nd {
	const expected = sizeOf(shape);
	if (data.length !== expected) throw new Error(`[${shape}] has ${expected} elements, not ${data.length}`);
	return { shape, data: Float64Array.from(data as ArrayLike<number>, Number) };
}

/** An array from a formula for the element at each index. */
export function build(shape: readonly number[], element: (index: Index) => number): Nd {
	const data = new Float64Array(sizeOf(shape));
	for (let i = 0; i < data.length; i++) data[i] = element(indexOf(i, shape));
	return { shape, data };
}

/** The element at an index; an axis of size 1 gives its one element for every index, and leading axes may be missing. */
export function at({ shape, data }: Nd, index: Index): number {
	const skipped = index.length - shape.length;
	let offset = 0;
	shape.forEach((size, axis) => {
		const i = size === 1 ? 0 : (index[axis + skipped] as number);
		if (!(i >= 0 && i < size)) throw new Error(`index [${index}] is outside [${shape}]`);
		offset = offset * size + i;
	});
	return data[offset] as number;
}

/** The elements at `index` with the place at `axis` running. */
export function along(x: Nd, { axis, index }: { axis: number; index: Index }): number[] {
	return Array.from({ length: x.shape[axis] as number }, (_, i) => at(x, index.with(axis, i)));
}

export function sizeOf(shape: readonly number[]): number {
	return shape.reduce((product, size) => product * size, 1);
}

/** NumPy's rule. */
export function broadcastShapes(...shapes: (readonly number[])[]): number[] {
	const rank = Math.max(...shapes.map((shape) => shape.length));
	return Array.from({ length: rank }, (_, axis) => {
		const sizes = shapes.map((shape) => shape[axis - rank + shape.length] ?? 1).filter((size) => size !== 1);
		if (sizes.some((size) => size !== sizes[0])) throw new Error(`[${shapes.join("] and [")}] do not broadcast`);
		return sizes[0] ?? 1;
	});
}

export function indexOf(offset: number, shape: readonly number[]): number[] {
	const index = Array<number>(shape.length);
	let rest = offset;
	for (let axis = shape.length - 1; axis >= 0; axis--) {
		const size = shape[axis] as number;
		index[axis] = rest % size;
		rest = Math.floor(rest / size);
	}
	return index;
}

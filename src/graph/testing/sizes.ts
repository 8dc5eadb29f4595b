// The sizes that the names in shapes ("B", "2*R") stand for, learned from the arrays that are met.

import { type Dim, divideDim, formatShape, resolveDim } from "../dim.ts";
import type { Value } from "../graph.ts";

export class Sizes {
	readonly #known: Record<string, number> = {};
	/** Products of which more than one factor is unknown so far, each with its size. */
	readonly #products = new Map<string, number>();

	/** Learns names that are new. Throws when an array has not the shape that its value was given while building. */
	match({ name, shape }: Value, actual: readonly number[]): void {
		const sizes =
			shape.length === actual.length ? shape.map((dim, axis) => this.#size(dim, actual[axis] as number)) : [];
		if (shape.length !== actual.length || sizes.some((size, axis) => size !== actual[axis])) {
			throw new Error(`${name} is [${actual}], but ${formatShape(shape)} was inferred`);
		}
	}

	/** The size of a dimension that was just seen to be `seen`. */
	#size(dim: Dim, seen: number): number {
		if (typeof dim === "number") return dim;
		const unknown = dim.split("*").filter((part) => Number.isNaN(Number(part)) && this.#known[part] === undefined);
		if (unknown.length > 1) {
			const size = this.#products.get(dim) ?? seen;
			this.#products.set(dim, size);
			return size;
		}
		for (const part of unknown) {
			this.#known[part] = seen / resolveDim(divideDim(dim, part) as Dim, this.#known);
			for (const [product, size] of this.#products) {
				if (this.#size(product, size) !== size) throw new Error(`"${product}" is not ${size}`);
			}
		}
		return resolveDim(dim, this.#known);
	}
}

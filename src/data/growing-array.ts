// A typed array that grows at its end, by doubling. For columns of numbers about many millions of rows.

interface NumberArray {
	readonly length: number;
	[index: number]: number;
	set(values: ArrayLike<number>): void;
	subarray(start: number, end: number): this;
	slice(start: number, end: number): this;
}

export class GrowingArray<A extends NumberArray> {
	readonly #make: new (
		length: number,
	) => A;
	#values: A;
	#length = 0;

	constructor(kind: new (length: number) => A) {
		this.#make = kind;
		this.#values = new kind(1024);
	}

	get length(): number {
		return this.#length;
	}

	push(value: number): void {
		if (this.#length === this.#values.length) {
			const grown = new this.#make(this.#length * 2);
			grown.set(this.#values);
			this.#values = grown;
		}
		(this.#values as NumberArray)[this.#length++] = value;
	}

	/** The value at an index that was pushed. */
	at(index: number): number {
		return this.#values[index] as number;
	}

	/** The values so far, as a copy of their own. */
	toArray(): A {
		return this.#values.slice(0, this.#length);
	}
}

// A hash table from a pair of token ids to a number, in typed arrays (open addressing, linear probing). A Map would
// need one heap number or string for each look-up; this is the inner loop of encoding and of training.

export class PairTable {
	#keys: Int32Array;
	#values: Int32Array;
	#mask: number;
	#count = 0;

	constructor(expected = 16) {
		let capacity = 32;
		while (capacity < expected * 2) capacity *= 2;
		this.#mask = capacity - 1;
		this.#keys = new Int32Array(capacity * 2).fill(-1);
		this.#values = new Int32Array(capacity);
	}

	get size(): number {
		return this.#count;
	}

	/** The value, or -1. Values are 0 or more. */
	get(left: number, right: number): number {
		const slot = this.#slot(left, right);
		return this.#keys[slot * 2] === -1 ? -1 : (this.#values[slot] as number);
	}

	set(left: number, right: number, value: number): void {
		let slot = this.#slot(left, right);
		if (this.#keys[slot * 2] === -1) {
			if ((this.#count + 1) * 2 > this.#mask) {
				this.#grow();
				slot = this.#slot(left, right);
			}
			this.#keys[slot * 2] = left;
			this.#keys[slot * 2 + 1] = right;
			this.#count++;
		}
		this.#values[slot] = value;
	}

	#slot(left: number, right: number): number {
		let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
		hash ^= hash >>> 15;
		let slot = hash & this.#mask;
		while (this.#keys[slot * 2] !== -1 && (this.#keys[slot * 2] !== left || this.#keys[slot * 2 + 1] !== right)) {
			slot = (slot + 1) & this.#mask;
		}
		return slot;
	}

	#grow(): void {
		const keys = this.#keys;
		const values = this.#values;
		const capacity = values.length * 2;
		this.#mask = capacity - 1;
		this.#keys = new Int32Array(capacity * 2).fill(-1);
		this.#values = new Int32Array(capacity);
		for (let old = 0; old < values.length; old++) {
			if (keys[old * 2] === -1) continue;
			const slot = this.#slot(keys[old * 2] as number, keys[old * 2 + 1] as number);
			this.#keys[slot * 2] = keys[old * 2] as number;
			this.#keys[slot * 2 + 1] = keys[old * 2 + 1] as number;
			this.#values[slot] = values[old] as number;
		}
	}
}

// Seeded random numbers: xoshiro128** (Blackman and Vigna, 2018), seeded through splitmix32. The whole state is four
// 32-bit words, so it is saved in a checkpoint and restored exactly. Not for secrets.

export type RngState = readonly [number, number, number, number];

/** A stream of random numbers. Two streams made from the same seed, or from the same state, are equal for ever. */
export class Rng {
	#a: number;
	#b: number;
	#c: number;
	#d: number;

	/** `seed`: any integer or string, or a list of them: `new Rng([seed, "epoch", 3])` gives a stream of its own. */
	constructor(seed: number | string | readonly (number | string)[]) {
		let hash = 0x9e3779b9;
		for (const part of typeof seed === "object" ? seed : [seed]) {
			for (const char of `${part}\u0000`) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 0x01000193) >>> 0;
		}
		const next = () => {
			hash = (hash + 0x9e3779b9) >>> 0;
			let z = hash;
			z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
			z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
			return (z ^ (z >>> 16)) >>> 0;
		};
		this.#a = next();
		this.#b = next();
		this.#c = next();
		this.#d = next();
	}

	static fromState(state: RngState): Rng {
		const rng = new Rng(0);
		[rng.#a, rng.#b, rng.#c, rng.#d] = state;
		return rng;
	}

	get state(): RngState {
		return [this.#a, this.#b, this.#c, this.#d];
	}

	/** Uniform in [0, 2^32). */
	uint32(): number {
		const x = Math.imul(this.#b, 5);
		const result = Math.imul((x << 7) | (x >>> 25), 9) >>> 0;
		const t = this.#b << 9;
		this.#c ^= this.#a;
		this.#d ^= this.#b;
		this.#b = (this.#b ^ this.#c) >>> 0;
		this.#a = (this.#a ^ this.#d) >>> 0;
		this.#c = (this.#c ^ t) >>> 0;
		this.#d = ((this.#d << 11) | (this.#d >>> 21)) >>> 0;
		return result;
	}

	/** Uniform in [0, 1), with 53 random bits. */
	uniform(): number {
		return ((this.uint32() >>> 5) * 0x4000000 + (this.uint32() >>> 6)) / 0x20000000000000;
	}

	/** Uniform integer in [0, below), without bias. */
	integer(below: number): number {
		const limit = 0x100000000 - (0x100000000 % below);
		let x = this.uint32();
		while (x >= limit) x = this.uint32();
		return x % below;
	}

	/** Standard normal (Box and Muller; the second value is dropped so that the state stays four words). */
	normal(): number {
		const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
		return radius * Math.cos(2 * Math.PI * this.uniform());
	}

	/** Shuffles in place (Fisher and Yates) and returns the same array. */
	shuffle<T extends { [index: number]: unknown; readonly length: number }>(items: T): T {
		for (let i = items.length - 1; i > 0; i--) {
			const j = this.integer(i + 1);
			const kept = items[i];
			items[i] = items[j];
			items[j] = kept;
		}
		return items;
	}
}

// Fingerprints of conversations: equal for rows that say the same, whatever their case, width or punctuation.
// Not a cryptographic hash: 53 bits, so that two among ten million rows collide by chance once in two hundred sets.
import type { Turn } from "../tokenizer/turn.ts";
import type { Place } from "./row.ts";

/** Text as it is compared: NFKC, lower case, letters and digits, one space between words; the text itself when none is left. */
export function comparable(text: string): string {
	const plain = text
		.normalize("NFKC")
		.toLowerCase()
		.replace(/[^\p{L}\p{M}\p{N}]+/gu, " ")
		.trim();
	return plain === "" ? text : plain;
}

/** What is asked (all turns that are not the assistant's) and what is answered, each in comparable form. */
export interface Sides {
	asked: string;
	answered: string;
}

export function sidesOf(turns: readonly Turn[]): Sides {
	const side = (assistant: boolean) =>
		turns
			.filter((turn) => (turn.role === "assistant") === assistant)
			.map((turn) => comparable(turn.content))
			.join("\n");
	return { asked: side(false), answered: side(true) };
}

/** 53 bits of `text` (two rounds of 32-bit FNV-1a over UTF-16 code units, mixed). */
export function fingerprint(text: string, seed = 0): number {
	let a = 0x811c9dc5 ^ seed;
	let b = 0x9747b28c ^ Math.imul(seed, 0x85ebca6b);
	for (let i = 0; i < text.length; i++) {
		const unit = text.charCodeAt(i);
		a = Math.imul(a ^ unit, 0x01000193);
		b = Math.imul(b ^ unit, 0x5bd1e995);
		b ^= b >>> 15;
	}
	return (mix(a ^ (b >>> 3)) >>> 11) * 0x100000000 + mix(b ^ Math.imul(a, 3));
}

export function fingerprintOf({ asked, answered }: Sides): number {
	return fingerprint(`${asked}\u0000${answered}`);
}

/** Spreads the bits of a 32-bit integer (the finaliser of MurmurHash3). */
export function mix(value: number): number {
	let z = value;
	z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
	z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
	return (z ^ (z >>> 16)) >>> 0;
}

/** Where each fingerprint was seen first. Open addressing: about 28 bytes a row, for sets of many millions. */
export class SeenRows {
	#keys = new Float64Array(1024);
	#lines = new Uint32Array(1024);
	#files = new Uint16Array(1024);
	readonly #names: string[] = [];
	#count = 0;

	/** Where this fingerprint was seen before; or undefined, and it is now known to be at `place`. */
	add(print: number, { file, line }: Place): Place | undefined {
		if (this.#count * 2 >= this.#keys.length) this.#grow();
		const slot = this.#slot(print);
		if (this.#keys[slot] !== 0) {
			return { file: this.#names[this.#files[slot] as number] as string, line: this.#lines[slot] as number };
		}
		if (this.#names.at(-1) !== file) this.#names.push(file);
		this.#keys[slot] = print + 1;
		this.#lines[slot] = line;
		this.#files[slot] = this.#names.length - 1;
		this.#count++;
		return undefined;
	}

	#slot(print: number): number {
		const mask = this.#keys.length - 1;
		let slot = mix(print % 0x100000000) & mask;
		// 0 marks a free slot, so keys are stored one higher.
		while (this.#keys[slot] !== 0 && this.#keys[slot] !== print + 1) slot = (slot + 1) & mask;
		return slot;
	}

	#grow(): void {
		const [keys, lines, files] = [this.#keys, this.#lines, this.#files];
		this.#keys = new Float64Array(keys.length * 2);
		this.#lines = new Uint32Array(keys.length * 2);
		this.#files = new Uint16Array(keys.length * 2);
		for (const [index, key] of keys.entries()) {
			if (key === 0) continue;
			const slot = this.#slot(key - 1);
			this.#keys[slot] = key;
			this.#lines[slot] = lines[index] as number;
			this.#files[slot] = files[index] as number;
		}
	}
}

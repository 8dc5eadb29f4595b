// Finds conversations that nearly repeat one of a given set, in time linear in their text.
// MinHash (Broder, 1997) over shingles with locality-sensitive hashing in bands (Indyk and Motwani, 1998) proposes
// candidates; the exact Jaccard similarity of the shingles decides. Two conversations are near-duplicates when what is asked
// AND what is answered are alike: a canned answer to another question is not a duplicate, nor is another poem on the same prompt.
import { mix, type Sides } from "./fingerprint.ts";

/** Least Jaccard similarity of both sides. */
export const nearness = 0.8;

/** 16 bands of 4 hashes: a pair at 0.8 is proposed with probability 0.9998, one at 0.3 with 0.12. */
const bands = 16;
const rowsPerBand = 4;

/** Bytes of UTF-8 in a shingle: six Latin letters or two Chinese characters. */
const shingleBytes = 6;

/** Candidates examined for one row. Rows beyond that share a bucket with hundreds alike; the first few then suffice. */
const maxCandidates = 64;

const multipliers = Int32Array.from({ length: bands * rowsPerBand }, (_, i) => mix(2 * i + 1) | 1);
const summands = Int32Array.from({ length: bands * rowsPerBand }, (_, i) => mix(2 * i + 0x10001));

/** An index of conversations that is asked for those near to another. Holds their texts: meant for held-out rows. */
export class NearDuplicateIndex {
	readonly #rows: Sides[] = [];
	readonly #buckets: Map<number, number[]>[] = Array.from({ length: bands }, () => new Map());

	get size(): number {
		return this.#rows.length;
	}

	/** Adds a conversation and returns its number, from 0. */
	add(sides: Sides): number {
		const row = this.#rows.push(sides) - 1;
		for (const [band, key] of bandKeys(sides).entries()) {
			const bucket = this.#buckets[band]?.get(key);
			if (bucket === undefined) this.#buckets[band]?.set(key, [row]);
			else bucket.push(row);
		}
		return row;
	}

	/** Numbers of those that are near-duplicates of this one, in ascending order. `except`: leave these out. */
	near(sides: Sides, except: (row: number) => boolean = () => false): number[] {
		if (this.#rows.length === 0) return [];
		const candidates = new Set<number>();
		for (const [band, key] of bandKeys(sides).entries()) {
			for (const row of this.#buckets[band]?.get(key) ?? []) {
				if (!except(row)) candidates.add(row);
				if (candidates.size >= maxCandidates) break;
			}
		}
		if (candidates.size === 0) return [];
		const asked = shingles(sides.asked);
		const answered = shingles(sides.answered);
		return [...candidates]
			.filter((row) => {
				const other = this.#rows[row] as Sides;
				return (
					jaccard(answered, shingles(other.answered)) >= nearness && jaccard(asked, shingles(other.asked)) >= nearness
				);
			})
			.sort((a, b) => a - b);
	}
}

/** Hashes of all shingles of the text. A text shorter than a shingle is one shingle. */
export function shingles(text: string): Set<number> {
	const bytes = Buffer.from(text, "utf8");
	const set = new Set<number>();
	const last = Math.max(0, bytes.length - shingleBytes);
	for (let start = 0; start <= last; start++) {
		let hash = 0x811c9dc5;
		const end = Math.min(bytes.length, start + shingleBytes);
		for (let i = start; i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
		set.add(mix(hash));
	}
	return set;
}

export function jaccard(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
	let common = 0;
	for (const item of a) if (b.has(item)) common++;
	return common / (a.size + b.size - common);
}

/** One key a band: a hash of its MinHashes over the shingles of both sides, told apart by side. */
function bandKeys({ asked, answered }: Sides): number[] {
	const minima = new Uint32Array(multipliers.length).fill(0xffffffff);
	const absorb = (set: ReadonlySet<number>, side: number) => {
		for (const shingle of set) {
			const item = shingle ^ side;
			for (let i = 0; i < minima.length; i++) {
				const hash = (Math.imul(item, multipliers[i] as number) + (summands[i] as number)) >>> 0;
				if (hash < (minima[i] as number)) minima[i] = hash;
			}
		}
	};
	absorb(shingles(asked), 0);
	absorb(shingles(answered), 0x5bd1e995);
	return Array.from({ length: bands }, (_, band) => {
		let key = band;
		for (let i = 0; i < rowsPerBand; i++) key = mix(key ^ (minima[band * rowsPerBand + i] as number));
		return key;
	});
}

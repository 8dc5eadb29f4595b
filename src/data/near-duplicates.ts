// Finds conversations that nearly repeat one of a given set, in time linear in their text.
// MinHash (Broder, 1997) by one permutation with densification (Shrivastava, 2017) over shingles, and locality-sensitive
// hashing in bands (Indyk and Motwani, 1998), propose candidates; the exact Jaccard similarity of the shingles decides. Two conversations are near-duplicates when what is asked
// AND what is answered are alike: a canned answer to another question is not a duplicate, nor is another poem on the same prompt.
import { mix, type Sides } from "./fingerprint.ts";

/** Least Jaccard similarity of both sides. */
export const nearness = 0.8;

/** 16 bands of 4 hashes: a long pair at 0.8 is proposed with probability 0.9998, one at 0.3 with 0.12. */
const bands = 16;
const rowsPerBand = 4;

/** Bytes of UTF-8 in a shingle: six Latin letters or two Chinese characters. */
const shingleBytes = 6;

/** Candidates examined for one row. Rows beyond that share a bucket with hundreds alike; the first few then suffice. */
const maxCandidates = 64;

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
	const set = new Set<number>();
	visitShingles(text, (hash) => set.add(hash));
	return set;
}

export function jaccard(a: ReadonlySet<number>, b: ReadonlySet<number>): number {
	let common = 0;
	for (const item of a) if (b.has(item)) common++;
	return common / (a.size + b.size - common);
}

const base = 0x01000193;
const dropped = Array.from({ length: shingleBytes }).reduce((power: number) => Math.imul(power, base), 1);

/** Calls `visit` with the hash of each shingle, repeated ones too: a polynomial rolled over the bytes, then mixed. */
function visitShingles(text: string, visit: (hash: number) => void): void {
	const bytes = Buffer.from(text, "utf8");
	let rolling = 0;
	for (let i = 0; i < bytes.length; i++) {
		rolling = Math.imul(rolling, base) + (bytes[i] as number) + 1;
		if (i >= shingleBytes) rolling -= Math.imul(dropped, (bytes[i - shingleBytes] as number) + 1);
		if (i >= shingleBytes - 1) visit(mix(rolling));
	}
	if (bytes.length < shingleBytes) visit(mix(rolling));
}

/** One key a band: a hash of its MinHashes over the shingles of both sides, told apart by side. */
function bandKeys({ asked, answered }: Sides): number[] {
	const minima = minHashes(asked, answered);
	return Array.from({ length: bands }, (_, band) => {
		let key = band;
		for (let i = 0; i < rowsPerBand; i++) key = mix(key ^ (minima[band * rowsPerBand + i] as number));
		return key;
	});
}

const bins = bands * rowsPerBand;
const empty = 0xffffffff;

/** The least hash in each of `bins` equal parts of the range of hashes; an empty part borrows from another, drawn by hash. */
function minHashes(asked: string, answered: string): Uint32Array {
	const minima = new Uint32Array(bins).fill(empty);
	const absorb = (hash: number) => {
		const bin = Math.floor(hash / (0x100000000 / bins));
		if (hash < (minima[bin] as number)) minima[bin] = hash;
	};
	visitShingles(asked, absorb);
	visitShingles(answered, (hash) => absorb(mix(hash ^ 0x5bd1e995)));
	return minima.map((value, bin) => {
		let from = bin;
		for (let attempt = 1; (minima[from] as number) === empty; attempt++) from = mix(bin * 0x9e37 + attempt) % bins;
		return from === bin ? value : (minima[from] as number);
	});
}

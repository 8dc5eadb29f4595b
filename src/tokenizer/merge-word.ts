// Byte-pair merging of one word: among all adjacent pairs the one of lowest rank is merged, leftmost first, until no
// pair has a rank (Sennrich et al., 2016). A heap with lazy deletion makes it O(n log n): a run of Chinese without
// spaces, or a megabyte of `aaaa`, is one word.

import type { PairTable } from "./pair-table.ts";

export interface Merges {
	/** Pair of ids -> rank. */
	readonly ranks: PairTable;
	/** Rank -> the id of the merged token. */
	readonly merged: Int32Array;
}

/** Merges words in place. Holds scratch memory that grows to the longest word seen. */
export class WordMerger {
	readonly #merges: Merges;
	/** Neighbours of each symbol, as positions; -1 at the ends. */
	#next = new Int32Array(0);
	#previous = new Int32Array(0);
	/** Rank of the pair that starts at each position; -1 when there is none or the symbol is gone. */
	#rank = new Int32Array(0);
	/** Rank * 2^32 + position, smallest first. */
	#heap = new Float64Array(0);
	#heapSize = 0;

	constructor(merges: Merges) {
		this.#merges = merges;
	}

	/** `symbols[0, length)` become the merged ids; the new length is returned. */
	merge(symbols: Int32Array, length: number): number {
		if (length < 2) return length;
		if (this.#next.length < length) this.#allocate(Math.max(256, length * 2));
		const { ranks, merged } = this.#merges;
		const next = this.#next;
		const previous = this.#previous;
		const rank = this.#rank;
		this.#heapSize = 0;
		for (let i = 0; i < length; i++) {
			next[i] = i + 1 < length ? i + 1 : -1;
			previous[i] = i - 1;
			rank[i] = -1;
			if (i + 1 < length) this.#offer(i, ranks.get(symbols[i] as number, symbols[i + 1] as number));
		}
		while (this.#heapSize > 0) {
			const key = this.#pop();
			const position = key % 0x100000000;
			const keyRank = (key - position) / 0x100000000;
			if (rank[position] !== keyRank) continue;
			const right = next[position] as number;
			const after = next[right] as number;
			const before = previous[position] as number;
			symbols[position] = merged[keyRank] as number;
			rank[right] = -1;
			next[position] = after;
			if (after === -1) rank[position] = -1;
			else {
				previous[after] = position;
				this.#offer(position, ranks.get(symbols[position] as number, symbols[after] as number));
			}
			if (before !== -1) this.#offer(before, ranks.get(symbols[before] as number, symbols[position] as number));
		}
		let count = 0;
		for (let i = 0; i !== -1; i = next[i] as number) symbols[count++] = symbols[i] as number;
		return count;
	}

	#offer(position: number, rank: number): void {
		this.#rank[position] = rank;
		if (rank === -1) return;
		const key = rank * 0x100000000 + position;
		const heap = this.#heap;
		let child = this.#heapSize++;
		while (child > 0) {
			const parent = (child - 1) >> 1;
			if ((heap[parent] as number) <= key) break;
			heap[child] = heap[parent] as number;
			child = parent;
		}
		heap[child] = key;
	}

	#pop(): number {
		const heap = this.#heap;
		const top = heap[0] as number;
		const size = --this.#heapSize;
		const key = heap[size] as number;
		let parent = 0;
		for (;;) {
			let child = parent * 2 + 1;
			if (child >= size) break;
			if (child + 1 < size && (heap[child + 1] as number) < (heap[child] as number)) child++;
			if ((heap[child] as number) >= key) break;
			heap[parent] = heap[child] as number;
			parent = child;
		}
		heap[parent] = key;
		return top;
	}

	#allocate(capacity: number): void {
		this.#next = new Int32Array(capacity);
		this.#previous = new Int32Array(capacity);
		this.#rank = new Int32Array(capacity);
		// One entry for each starting pair and two for each merge at most.
		this.#heap = new Float64Array(capacity * 3);
	}
}

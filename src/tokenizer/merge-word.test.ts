import fc from "fast-check";
import { expect, test } from "vitest";
import { WordMerger } from "./merge-word.ts";
import { PairTable } from "./pair-table.ts";

/** Byte-pair merging as it is told: look through all pairs for the best, merge it, start again. */
function mergeSlowly(symbols: readonly number[], merges: readonly (readonly [number, number])[]): number[] {
	const word = [...symbols];
	for (;;) {
		let best = merges.length;
		let at = -1;
		for (let i = 0; i + 1 < word.length; i++) {
			const rank = merges.findIndex(([left, right]) => left === word[i] && right === word[i + 1]);
			if (rank !== -1 && rank < best) [best, at] = [rank, i];
		}
		if (at === -1) return word;
		word.splice(at, 2, 10 + best);
	}
}

// Ids 0 to 4 are letters, 10 + r is what merge r makes; a merge may use what an earlier one made.
const merges = fc
	.array(fc.tuple(fc.nat(30), fc.nat(30)), { minLength: 1, maxLength: 25 })
	.map((pairs) => pairs.map(([a, b], r) => [idBelow(a, r), idBelow(b, r)] as const))
	.map((pairs) => pairs.filter((pair, i) => pairs.findIndex(([a, b]) => a === pair[0] && b === pair[1]) === i));
const idBelow = (n: number, rank: number): number => (n < 5 || rank === 0 ? n % 5 : 10 + (n % rank));

test("the heap merges as the slow way does", () => {
	fc.assert(
		fc.property(merges, fc.array(fc.nat(4), { maxLength: 60 }), (pairs, word) => {
			// Filtering may have renumbered the ranks: keep those made of existing ids.
			const usable = pairs.filter(([a, b], r) => (a < 10 || a - 10 < r) && (b < 10 || b - 10 < r));
			if (usable.length !== pairs.length) return;
			const ranks = new PairTable();
			usable.forEach(([a, b], r) => {
				ranks.set(a, b, r);
			});
			const merger = new WordMerger({ ranks, merged: Int32Array.from(usable, (_, r) => 10 + r) });
			const symbols = Int32Array.from(word);
			const length = merger.merge(symbols, symbols.length);
			expect([...symbols.subarray(0, length)]).toEqual(mergeSlowly(word, usable));
		}),
		{ numRuns: 500 },
	);
});

test("a word of a million symbols is merged, and scratch memory serves words of any length after it", () => {
	const ranks = new PairTable();
	ranks.set(0, 0, 0);
	ranks.set(1, 1, 1);
	const merger = new WordMerger({ ranks, merged: Int32Array.of(1, 2) });
	const long = new Int32Array(1_000_002);
	expect(merger.merge(long, long.length)).toBe(250_001);
	expect([...long.subarray(249_999, 250_001)]).toEqual([2, 1]);
	expect(merger.merge(Int32Array.of(0), 1)).toBe(1);
	const short = Int32Array.of(0, 0, 0);
	expect([...short.subarray(0, merger.merge(short, 3))]).toEqual([1, 0]);
});

test("a pair table keeps what a Map keeps", () => {
	fc.assert(
		fc.property(fc.array(fc.tuple(fc.nat(40), fc.nat(40), fc.nat())), (entries) => {
			const table = new PairTable();
			const map = new Map<string, number>();
			for (const [left, right, value] of entries) {
				table.set(left, right, value);
				map.set(`${left} ${right}`, value);
			}
			expect(table.size).toBe(map.size);
			for (let left = 0; left <= 40; left++) {
				for (let right = 0; right <= 40; right++) {
					expect(table.get(left, right)).toBe(map.get(`${left} ${right}`) ?? -1);
				}
			}
		}),
		{ numRuns: 30 },
	);
});

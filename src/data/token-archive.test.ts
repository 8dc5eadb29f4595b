import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { ExampleStore } from "./example-store.ts";
import { TokenArchive } from "./token-archive.ts";

const numbers = (from: number, length: number) =>
	Int32Array.from({ length }, (_, i) => Math.imul(from + i, 2654435761));

test("gives back what was appended, in memory and from a file", () => {
	for (const maxBytes of [64 << 20, 0, 3 << 20]) {
		using archive = new TokenArchive({ maxBytes });
		let length = 0;
		for (const part of [1, 100_000, 262_143, 262_144, 0, 262_145, 700_000, 3]) {
			expect(archive.append(numbers(length, part))).toBe(length);
			length += part;
		}
		expect(archive.length).toBe(length);
		expect(archive.spilled).toBe(maxBytes < length * 4);
		fc.assert(
			fc.property(fc.nat(length), fc.nat(600_000), (offset, wanted) => {
				const count = Math.min(wanted, length - offset);
				expect(Buffer.from(archive.read(offset, count).buffer).equals(Buffer.from(numbers(offset, count).buffer))).toBe(
					true,
				);
			}),
			{ numRuns: 8, seed: 1 },
		);
		expect(() => archive.read(length - 1, 2)).toThrow(RangeError);
	}
});

test("leaves nothing in its directory, even while it is open", () => {
	const directory = mkdtempSync(join(tmpdir(), "attune-archive-test-"));
	const archive = new TokenArchive({ maxBytes: 0, directory });
	archive.append(numbers(0, 600_000));
	expect(archive.spilled).toBe(true);
	if (process.platform !== "win32") expect(readdirSync(directory)).toEqual([]);
	archive.dispose();
	expect(readdirSync(directory)).toEqual([]);
});

test("a directory that cannot be written to is named", () => {
	const archive = new TokenArchive({ maxBytes: 0, directory: "/no/such/place" });
	expect(() => archive.append(numbers(0, 600_000))).toThrow(expect.objectContaining({ code: "FILE_NOT_FOUND" }));
});

test("a store gives back its examples, the mask included, and equal stores have equal fingerprints", () => {
	const examples = fc.array(
		fc.array(fc.tuple(fc.nat(0x7fffffff), fc.boolean()), { minLength: 1, maxLength: 50 }).map((pairs) => ({
			ids: Int32Array.from([5, ...pairs.map(([id]) => id)]),
			supervised: Uint8Array.from(pairs, ([, flag], i) => (flag || i === pairs.length - 1 ? 1 : 0)),
		})),
		{ minLength: 1, maxLength: 20 },
	);
	fc.assert(
		fc.property(examples, (list) => {
			const build = (items: typeof list) => {
				const store = new ExampleStore({ maxBytes: 0 });
				for (const [i, example] of items.entries()) store.add(example, { conversation: i, line: i * 3 });
				return store;
			};
			using store = build(list);
			expect(list.map((_, i) => store.get(i))).toEqual(list);
			expect(list.map((_, i) => store.timeOf(i))).toEqual(list.map((example) => example.supervised.length));
			const count = (mask: Uint8Array) => mask.reduce((sum, flag) => sum + flag, 0);
			expect(list.map((_, i) => store.supervisedTokensOf(i))).toEqual(list.map(({ supervised }) => count(supervised)));
			expect(store.originOf(list.length - 1)).toEqual({ conversation: list.length - 1, line: (list.length - 1) * 3 });
			using same = build(list);
			expect(same.fingerprint).toBe(store.fingerprint);
			const [first, ...rest] = list as [(typeof list)[number], ...typeof list];
			const changed = { ids: first.ids.slice(), supervised: first.supervised };
			changed.ids[0] = 6;
			using other = build([changed, ...rest]);
			expect(other.fingerprint).not.toBe(store.fingerprint);
		}),
		{ numRuns: 50, seed: 1 },
	);
});

test("an example that teaches nothing cannot be stored", () => {
	using store = new ExampleStore();
	const example = { ids: Int32Array.of(1, 2), supervised: Uint8Array.of(0) };
	expect(() => store.add(example, { conversation: 0, line: 1 })).toThrow("supervised");
});

// What every study storage must do. `make(place)` opens a storage; the same place twice is two workers on one study.
import { describe, expect, test } from "vitest";
import type { StudyRecord } from "../records.ts";
import type { StudyStorage } from "../storage/storage.ts";

export interface StorageMaker<P> {
	/** A new, empty place. */
	place(): P;
	open(place: P): StudyStorage;
}

const enqueued = (x: number): StudyRecord => ({ type: "point-enqueued", params: { x }, at: x });

export function storageSuite<P>(name: string, { place, open }: StorageMaker<P>): void {
	describe(`${name} is a study storage`, () => {
		test("records come back in order, from any number on, to every worker", async () => {
			const at = place();
			const [a, b] = [open(at), open(at)];
			expect(a.read(0)).toEqual([]);
			await a.exclusive(({ append }) => [1, 2].forEach((x) => void append(enqueued(x))));
			await b.exclusive(({ append, read }) => {
				expect(read(0)).toEqual([enqueued(1), enqueued(2)]);
				append(enqueued(3));
				expect(read(2)).toEqual([enqueued(3)]);
			});
			expect(a.read(1)).toEqual([enqueued(2), enqueued(3)]);
			expect(open(at).read(0)).toHaveLength(3);
		});

		test("one at a time: counters read inside are never stale", async () => {
			const at = place();
			const workers = [open(at), open(at), open(at)];
			const add = (storage: StudyStorage) => storage.exclusive(({ append, read }) => append(enqueued(read(0).length)));
			await Promise.all(Array.from({ length: 24 }, (_, i) => add(workers[i % 3] as StudyStorage)));
			expect(open(at).read(0)).toEqual(Array.from({ length: 24 }, (_, i) => enqueued(i)));
		});

		test("an exception inside lets the next one in, and what was appended stays", async () => {
			const storage = open(place());
			const failing = storage.exclusive(({ append }) => {
				append(enqueued(1));
				throw new Error("inside");
			});
			await expect(failing).rejects.toThrow("inside");
			await storage.exclusive(({ append }) => append(enqueued(2)));
			expect(storage.read(0)).toEqual([enqueued(1), enqueued(2)]);
		});

		test("leases are seen by all, given back one by one, and by closing", async () => {
			const at = place();
			const [a, b] = [open(at), open(at)];
			const leased = (storage: StudyStorage) => storage.exclusive(({ leased: list }) => [...list()].sort());
			await a.exclusive(({ lease }) => [1, 2].forEach(lease));
			await b.exclusive(({ lease }) => lease(3));
			expect(await leased(b)).toEqual([1, 2, 3]);
			await a.exclusive(({ release }) => release(1));
			expect(await leased(b)).toEqual([2, 3]);
			await a.close();
			expect(await leased(b)).toEqual([3]);
		});

		test("what is appended is a copy, as it was then", async () => {
			const storage = open(place());
			const record = { type: "point-enqueued" as const, params: { x: 1 } as { x: number }, at: 0 };
			await storage.exclusive(({ append }) => append(record));
			record.params.x = 2;
			expect(storage.read(0)).toEqual([{ type: "point-enqueued", params: { x: 1 }, at: 0 }]);
		});
	});
}

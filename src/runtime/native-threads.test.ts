import { expect, test } from "vitest";
import { onNativeThread } from "./native-threads.ts";

test("three at once, the others in order", async () => {
	const started: number[] = [];
	const finish: (() => void)[] = [];
	const all = [0, 1, 2, 3, 4].map((i) =>
		onNativeThread(() => {
			started.push(i);
			return new Promise<void>((resolve) => finish.push(resolve));
		}),
	);
	await Promise.resolve();
	expect(started).toEqual([0, 1, 2]);
	finish[1]?.();
	await all[1];
	expect(started).toEqual([0, 1, 2, 3]);
	finish[0]?.();
	await all[0];
	expect(started).toEqual([0, 1, 2, 3, 4]);
	for (const done of finish) done();
	await Promise.all(all);
});

test("a failure hands its thread on, and an abort leaves the queue", async () => {
	const finish: (() => void)[] = [];
	const busy = [0, 1].map(() => onNativeThread(() => new Promise<void>((resolve) => finish.push(resolve))));
	let fail = () => {};
	const failing = onNativeThread(
		() =>
			new Promise<void>((_, reject) => {
				fail = () => reject(new Error("failed"));
			}),
	);
	const controller = new AbortController();
	const aborted = onNativeThread(() => Promise.resolve("never"), { signal: controller.signal });
	const last = onNativeThread(() => Promise.resolve("ran"));
	controller.abort(new Error("enough"));
	await expect(aborted).rejects.toThrow("enough");
	fail();
	await expect(failing).rejects.toThrow("failed");
	expect(await last).toBe("ran");
	await expect(onNativeThread(() => Promise.resolve(), { signal: controller.signal })).rejects.toThrow("enough");
	for (const done of finish) done();
	await Promise.all(busy);
});

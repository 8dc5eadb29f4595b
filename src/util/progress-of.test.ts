import { expect, test } from "vitest";
import { progressOf } from "./progress-of.ts";

const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Counts to `count`, reporting each number; the clock goes 300 ms a number. */
function counting(count: number, { failAt = Number.POSITIVE_INFINITY } = {}) {
	let now = 0;
	const seen = { done: 0 };
	const work = async (report: (value: number) => void) => {
		for (let i = 1; i <= count; i++) {
			await tick();
			if (i === failAt) throw new Error("broke");
			now += 300;
			seen.done = i;
			report(i);
		}
		return "result";
	};
	return { seen, progress: progressOf(work, { everyMs: 1000, clock: () => now }) };
}

async function drain<T, R>(generator: AsyncGenerator<T, R>): Promise<{ values: T[]; result: R }> {
	const values: T[] = [];
	for (;;) {
		const next = await generator.next();
		if (next.done) return { values, result: next.value };
		values.push(next.value);
	}
}

test("one report a second, then the result", async () => {
	expect(await drain(counting(10).progress)).toEqual({ values: [4, 8], result: "result" });
});

test("work that is over within a second reports nothing", async () => {
	expect(await drain(counting(3).progress)).toEqual({ values: [], result: "result" });
});

test("an error of the work is thrown after what was reported", async () => {
	const { progress } = counting(10, { failAt: 6 });
	expect(await progress.next()).toEqual({ done: false, value: 4 });
	await expect(progress.next()).rejects.toThrow("broke");
});

test("a reader that leaves waits for the work to end", async () => {
	const { progress, seen } = counting(10);
	for await (const value of progress) {
		expect(value).toBe(4);
		break;
	}
	expect(seen.done).toBe(10);
});

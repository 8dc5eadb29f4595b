// Everything that is pushed arrives once and in order, whoever waits for whom.
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Channel } from "./channel.ts";

test("values arrive in order, with any pauses on either side", async () => {
	await fc.assert(
		fc.asyncProperty(fc.array(fc.tuple(fc.nat(), fc.nat(1), fc.nat(1)), { maxLength: 20 }), async (values) => {
			const channel = new Channel<number>();
			const write = async () => {
				for (const [value, pause] of values) {
					if (pause) await sleep(0);
					channel.push(value);
				}
				channel.close();
			};
			const writing = write();
			const read: number[] = [];
			for await (const value of channel) {
				read.push(value);
				if (values[read.length - 1]?.[2]) await sleep(0);
			}
			await writing;
			expect(read).toEqual(values.map(([value]) => value));
		}),
		{ numRuns: 50 },
	);
});

test("an error comes after what was pushed before it", async () => {
	const channel = new Channel<number>();
	channel.push(1);
	channel.close({ error: new Error("torn") });
	const read: number[] = [];
	await expect(async () => {
		for await (const value of channel) read.push(value);
	}).rejects.toThrow("torn");
	expect(read).toEqual([1]);
});

import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { UserError } from "../../util/errors.ts";
import { randomSampler } from "../samplers/random.ts";
import { float } from "../space.ts";
import { applyRecord, emptyState } from "../state.ts";
import { createStudy, readStudy } from "../study.ts";
import { storageSuite } from "../testing/storage-suite.ts";
import { journalStorage } from "./journal.ts";
import { lock, unlock } from "./lock.ts";
import { memoryStorage, type SharedMemory } from "./memory.ts";
import { newOwner, processLives } from "./owner.ts";

const dir = mkdtempSync(join(tmpdir(), "attune-storage-"));
afterAll(() => rmSync(dir, { recursive: true }));
let count = 0;
const place = () => join(dir, `study-${count++}.jsonl`);

storageSuite("memory", {
	place: (): SharedMemory => ({ records: [], leases: new Map() }),
	open: memoryStorage,
});
storageSuite("journal file", { place, open: (path: string) => journalStorage(path, { survives: "kill" }) });

const DEAD = { pid: 2 ** 22 + 1, started: "1" };

async function smallStudy(path: string): Promise<void> {
	const study = await createStudy({
		space: { x: float({ low: 0, high: 1 }) },
		sampler: randomSampler(),
		storage: journalStorage(path, { survives: "kill" }),
		clock: () => 1,
	});
	for await (const _ of study.optimize(({ params }) => ({ value: params.x, checkpoint: "here" }), { maxTrials: 4 }));
	await study.close();
}

describe("journal file", () => {
	test("one line a record; no lock is left behind", async () => {
		const path = place();
		await smallStudy(path);
		const lines = readFileSync(path, "utf8").trimEnd().split("\n");
		expect(lines).toHaveLength(1 + 2 * 4);
		expect(lines.map((line) => JSON.parse(line).type).slice(0, 3)).toEqual([
			"study-created",
			"trial-created",
			"rung-done",
		]);
		expect(existsSync(`${path}.lock`)).toBe(false);
	});

	test("a torn last line is passed over, and cut off by the next writer", async () => {
		const path = place();
		await smallStudy(path);
		const whole = readFileSync(path, "utf8");
		for (const torn of [
			'{"type":"trial-cre',
			'{"type":"point-enqueued","params":{"x":0.5},"at":1}',
			"\u0000\u0000",
			"{",
		]) {
			writeFileSync(path, whole + torn);
			const storage = journalStorage(path, { survives: "kill" });
			expect(readStudy(storage)?.trials).toHaveLength(4);
			await storage.exclusive(({ append }) => append({ type: "point-enqueued", params: { x: 0.25 }, at: 2 }));
			expect(readFileSync(path, "utf8")).toBe(`${whole}{"type":"point-enqueued","params":{"x":0.25},"at":2}\n`);
		}
	});

	test("cut off anywhere, it opens as the records that were whole", async () => {
		const path = place();
		await smallStudy(path);
		const bytes = readFileSync(path);
		const ends = [...bytes.keys()].filter((i) => bytes[i] === 10).map((i) => i + 1);
		for (let length = 0; length <= bytes.length; length += 7) {
			writeFileSync(path, bytes.subarray(0, length));
			expect(journalStorage(path).read(0)).toHaveLength(ends.filter((end) => end <= length).length);
		}
	});

	test("mutated anywhere, it is read or refused with the place, never anything else", async () => {
		const path = place();
		await smallStudy(path);
		const bytes = readFileSync(path);
		const mutation = fc.record({
			at: fc.nat(bytes.length - 1),
			put: fc.oneof(
				fc.uint8Array({ minLength: 0, maxLength: 3 }),
				fc.constantFrom(...'\n{}[]",:0-').map((c) => Buffer.from(c)),
			),
			remove: fc.nat(4),
		});
		let refused = 0;
		fc.assert(
			fc.property(fc.array(mutation, { minLength: 1, maxLength: 3 }), (mutations) => {
				let mutated = bytes;
				for (const { at, put, remove } of mutations) {
					mutated = Buffer.concat([mutated.subarray(0, at), put, mutated.subarray(at + remove)]);
				}
				writeFileSync(path, mutated);
				try {
					readStudy(journalStorage(path));
				} catch (error) {
					refused++;
					expect(error).toBeInstanceOf(UserError);
					expect((error as UserError).code).toBe("JOURNAL_CORRUPT");
					expect((error as UserError).where).toMatch(/\d/);
				}
			}),
			{ numRuns: 150, seed: 1 },
		);
		expect(refused).toBeGreaterThan(50);
	});

	test("records in an impossible order, or of impossible content, are refused", async () => {
		const path = place();
		await smallStudy(path);
		const records = journalStorage(path).read(0) as { [field: string]: unknown }[];
		const replay = (list: readonly unknown[]) => {
			const state = emptyState();
			for (const record of list) applyRecord(state, record);
		};
		replay(records);
		// Even records end a trial; without one the trial is still running, which may be.
		for (const i of [0, 1, 3, 5, 7]) {
			expect(() => replay(records.filter((_, k) => k !== i)), `without record ${i}`).toThrow(UserError);
		}
		const created = records[1] as object;
		const rung = records[2] as object;
		for (const wrong of [
			{ ...created, params: { x: 2 } },
			{ ...created, params: { y: 1 } },
			{ ...created, toStep: 0 },
			{ ...created, origin: "luck" },
			{ ...created, at: "now" },
			{ ...created, type: "__proto__" },
		]) {
			expect(() => replay([records[0], wrong]), JSON.stringify(wrong)).toThrow(UserError);
		}
		for (const wrong of [
			{ ...rung, values: [null] },
			{ ...rung, values: [1, 2] },
			{ ...rung, trial: 9 },
			{ ...rung, outcome: "won" },
		]) {
			expect(() => replay([records[0], created, wrong]), JSON.stringify(wrong)).toThrow(UserError);
		}
	});

	test("a file that was replaced while in use is noticed", async () => {
		const path = place();
		await smallStudy(path);
		const storage = journalStorage(path);
		storage.read(0);
		writeFileSync(path, "");
		expect(() => storage.read(0)).toThrow(/shorter/);
	});

	test("leases end with their process, or unrenewed", async () => {
		const path = place();
		let now = 1000;
		const make = () => journalStorage(path, { clock: () => now, leaseMs: 500, survives: "kill" });
		const [a, b] = [make(), make()];
		const leased = () => b.exclusive((t) => [...t.leased()]);
		await a.exclusive(({ lease }) => lease(4));
		now += 400;
		expect(await leased()).toEqual([4]);
		await a.exclusive(({ lease }) => lease(4));
		now += 400;
		expect(await leased()).toEqual([4]);
		now += 200;
		expect(await leased()).toEqual([]);
		writeFileSync(`${path}.leases`, JSON.stringify({ 7: { ...DEAD, token: "t", at: now } }));
		expect(await leased()).toEqual([]);
		writeFileSync(`${path}.leases`, "{torn");
		expect(await leased()).toEqual([]);
	});
});

describe("the lock", () => {
	test("of a dead process is taken over, also when one died while taking it over", async () => {
		const path = place();
		const owner = newOwner(0);
		writeFileSync(path, JSON.stringify({ ...DEAD, token: "t1" }));
		writeFileSync(`${path}.t1`, JSON.stringify({ ...DEAD, token: "t2" }));
		await lock(path, { owner, isAlive: processLives });
		expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(owner);
		unlock(path);
		expect(readdirSync(dir).filter((name) => join(dir, name).startsWith(path))).toEqual([]);
	});

	test("that lost its content to a power loss is nobody's", async () => {
		const path = place();
		writeFileSync(path, "");
		await lock(path, { owner: newOwner(0), isAlive: processLives });
		unlock(path);
	});

	test("of a living process is respected, and named when waiting takes too long", async () => {
		const path = place();
		const holder = newOwner(0);
		await lock(path, { owner: holder, isAlive: processLives });
		const second = lock(path, { owner: newOwner(0), isAlive: processLives, timeoutMs: 40 });
		await expect(second).rejects.toMatchObject({
			code: "STUDY_LOCKED",
			found: expect.stringContaining(`${process.pid}`),
		});
		expect(JSON.parse(readFileSync(path, "utf8"))).toEqual(holder);
	});

	test("a pid used again by another process is not the owner", () => {
		const me = newOwner(0);
		expect(processLives(me)).toBe(true);
		if (me.started !== "") expect(processLives({ ...me, started: "1" })).toBe(false);
		expect(processLives({ ...DEAD, token: "x" })).toBe(false);
	});
});

test("appending by hand between records is refused at the right line", async () => {
	const path = place();
	await smallStudy(path);
	appendFileSync(path, "not json\n");
	expect(() => journalStorage(path).read(0)).toThrow(expect.objectContaining({ where: `${path}:10` }));
});

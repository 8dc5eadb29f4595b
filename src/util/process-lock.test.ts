// The lock of one process: held, released, taken over from the dead, and never from the living.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { takeLock } from "./process-lock.ts";

let root: string;
let path: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "attune-lock-"));
	path = join(root, "run.lock");
});
afterEach(async () => {
	child?.kill("SIGKILL");
	await rm(root, { recursive: true, force: true });
});

const take = () => takeLock(path, { what: "The run", heartbeatMs: 20 });

/** The owner that this process would write. */
async function self(): Promise<{ pid: number; host: string; started: string }> {
	const release = await take();
	const owner = JSON.parse(readFileSync(path, "utf8"));
	release();
	return owner;
}

test("is held by one until it is released", async () => {
	const release = await take();
	await expect(take()).rejects.toMatchObject({
		code: "LOCKED",
		message: expect.stringContaining(`The run is being written by process ${process.pid} on `),
	});
	release();
	const again = await take();
	release();
	expect(existsSync(path)).toBe(true);
	again();
	expect(await readdir(root)).toEqual([]);
});

test("of a living process is respected, of a killed one taken over", async () => {
	const owner = await self();
	child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
	writeFileSync(path, JSON.stringify({ ...owner, pid: child.pid, started: "" }));
	await expect(take()).rejects.toMatchObject({ code: "LOCKED" });
	child.kill("SIGKILL");
	await once(child, "exit");
	(await take())();
});

test("torn, empty, or of a process whose pid another has now, is taken over", async () => {
	const owner = await self();
	const reused = JSON.stringify({ ...owner, started: "another boot 1" });
	// Only Linux tells when a process started.
	for (const content of [...(process.platform === "linux" ? [reused] : []), '{"pid": 1', ""]) {
		writeFileSync(path, content);
		(await take())();
	}
});

test("from another machine or container: taken over when its heart stands still, respected while it beats", async () => {
	const foreign = { ...(await self()), host: "elsewhere pid:[1]", pid: 1 };
	writeFileSync(path, JSON.stringify(foreign));
	(await take())();
	let beats = 0;
	const heart = setInterval(() => writeFileSync(path, JSON.stringify({ ...foreign, beats: beats++ })), 5);
	writeFileSync(path, JSON.stringify(foreign));
	await expect(take()).rejects.toMatchObject({
		code: "LOCKED",
		message: "The run is being written by process 1 on elsewhere.",
	});
	clearInterval(heart);
});

test("beats, in place", async () => {
	const release = await take();
	const before = readFileSync(path, "utf8");
	await expect.poll(() => readFileSync(path, "utf8"), { timeout: 10_000 }).not.toBe(before);
	expect(readFileSync(path, "utf8")).toHaveLength(before.length);
	release();
	expect(existsSync(path)).toBe(false);
});

test("of several that find a dead owner at once, one gets it", async () => {
	for (let round = 0; round < 20; round++) {
		writeFileSync(path, "dead");
		const results = await Promise.allSettled([take(), take(), take()]);
		const won = results.filter((result) => result.status === "fulfilled");
		expect(won).toHaveLength(1);
		for (const { value } of won) value();
	}
});

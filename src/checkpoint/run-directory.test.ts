// Run directories: what creating refuses and overwriting spares, events, checkpoints, the lock, and kills at any moment.
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
	appendFile,
	mkdir,
	mkdtemp,
	readdir,
	readFile,
	rename,
	rm,
	symlink,
	truncate,
	writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { build } from "tsdown";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { CheckpointWriter } from "./checkpoint-writer.ts";
import {
	type CheckpointContent,
	latestCheckpoint,
	listCheckpoints,
	openCheckpoint,
	pruneCheckpoints,
	writeCheckpoint,
} from "./checkpoints.ts";
import { parseManifest, readManifest } from "./manifest.ts";
import { createRun, openRun, readRunEvents } from "./run-directory.ts";
import { contentOfStep, manifestForTests as manifest } from "./testing/content.ts";

let root: string;
let path: string;
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "attune-run-"));
	path = join(root, "runs", "one");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const steps = async () => (await listCheckpoints(path)).map(({ step }) => step);
const small = (step: number): CheckpointContent => ({
	step,
	tensors: { "model.safetensors": [{ name: "w", shape: [2], data: new Float32Array([step, -step]) }] },
	state: { step },
});

describe("creating", () => {
	test("a new directory explains itself, and is let go again", async () => {
		const run = await createRun(path, { manifest });
		expect((await readdir(path)).sort()).toEqual(["manifest.json", "run.lock"]);
		run.close();
		expect(await readManifest(path)).toEqual(manifest);
		expect(await readdir(path)).toEqual(["manifest.json"]);
	});

	test("an existing directory with content is refused, an empty one taken", async () => {
		await mkdir(path, { recursive: true });
		(await createRun(path, { manifest })).close();
		await expect(createRun(path, { manifest })).rejects.toMatchObject({ code: "OUTPUT_EXISTS", where: path });
		await writeFile(join(root, "file"), "");
		await expect(createRun(join(root, "file"), { manifest })).rejects.toMatchObject({ name: "UserError" });
	});

	test("overwriting removes what a run writes and nothing else", async () => {
		const run = await createRun(path, { manifest });
		run.appendEvent({ type: "step-done", step: 1 });
		await writeCheckpoint(path, small(1));
		await mkdir(run.modelPath);
		await writeFile(join(run.modelPath, "config.json"), "{}");
		await writeFile(join(run.modelPath, "my-thoughts.txt"), "keep");
		await writeFile(join(path, "checkpoints", "notes.txt"), "keep");
		await writeFile(join(path, "notes.md"), "keep");
		await writeFile(join(path, "study.journal"), "old");
		await run.writeFile("report.json", "{}");
		run.close();
		(
			await createRun(path, { manifest: { ...manifest, seed: 43 }, overwrite: true, alsoWrites: ["study.journal"] })
		).close();
		expect((await readdir(path, { recursive: true })).sort()).toEqual([
			"checkpoints",
			"checkpoints/notes.txt",
			"manifest.json",
			"model",
			"model/my-thoughts.txt",
			"notes.md",
		]);
		expect((await readManifest(path)).seed).toBe(43);
	});

	test("overwriting what is no run deletes nothing", async () => {
		await mkdir(join(path, "checkpoints", "step-000001"), { recursive: true });
		await writeFile(join(path, "manifest.json"), '{"name":"some web page"}');
		await expect(createRun(path, { manifest, overwrite: true })).rejects.toMatchObject({ code: "OUTPUT_NOT_A_RUN" });
		expect((await readdir(path, { recursive: true })).sort()).toEqual([
			"checkpoints",
			"checkpoints/step-000001",
			"manifest.json",
		]);
	});

	test("overwriting follows no link out of the directory", async () => {
		(await createRun(path, { manifest })).close();
		const precious = join(root, "precious");
		await mkdir(precious);
		await writeFile(join(precious, "config.json"), "{}");
		await symlink(precious, join(path, "model"));
		(await createRun(path, { manifest, overwrite: true })).close();
		expect(await readdir(precious)).toEqual(["config.json"]);
		expect(await readdir(path)).toEqual(["manifest.json"]);
	});

	test("a manifest that is none names the field", () => {
		const parse = (value: unknown) => () => parseManifest(JSON.stringify(value), { path: "m" });
		expect(parse(manifest)()).toEqual(manifest);
		expect(parse({ ...manifest, seed: "42" })).toThrow(
			expect.objectContaining({ found: expect.stringMatching(/^seed: /) }),
		);
		expect(parse({ ...manifest, options: { a: { value: 1, origin: "moon" } } })).toThrow(/not a manifest/);
	});
});

describe("the lock", () => {
	test("one run, one writer", async () => {
		const run = await createRun(path, { manifest });
		await expect(openRun(path)).rejects.toMatchObject({
			code: "LOCKED",
			message: expect.stringContaining(`process ${process.pid} on`),
		});
		await expect(createRun(path, { manifest, overwrite: true })).rejects.toMatchObject({ code: "LOCKED" });
		run.close();
		const again = await openRun(path);
		run.close();
		await expect(openRun(path)).rejects.toMatchObject({ code: "LOCKED" });
		again.close();
	});
});

describe("events", () => {
	test("come back in order, numbers that JSON lacks too", async () => {
		const run = await createRun(path, { manifest });
		const events = Array.from({ length: 500 }, (_, step) => ({ type: "step-done", step, text: "ä\n\u2028" }));
		for (const event of events) run.appendEvent(event);
		run.appendEvent({ type: "warning", loss: Number.NaN });
		run.close();
		expect(await readRunEvents(path)).toEqual([...events, { type: "warning", loss: "NaN" }]);
	});

	test("a torn last line is skipped, then removed by the next writer", async () => {
		for (const torn of [
			'{"type":"step-do',
			'{"type":"step-done"}',
			"\u0000\u0000\u0000\n",
			Buffer.from("ä").subarray(0, 1),
		]) {
			const run = await createRun(path, { manifest, overwrite: true });
			run.appendEvent({ type: "step-done", step: 1 });
			run.close();
			await appendFile(join(path, "events.jsonl"), torn);
			expect(await readRunEvents(path)).toEqual([{ type: "step-done", step: 1 }]);
			const again = await openRun(path);
			again.appendEvent({ type: "step-done", step: 2 });
			again.close();
			expect((await readRunEvents(path)).map(({ step }) => step)).toEqual([1, 2]);
		}
	});

	test("a damaged line in the middle is an error with its number", async () => {
		(await createRun(path, { manifest })).close();
		await writeFile(join(path, "events.jsonl"), '{"type":"a"}\n{"type":5}\n{"type":"b"}\n');
		await expect(readRunEvents(path)).rejects.toMatchObject({
			code: "RUN_EVENTS",
			where: expect.stringMatching(/:2$/),
		});
	});

	test("going back to a checkpoint drops what came after its step, in events and checkpoints", async () => {
		const run = await createRun(path, { manifest });
		const add = (type: string, step?: number) => run.appendEvent(step === undefined ? { type } : { type, step });
		add("run-started");
		for (const step of [1, 2, 3]) {
			add("step-done", step);
			// Written in the background, so noted one step late.
			if (step > 1) add("checkpoint-saved", step - 1);
			await writeCheckpoint(path, small(step));
		}
		add("run-interrupted");
		expect(await run.rewindTo({ step: 2 })).toBe(2);
		add("run-resumed", 2);
		run.close();
		expect((await readRunEvents(path)).map(({ type, step }) => `${type} ${step}`)).toEqual([
			"run-started undefined",
			"step-done 1",
			"step-done 2",
			"checkpoint-saved 1",
			"checkpoint-saved 2",
			"run-resumed 2",
		]);
		expect(await steps()).toEqual([1, 2]);
	});
});

describe("checkpoints", () => {
	test("hold tensors, texts and state; equal content gives equal bytes", async () => {
		const content = { ...small(7), texts: { "adapter_config.json": "{}\n" } };
		const where = await writeCheckpoint(path, content);
		expect(where).toBe(join(path, "checkpoints", "step-000007"));
		const before = await readFile(join(where, "model.safetensors"));
		const opened = await openCheckpoint(where);
		expect([opened.step, opened.state]).toEqual([7, { step: 7 }]);
		expect(await opened.tensors.get("model.safetensors")?.read("w")).toEqual(new Float32Array([7, -7]));
		expect(await opened.readText("adapter_config.json")).toBe("{}\n");
		await opened.close();
		await writeCheckpoint(path, content);
		expect((await readFile(join(where, "model.safetensors"))).equals(before)).toBe(true);
		expect(await readdir(join(path, "checkpoints"))).toEqual(["step-000007"]);
	});

	test("state that JSON would change silently is refused", async () => {
		await mkdir(path, { recursive: true });
		for (const state of [{ at: new Float32Array(2) }, { seed: 1n }, { x: undefined }]) {
			await expect(writeCheckpoint(path, { ...small(1), state })).rejects.toThrow();
		}
		expect(await steps()).toEqual([]);
	});

	test("a loss that is no number comes back as it was", async () => {
		const state = { best: Number.POSITIVE_INFINITY, last: { loss: Number.NaN }, answers: ["NaN"] };
		const opened = await openCheckpoint(await writeCheckpoint(path, { ...small(1), state }));
		expect(opened.state).toEqual(state);
		await opened.close();
	});

	test("the latest whole one is found, and damaged ones are named", async () => {
		const run = await createRun(path, { manifest });
		expect(await latestCheckpoint(path)).toEqual({ latest: undefined, damaged: [] });
		for (const step of [1, 2, 3, 4, 5, 1_000_000]) await writeCheckpoint(path, small(step));
		await mkdir(join(path, "checkpoints", "step-7"));
		const damage: Record<number, (at: string) => Promise<unknown>> = {
			3: (at) => truncate(join(at, "model.safetensors"), 20),
			4: (at) => rm(join(at, "model.safetensors")),
			5: (at) => truncate(join(at, "state.json"), 20),
			1000000: (at) => rm(join(at, "state.json")),
		};
		for (const { step, path: at } of await listCheckpoints(path)) await damage[step]?.(at);
		const { latest, damaged } = await latestCheckpoint(path);
		expect(latest?.step).toBe(2);
		expect(damaged.map(({ code, where }) => [code, where?.slice(-8)])).toEqual(
			["-1000000", "p-000005", "p-000004", "p-000003"].map((name) => ["CHECKPOINT_INCOMPLETE", name]),
		);
		run.close();
	});

	test("a state.json that names files elsewhere is refused", async () => {
		await mkdir(path, { recursive: true });
		const where = await writeCheckpoint(path, small(1));
		await writeFile(join(where, "state.json"), '{"format":1,"step":1,"files":{"../../../secret":6},"state":{}}');
		await writeFile(join(root, "runs", "secret"), "secret");
		await expect(openCheckpoint(where)).rejects.toMatchObject({ message: expect.stringContaining("leads out") });
	});

	test("the limit removes the oldest, never the best, never the last", async () => {
		await mkdir(path, { recursive: true });
		const prune = async (saveTotalLimit: number, best?: number) => {
			await rm(join(path, "checkpoints"), { recursive: true, force: true });
			for (const name of ["step-000100", "step-000200", "step-000300", "step-000400"]) {
				await mkdir(join(path, "checkpoints", name), { recursive: true });
			}
			const removed = await pruneCheckpoints(path, { saveTotalLimit, best });
			expect((await readdir(join(path, "checkpoints"))).length).toBe(4 - removed.length);
			return steps();
		};
		expect(await prune(2)).toEqual([300, 400]);
		expect(await prune(2, 100)).toEqual([100, 400]);
		expect(await prune(3, 100)).toEqual([100, 300, 400]);
		expect(await prune(1, 400)).toEqual([400]);
		expect(await prune(1, 200)).toEqual([200, 400]);
		expect(await prune(4, 200)).toEqual([100, 200, 300, 400]);
		expect(await prune(9)).toEqual([100, 200, 300, 400]);
	});
});

describe("writing in the background", () => {
	test.each([true, false])(
		"saves the numbers as they were, whatever happens to them meanwhile; copies: %s",
		async (copies) => {
			await mkdir(path, { recursive: true });
			const saved: number[] = [];
			const writer = new CheckpointWriter({ runDirectory: path, copies, onSaved: ({ step }) => void saved.push(step) });
			const data = new Float32Array(300_000);
			const shape = [data.length];
			const state = { random: [0] };
			const content = { "model.safetensors": [{ name: "w", shape, data }] };
			await writer.reserve(content);
			for (const step of [1, 2, 3]) {
				data.fill(step);
				state.random[0] = step;
				await writer.save({ step, tensors: content, state });
				expect(writer.busy).toBe(copies);
				data.fill(-1);
				state.random[0] = -1;
			}
			await writer.flush();
			expect([saved, writer.busy]).toEqual([[1, 2, 3], false]);
			for (const { step, path: at } of await listCheckpoints(path)) {
				const opened = await openCheckpoint(at);
				const numbers = (await opened.tensors.get("model.safetensors")?.read("w")) as Float32Array;
				expect(numbers.every((number) => number === step)).toBe(true);
				expect(opened.state).toEqual({ random: [step] });
				await opened.close();
			}
		},
	);

	test("one at a time: the next save waits for the one before", async () => {
		const log: string[] = [];
		let finish = () => {};
		const write = async (_: string, { step }: CheckpointContent) => {
			log.push(`write ${step}`);
			await new Promise<void>((done) => {
				finish = done;
			});
			log.push(`written ${step}`);
			return "";
		};
		const writer = new CheckpointWriter({ runDirectory: path, write });
		await writer.save(small(1));
		const second = writer.save(small(2)).then(() => log.push("saved 2"));
		await new Promise((done) => setTimeout(done, 20));
		expect(log).toEqual(["write 1"]);
		finish();
		await second;
		finish();
		await writer.flush();
		expect(log).toEqual(["write 1", "written 1", "write 2", "saved 2", "written 2"]);
	});

	test("a failure surfaces at the next call, once, and saving can go on", async () => {
		await mkdir(path, { recursive: true });
		let broken = true;
		const write: typeof writeCheckpoint = (...args) =>
			broken ? Promise.reject(new Error("the disk is full")) : writeCheckpoint(...args);
		const writer = new CheckpointWriter({ runDirectory: path, write });
		await writer.save(small(1));
		await expect(writer.save(small(2))).rejects.toThrow("the disk is full");
		broken = false;
		await writer.save(small(3));
		await writer.flush();
		expect(await steps()).toEqual([3]);
	});
});

describe("killed", () => {
	test("between the two renames of a replaced checkpoint: the old one is put back", async () => {
		(await createRun(path, { manifest })).close();
		const where = await writeCheckpoint(path, small(5));
		await rename(where, join(path, "checkpoints", ".step-000005.replaced"));
		await mkdir(join(path, "checkpoints", ".step-000006.4711-0.partial"));
		await writeFile(join(path, ".manifest.json.4711-3.partial"), "{");
		(await openRun(path)).close();
		expect(await readdir(join(path, "checkpoints"))).toEqual(["step-000005"]);
		expect((await readdir(path)).sort()).toEqual(["checkpoints", "manifest.json"]);
	});

	test("at any moment: every checkpoint that is listed is whole, events are readable, nothing is left over", async () => {
		// Inside node_modules, so that the bundle finds the packages it does not contain.
		const cache = resolve(import.meta.dirname, "../../node_modules/.cache");
		await mkdir(cache, { recursive: true });
		const folder = await mkdtemp(join(cache, "attune-kill-"));
		await build({
			config: false,
			entry: { main: join(import.meta.dirname, "testing/run-until-killed.ts") },
			outDir: folder,
			format: "esm",
			platform: "node",
			dts: false,
			logLevel: "error",
		});
		const rng = new Rng(1);
		let last = 0;
		for (let round = 0; round < 8; round++) {
			const child = spawn(process.execPath, [join(folder, "main.mjs"), path], { stdio: ["ignore", "pipe", "inherit"] });
			const exited = once(child, "exit");
			await Promise.race([once(child.stdout, "data"), exited]);
			await new Promise((done) => setTimeout(done, rng.integer(120)));
			child.kill("SIGKILL");
			expect(await exited).toEqual([null, "SIGKILL"]);
			for (const checkpoint of await listCheckpoints(path)) {
				const opened = await openCheckpoint(checkpoint.path);
				expect(opened.state).toEqual(contentOfStep(checkpoint.step).state);
				for (const file of opened.tensors.values()) {
					for (const name of file.tensors.keys()) {
						const numbers = (await file.read(name)) as Float32Array;
						expect(numbers.every((number) => number === checkpoint.step)).toBe(true);
					}
				}
				await opened.close();
			}
			const kept = (await steps()).at(-1) ?? 0;
			expect(kept).toBeGreaterThanOrEqual(last);
			last = kept;
			const done = (await readRunEvents(path)).filter(({ type }) => type === "step-done").map(({ step }) => step);
			expect(done).toEqual(done.map((_, i) => i + 1));
		}
		expect(last).toBeGreaterThan(3);
		const run = await openRun(path);
		expect((await readdir(path)).sort()).toEqual(["checkpoints", "events.jsonl", "manifest.json", "run.lock"]);
		expect((await readdir(join(path, "checkpoints"))).every((name) => name.startsWith("step-"))).toBe(true);
		run.close();
		await rm(folder, { recursive: true });
	});
});

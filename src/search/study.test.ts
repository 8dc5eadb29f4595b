import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "tsdown";
import { afterAll, beforeAll, describe, expect, expectTypeOf, test } from "vitest";
import {
	ashaPruner,
	categorical,
	createStudy,
	float,
	gridSampler,
	hyperbandPruner,
	int,
	journalStorage,
	medianPruner,
	memoryStorage,
	randomSampler,
	rankTrials,
	readStudy,
	type SharedMemory,
	type StudyEvent,
	type StudyRecord,
	tpeSampler,
	withoutTime,
} from "./index.ts";

const SPACE = {
	rate: float({ low: 1e-5, high: 1e-1, log: true }),
	method: categorical(["full", "lora"]),
	rank: int({ low: 1, high: 64, log: true, when: { method: "lora" } }),
};
const distance = ({ rate }: { rate: number }) => Math.abs(Math.log10(rate / 1e-3));
const collect = async <T>(events: AsyncIterable<T>) => {
	const list: T[] = [];
	for await (const event of events) list.push(event);
	return list;
};
const dir = mkdtempSync(join(tmpdir(), "attune-study-"));
afterAll(() => rmSync(dir, { recursive: true }));

describe("ask and tell", () => {
	test("the types of a point come from the space", async () => {
		const study = await createStudy({ space: SPACE });
		const { params } = await study.ask();
		expectTypeOf(params.rate).toEqualTypeOf<number>();
		expectTypeOf(params.method).toEqualTypeOf<"full" | "lora">();
		expectTypeOf(params.rank).toEqualTypeOf<number | undefined>();
		// @ts-expect-error: not in the space
		expect(params.rang).toBeUndefined();
		const inline = await createStudy({ space: { units: categorical([1, 2, true]), x: float({ low: 0, high: 1 }) } });
		expectTypeOf((await inline.ask()).params.units).toEqualTypeOf<1 | 2 | true>();
	});

	test("outcomes of every kind are results", async () => {
		const study = await createStudy({ space: SPACE, sampler: randomSampler() });
		const tell = async (outcome: Parameters<typeof study.tell>[1]) => {
			const trial = await study.ask();
			await study.tell(trial, outcome);
			return study.trials[trial.number];
		};
		expect(await tell(1.5)).toMatchObject({ state: "done", rungs: [{ step: 1, values: [1.5] }] });
		expect(await tell({ value: 1, cost: 3, checkpoint: { file: "a" } })).toMatchObject({
			state: "done",
			rungs: [{ cost: 3 }],
			checkpoint: { step: 1, ref: { file: "a" } },
		});
		expect(await tell("pruned")).toMatchObject({ state: "pruned" });
		expect(await tell({ failed: "out of memory" })).toMatchObject({ state: "failed", reason: "out of memory" });
		expect(await tell(Number.NaN)).toMatchObject({ state: "failed", reason: expect.stringContaining("NaN") });
		expect(await tell([1, 2])).toMatchObject({ state: "failed", reason: expect.stringContaining("a number") });
		// A caller without types.
		expect(await tell(undefined as unknown as number)).toMatchObject({
			state: "failed",
			reason: expect.stringContaining("undefined"),
		});
	});

	test("enqueued points come first and are checked; a grid ends", async () => {
		const study = await createStudy({ space: { mode: categorical(["a", "b"]) }, sampler: gridSampler() });
		await study.enqueue({ mode: "b" });
		await expect(study.enqueue({ mode: "c" } as never)).rejects.toMatchObject({ code: "POINT_INVALID", where: "mode" });
		expect((await study.ask()).params.mode).toBe("b");
		await study.ask();
		await study.ask();
		await expect(study.ask()).rejects.toMatchObject({ code: "STUDY_EXHAUSTED" });
	});

	test("a report that is not finite fails the trial, and a late outcome does not raise it again", async () => {
		const study = await createStudy({ space: SPACE });
		const trial = await study.ask();
		await trial.report(1, 1);
		await trial.report(Number.POSITIVE_INFINITY, 2);
		expect(trial.shouldPrune()).toBe(true);
		await study.tell(trial, 0);
		expect(study.trials[0]).toMatchObject({ state: "failed", reason: expect.stringContaining("step 2") });
	});
});

describe("options that do not fit", () => {
	const refused = (options: object) => createStudy({ space: SPACE, ...options } as Parameters<typeof createStudy>[0]);
	test.each([
		[{ space: { seed: int({ low: 0, high: 9 }) } }, "SPACE_SEED"],
		[{ space: {} }, "SPACE_INVALID"],
		[{ direction: "minimise" }, "STUDY_OPTIONS"],
		[{ direction: "minimize", directions: ["minimize"] }, "STUDY_OPTIONS"],
		[{ directions: ["minimize", "maximize"], pruner: medianPruner() }, "STUDY_OPTIONS"],
		[{ seed: 0.5 }, "STUDY_OPTIONS"],
		[{ maxStep: 0 }, "STUDY_OPTIONS"],
		[{ noiseSeeds: 1 }, "STUDY_OPTIONS"],
	])("%j is refused", async (options, code) => {
		await expect(refused(options)).rejects.toMatchObject({ code });
	});

	test("a stored study is opened with what it was made with, or not at all", async () => {
		const shared: SharedMemory = { records: [], leases: new Map() };
		const open = (options: object) => refused({ storage: memoryStorage(shared), seed: 1, ...options });
		await open({});
		await open({});
		await expect(open({ seed: 2 })).rejects.toMatchObject({ code: "STUDY_MISMATCH", where: "seed" });
		await expect(open({ sampler: randomSampler() })).rejects.toMatchObject({ where: "sampler" });
		await expect(open({ space: { x: float({ low: 0, high: 1 }) } })).rejects.toMatchObject({ where: "space" });
		expect(shared.records).toHaveLength(1);
	});
});

describe("optimize", () => {
	test("rungs pause and promote from the exact checkpoint; no step is run twice; events tell it in order", async () => {
		const steps: string[] = [];
		const study = await createStudy({ space: SPACE, pruner: ashaPruner({ minStep: 2, maxStep: 18 }), seed: 4 });
		const events = await collect(
			study.optimize(
				({ params, trial, fromStep, toStep, checkpoint }) => {
					expect(checkpoint).toEqual(fromStep === 0 ? undefined : { at: fromStep });
					for (let step = fromStep + 1; step <= toStep; step++) steps.push(`${trial.number}:${step}`);
					return { value: distance(params) + 1 / toStep, checkpoint: { at: toStep } };
				},
				{ maxTrials: 30 },
			),
		);
		expect(new Set(steps).size).toBe(steps.length);
		const reached = (step: number) =>
			study.trials.filter(({ rungs }) => rungs.some((rung) => rung.step === step)).length;
		expect(reached(2)).toBe(30);
		expect(reached(6)).toBeGreaterThanOrEqual(10);
		expect(reached(6)).toBeLessThan(20);
		expect(events.at(-1)).toEqual({ type: "study-stopped", reason: "trials" });
		const kinds = (n: number) => events.flatMap((e) => ("trial" in e && e.trial.number === n ? [e.type] : []));
		const full = [
			"trial-started",
			"rung-done",
			"trial-paused",
			"trial-promoted",
			"trial-started",
			"rung-done",
			"trial-paused",
		];
		const best = study.best?.number as number;
		expect(kinds(best)).toEqual([...full, "trial-promoted", "trial-started", "rung-done", "trial-done"]);
		expect(study.best?.rungs.map(({ step }) => step)).toEqual([2, 6, 18]);
		const changes = events.filter((event) => event.type === "best-changed");
		expect((changes.at(-1) as Extract<StudyEvent<unknown>, { type: "best-changed" }>).best[0]?.number).toBe(best);
	});

	test("noise first; settings within noise are ties, the cheapest wins", async () => {
		const study = await createStudy({ space: SPACE, noiseSeeds: 3, seed: 10, sampler: randomSampler() });
		await study.enqueue({ rate: 1e-3, method: "lora", rank: 2 });
		const wobble = [0.1, 0.4, 0.25];
		await collect(
			study.optimize(
				({ params, trial }) => ({
					value: distance(params) + (wobble[trial.seed - 10] as number),
					cost: params.rank ?? 64,
				}),
				{ maxTrials: 8 },
			),
		);
		expect(study.trials.map(({ origin, seed }) => [origin, seed]).slice(0, 4)).toEqual([
			["default", 10],
			["noise", 11],
			["noise", 12],
			["enqueued", 10],
		]);
		expect(study.noise?.deviation[0]).toBeCloseTo(0.15, 10);
		const { ties, winner, order } = study.ranking;
		expect(order.some(({ origin }) => origin === "noise")).toBe(false);
		expect(ties.map(({ number }) => number)).toEqual(expect.arrayContaining([0, 3]));
		expect(winner?.number).toBe(3);
	});

	test("failures are results; when all fail the study stops and says why", async () => {
		const study = await createStudy({ space: SPACE, sampler: randomSampler() });
		const broken = study.optimize(() => Promise.reject(new Error("out of memory")), { maxTrials: 50 });
		await expect(collect(broken)).rejects.toMatchObject({ code: "EVERY_TRIAL_FAILED", found: "out of memory" });
		expect(study.trials).toHaveLength(5);
		const half = await createStudy({ space: SPACE, sampler: randomSampler() });
		let count = 0;
		await collect(
			half.optimize(
				() => {
					if (count++ % 2 === 1) throw new Error("odd");
					return 1;
				},
				{ maxTrials: 20 },
			),
		);
		expect(half.trials.filter(({ state }) => state === "failed")).toHaveLength(10);
	});

	test("budget by the clock, and a signal: the trial in hand goes on from its checkpoint", async () => {
		let now = 0;
		const shared: SharedMemory = { records: [], leases: new Map() };
		const open = () => createStudy({ space: SPACE, storage: memoryStorage(shared), maxStep: 10, clock: () => now });
		const study = await open();
		const timed = await collect(
			study.optimize(
				() => {
					now += 300;
					return 1;
				},
				{ budgetMs: 1000 },
			),
		);
		expect(timed.at(-1)).toEqual({ type: "study-stopped", reason: "budget" });
		expect(study.trials).toHaveLength(4);

		const controller = new AbortController();
		const stopped = await collect(
			study.optimize(
				async ({ trial, signal }) => {
					await trial.saveCheckpoint("half", 5);
					controller.abort();
					signal.throwIfAborted();
					return 1;
				},
				{ signal: controller.signal },
			),
		);
		expect(stopped.map(({ type }) => type)).toEqual(["trial-started", "trial-interrupted", "study-stopped"]);
		const again = await open();
		const active = await again.ask();
		expect(active).toMatchObject({ number: 4, fromStep: 5, toStep: 10, checkpoint: "half" });
	});

	test("when the time comes, what may still win is brought to its end, and nothing else is begun", async () => {
		const study = await createStudy({
			space: SPACE,
			sampler: randomSampler(),
			pruner: ashaPruner({ minStep: 1, maxStep: 9 }),
			seed: 4,
		});
		const events = await collect(
			study.optimize(({ params, toStep }) => distance(params) + 1 / toStep, {
				finishing: () => study.trials.length >= 8,
			}),
		);
		expect(study.trials.length).toBe(8);
		expect(events.at(-1)).toEqual({ type: "study-stopped", reason: "finished" });
		// The order of these trials never changes from rung to rung: so the best of all has the whole budget.
		const best = study.trials.toSorted((a, b) => distance(a.params) - distance(b.params))[0];
		expect(best?.state).toBe("done");
		expect(study.mostPromising).toBeUndefined();
		// Whoever is still paused was worse at its rung than somebody who went on from there.
		for (const { state, rungs } of study.trials.filter(({ state }) => state === "paused")) {
			const [step, value] = [rungs.at(-1)?.step, rungs.at(-1)?.values[0] as number];
			const done = study.trials.filter((trial) => trial.state === "done");
			const there = done.map((trial) => trial.rungs.find((rung) => rung.step === step)?.values[0] as number);
			expect(Math.min(...there), state).toBeLessThanOrEqual(value);
		}
	});

	test("a ranking by what can be had: an early value beats a later, worse one", async () => {
		const study = await createStudy({ space: SPACE, pruner: ashaPruner({ minStep: 1, maxStep: 3 }) });
		const [worse, better] = [await study.ask(), await study.ask()];
		await study.tell(worse, 2);
		await study.tell(better, 1);
		const third = await study.ask();
		await study.tell(third, 3);
		const promoted = await study.ask();
		expect(promoted.number).toBe(better.number);
		await study.tell(promoted, 2.5);
		const { trials, directions } = study;
		expect(rankTrials(trials, { directions }).winner?.number).toBe(better.number);
		expect(rankTrials(trials, { directions, anyStep: true }).winner?.number).toBe(worse.number);
	});

	test("two workers on one study: every trial once, no number twice, and an abandoned one is taken over", async () => {
		const shared: SharedMemory = { records: [], leases: new Map() };
		const open = (worker: string) =>
			createStudy({
				space: SPACE,
				storage: memoryStorage(shared),
				pruner: hyperbandPruner({ minStep: 1, maxStep: 4, eta: 2 }),
				worker,
			});
		const lost = await open("lost");
		const abandoned = await lost.ask();
		await lost.close();
		const runs: string[] = [];
		const work = async (name: string) => {
			const study = await open(name);
			const events = study.optimize(
				async ({ params, trial, fromStep, toStep }) => {
					runs.push(`${trial.number} ${fromStep}-${toStep}`);
					await new Promise((done) => setTimeout(done, (trial.number * 7) % 5));
					return { value: distance(params) + 1 / toStep, checkpoint: toStep };
				},
				{ maxTrials: 20 },
			);
			await collect(events);
			return study;
		};
		const [a, b] = await Promise.all([work("a"), work("b")]);
		await Promise.all([a.refresh(), b.refresh()]);
		expect(new Set(runs).size).toBe(runs.length);
		expect(runs).toContain(`${abandoned.number} 0-${abandoned.toStep}`);
		expect(a.trials).toEqual(b.trials);
		expect(a.trials).toHaveLength(20);
		const workers = shared.records.flatMap((record) => ("worker" in record ? [record.worker] : []));
		expect(new Set(workers)).toEqual(new Set(["a", "b"]));
	});

	test("several objectives: the front is what nothing dominates", async () => {
		const study = await createStudy({
			space: { x: float({ low: -5, high: 5 }) },
			directions: ["minimize", "maximize"],
			pruner: ashaPruner({ minStep: 1, maxStep: 3 }),
		});
		await collect(study.optimize(({ params }) => [params.x ** 2, -((params.x - 2) ** 2)], { maxTrials: 40 }));
		expect(study.front.length).toBeGreaterThan(2);
		for (const { params } of study.front) expect(params.x > -1 && params.x < 3).toBe(true);
	});
});

describe("killed and resumed equals never killed", () => {
	let child = "";
	beforeAll(async () => {
		await build({
			config: false,
			entry: [join(import.meta.dirname, "testing/kill-child.ts")],
			outDir: dir,
			format: "esm",
			platform: "node",
			dts: false,
			clean: false,
			logLevel: "silent",
		});
		child = join(dir, "kill-child.mjs");
	});
	const start = (path: string, pauseMs: number): ChildProcess =>
		spawn(process.execPath, [child, path, `${pauseMs}`], { stdio: ["ignore", "inherit", "inherit"] });
	const ended = (running: ChildProcess) =>
		new Promise<number | null>((done) => running.on("exit", (code) => done(code)));
	const journal = (path: string) => (journalStorage(path).read(0) as StudyRecord[]).map(withoutTime);

	test("SIGKILL at random moments: the same journal, record for record", async () => {
		const [calm, killed] = [join(dir, "calm.jsonl"), join(dir, "killed.jsonl")];
		expect(await ended(start(calm, 0))).toBe(0);
		// ATTUNE_KILLS=20 for the measurement of the README; a few are enough to see a difference.
		const kills = Number(process.env.ATTUNE_KILLS ?? 3);
		let done = 0;
		for (let kill = 0; kill < kills; kill++) {
			const running = start(killed, 4);
			const exit = ended(running);
			// Let it get somewhere new, then kill it at an arbitrary moment: the moments differ from run to run on purpose.
			const goal = Math.floor((lines(calm) * (kill + 1)) / (kills + 1));
			while (running.exitCode === null && lines(killed) < goal)
				await new Promise((tick) => setTimeout(tick, 3 + Math.random() * 10));
			running.kill("SIGKILL");
			if ((await exit) === null) done++;
		}
		// On a machine that stalls, the child may end before its kill; a measurement counts them all.
		expect(done).toBeGreaterThanOrEqual(process.env.ATTUNE_KILLS === undefined ? 1 : kills);
		expect(await ended(start(killed, 0))).toBe(0);
		expect(journal(killed)).toEqual(journal(calm));
		expect(readStudy(journalStorage(killed))?.trials.filter(({ state }) => state === "failed").length).toBeGreaterThan(
			0,
		);
	});

	const lines = (path: string) => {
		try {
			return readFileSync(path, "utf8").split("\n").length - 1;
		} catch {
			return 0;
		}
	};
});

test("the sampler's randomness is in the journal: opened again after each trial, the points are the same", async () => {
	const once = await createStudy({ space: SPACE, sampler: tpeSampler({ startupTrials: 4 }), seed: 9 });
	await collect(once.optimize(({ params }) => distance(params), { maxTrials: 15 }));
	const shared: SharedMemory = { records: [], leases: new Map() };
	for (let n = 1; n <= 15; n++) {
		const study = await createStudy({
			space: SPACE,
			sampler: tpeSampler({ startupTrials: 4 }),
			seed: 9,
			storage: memoryStorage(shared),
		});
		await collect(study.optimize(({ params }) => distance(params), { maxTrials: n }));
	}
	expect(shared.records.flatMap((record) => (record.type === "trial-created" ? [record.params] : []))).toEqual(
		once.trials.map(({ params }) => params),
	);
});

// A search from end to end on a tiny model: what it leaves, that its winner can be had again byte for byte, that it goes on
// where it was stopped, and what it refuses.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { finetune } from "../../src/recipes/finetune.ts";
import { readConfig } from "../../src/recipes/options/config.ts";
import { finetuneOptions } from "../../src/recipes/options/jobs.ts";
import type { EventOf } from "../../src/recipes/options/recipe.ts";
import { gatherOptions } from "../../src/recipes/options/resolve.ts";
import { search } from "../../src/recipes/search.ts";
import { type StudyRecord, withoutTime } from "../../src/search/index.ts";
import { UserError } from "../../src/util/errors.ts";
import {
	dialoguesFile,
	eventsOf,
	ofType,
	resultHash,
	rows,
	temporary,
	tinyModelDirectory,
	write,
} from "../support/tiny.ts";

const many = [0, 1, 2].flatMap((part) =>
	rows.map(({ input, output }, i) => ({
		input: `${input.slice(0, -1)} ${"abc"[part]}${i}?`,
		output: `${output} ${part}`,
	})),
);
let base: Parameters<typeof search>[0];
beforeAll(async () => {
	base = {
		model: await tinyModelDirectory(),
		data: [dialoguesFile(many)],
		validation: 0.2,
		test: 0.2,
		threads: 1,
		trials: 8,
		seed: 3,
		maxLength: 60,
	};
});

const output = () => join(temporary(), "search");
const run = async (options: object) => {
	const directory = output();
	const events = await eventsOf(search({ ...base, output: directory, ...options }));
	return { directory, events, report: (ofType(events, "search-done")[0] as EventOf<"search-done">).report };
};

/** The journal without times. Which latency a machine has is no decision. */
const journal = (directory: string) =>
	readFileSync(join(directory, "study.jsonl"), "utf8")
		.trimEnd()
		.split("\n")
		.map((line) => withoutTime(JSON.parse(line) as StudyRecord));

const winnerAgain = async (directory: string) => {
	const { given } = gatherOptions(finetuneOptions, { config: await readConfig(join(directory, "winner.yaml")) });
	const again = output();
	const events = await eventsOf(finetune({ ...given, output: again } as never));
	return { again, report: (ofType(events, "run-done")[0] as EventOf<"run-done">).report };
};

describe("a search", () => {
	test("leaves a model, its settings, a report and plots; finetune --config gives the model again, byte for byte", async () => {
		const { directory, report } = await run({});
		expect(report.validationLoss.winner).toBeLessThan(report.validationLoss.before);
		expect(report.trials).toBe(8);
		expect(report.noise?.seeds).toBe(3);
		expect(report.ties).toContain(report.winner.number);
		for (const name of ["report.md", "report.json", "history.svg", "importance.svg", "winner.yaml", "manifest.json"])
			expect(existsSync(join(directory, name)), name).toBe(true);
		const { again, report: trained } = await winnerAgain(directory);
		expect(resultHash(again)).toBe(resultHash(directory));
		expect(trained.validationLossAfter).toBe(report.validationLoss.winner);
		expect(trained.testLoss).toBe(report.testLoss?.winner);
	}, 180_000);

	test("an adapter, with latency and size: the front, measured and saved", async () => {
		const { directory, report } = await run({
			lora: true,
			objective: ["quality", "latency", "size"],
			noiseSeeds: 0,
			trials: 6,
		});
		expect(report.front.length).toBeGreaterThan(0);
		expect(readdirSync(join(directory, "front")).map(Number)).toEqual([...report.front].sort((a, b) => a - b));
		for (const { values } of report.ranking) expect(values?.every((value) => value > 0)).toBe(true);
		const sizes = new Set(report.ranking.map(({ values }) => values?.[2]));
		expect(sizes.size).toBeGreaterThan(1);
		expect(existsSync(join(directory, "model", "adapter_model.safetensors"))).toBe(true);
		expect(resultHash((await winnerAgain(directory)).again)).toBe(resultHash(directory));
	}, 180_000);

	test("what is given is fixed, and --vary and a space file say what is searched", async () => {
		const fixed = await run({ optimizer: "adamw", learningRate: 1e-3, dropout: 0, trials: 4, noiseSeeds: 0 });
		const names = new Set(fixed.report.ranking.flatMap(({ settings }) => Object.keys(settings)));
		for (const name of ["optimizer", "learningRate", "learningRate.sgd", "dropout"])
			expect(names.has(name), name).toBe(false);
		expect(names.has("epochs")).toBe(true);

		const space = write(
			"space.yaml",
			"learning-rate: { type: float, low: 1e-3, high: 1e-2, log: true }\noptimizer: sgd\n",
		);
		const { report, directory } = await run({ space, vary: ["momentum=0,0.9"], trials: 4, noiseSeeds: 0 });
		for (const { settings } of report.ranking) {
			expect(Object.keys(settings).sort()).toEqual(["learningRate", "momentum"]);
			expect(settings.learningRate).toBeGreaterThanOrEqual(1e-3);
		}
		expect(readFileSync(join(directory, "winner.yaml"), "utf8")).toContain('optimizer: "sgd"');
	}, 180_000);

	test("no more checkpoints than were asked for, and trials without one are trained anew when they are wanted", async () => {
		const { directory, report } = await run({ keepTrials: 1, trials: 9, noiseSeeds: 0 });
		expect(readdirSync(join(directory, "trials")).length).toBeLessThanOrEqual(2);
		const plenty = await run({ keepTrials: 50, trials: 9, noiseSeeds: 0 });
		expect(journal(directory)).toEqual(journal(plenty.directory));
		expect(resultHash(directory)).toBe(resultHash(plenty.directory));
		expect(report.winner.number).toBe(plenty.report.winner.number);
	}, 180_000);

	test("a constant rate: the longer of two trainings begins where the shorter is, and ends as if it had not", async () => {
		const space = write("space.yaml", "epochs: [2, 9]\n");
		const shared = await run({
			space,
			lrSchedule: "constant",
			warmupSteps: 0,
			sampler: "sobol",
			trials: 2,
			noiseSeeds: 0,
		});
		const steps = (events: typeof shared.events, trial: number) =>
			new Set(ofType(events, "trial-advanced").flatMap((event) => (event.trial === trial ? [event.step] : [])));
		const [short, long] = shared.report.ranking.toSorted(
			(a, b) => Number(a.settings.epochs) - Number(b.settings.epochs),
		);
		if ((short?.number ?? 0) < (long?.number ?? 0)) expect(steps(shared.events, long?.number ?? 0).has(1)).toBe(false);
		expect(resultHash((await winnerAgain(shared.directory)).again)).toBe(resultHash(shared.directory));
	}, 180_000);

	test("a winner that was not trained to its end is had again, too", async () => {
		// Nine trials at the lowest rung, then no time for more: every one of them is cut short.
		const directory = output();
		const controller = new AbortController();
		let paused = 0;
		for await (const event of search({ ...base, output: directory, noiseSeeds: 0 }, { signal: controller.signal }))
			if (event.type === "trial-changed" && event.trial.state === "paused" && ++paused === 2) controller.abort();
		const events = await eventsOf(search({ resume: directory, trials: undefined, budget: 0.001 }));
		const { report } = ofType(events, "search-done")[0] as EventOf<"search-done">;
		expect(report.winner.trained).toBeLessThan(1);
		expect(readFileSync(join(directory, "winner.yaml"), "utf8")).toContain("stop-at");
		const { again, report: trained } = await winnerAgain(directory);
		expect(resultHash(again)).toBe(resultHash(directory));
		expect(trained.validationLossAfter).toBe(report.validationLoss.winner);
	}, 180_000);

	test("random search is run beside it when asked for", async () => {
		const { report } = await run({ baseline: true, trials: 3, noiseSeeds: 0 });
		const [first, ...rest] = report.baselines;
		expect(first).toMatchObject({ kind: "run", trials: 3 });
		expect(rest.length).toBe(2);
	}, 180_000);
});

describe("a search that was stopped", () => {
	test("goes on to the journal and the model of one that was not", async () => {
		const { directory: whole, events } = await run({});
		const times = ofType(events, "trial-advanced").length;
		for (const part of [0.1, 0.5, 0.9]) {
			const directory = output();
			const controller = new AbortController();
			let seen = 0;
			for await (const event of search({ ...base, output: directory }, { signal: controller.signal }))
				if (event.type === "trial-advanced" && ++seen === Math.floor(times * part)) controller.abort();
			expect(existsSync(join(directory, "report.json"))).toBe(false);
			await eventsOf(search({ resume: directory }));
			// A trial that is interrupted leaves a checkpoint: the only record that is not in the other journal.
			const decisions = journal(directory).filter(({ type }) => type !== "checkpoint-saved");
			expect(decisions).toEqual(journal(whole));
			expect(resultHash(directory)).toBe(resultHash(whole));
		}
	}, 180_000);

	test("with a budget ends in time, and what it has is a result", async () => {
		const directory = output();
		let report: EventOf<"search-done">["report"] | undefined;
		// On a machine that is busy with other things nothing may come of three seconds: then it says so, and goes on.
		for (let budget = 3; report === undefined; budget *= 2) {
			const start = existsSync(directory) ? { resume: directory } : { ...base, trials: undefined, output: directory };
			const events = await eventsOf(search({ ...start, noiseSeeds: 0, budget })).catch((error: unknown) => {
				expect(error).toMatchObject({ code: "SEARCH_EMPTY" });
				return [];
			});
			report = ofType(events, "search-done")[0]?.report;
		}
		expect(report.trials).toBeGreaterThan(0);
		// Also when the winner was cut short.
		expect(resultHash((await winnerAgain(directory)).again)).toBe(resultHash(directory));
		expect(report.validationLoss.winner).toBeLessThanOrEqual(report.validationLoss.before);
	}, 180_000);
});

describe("refused before the first trial", () => {
	const refused = async (options: object) => {
		const directory = output();
		const error = await eventsOf(search({ ...base, output: directory, ...options })).catch((e: unknown) => e);
		expect(error).toBeInstanceOf(UserError);
		expect(existsSync(join(directory, "study.jsonl"))).toBe(false);
		return error as UserError;
	};

	test("nothing held out to choose by", async () => {
		expect(await refused({ validation: 0 })).toMatchObject({ code: "OPTION_CONFLICT", where: "--validation" });
	});

	test("one seed to measure luck by", async () => {
		expect(await refused({ noiseSeeds: 1 })).toMatchObject({ code: "OPTION_INVALID", where: "--noise-seeds" });
	});

	test.each([
		["learning-rate", "OPTION_INVALID"],
		["learning-rate=fast..slow", "OPTION_INVALID"],
		["learning-rate=1e-2..1e-5:log", "SPACE_INVALID"],
		["lerning-rate=1e-5..1e-2", "SPACE_UNKNOWN"],
		["model=builtin,other", "SPACE_UNKNOWN"],
		["seed=0..9", "SPACE_UNKNOWN"],
	])("--vary %s", async (vary, code) => {
		expect(await refused({ vary: [vary] })).toMatchObject({ code });
	});

	test("a space file that is none", async () => {
		expect(await refused({ space: write("space.yaml", "- a\n- b\n") })).toMatchObject({ code: "CONFIG_INVALID" });
		expect(await refused({ space: write("space.yaml", "epochs: { type: float }\n") })).toMatchObject({
			code: "SPACE_INVALID",
		});
	});

	test("latency where nothing that is searched changes it", async () => {
		expect(await refused({ objective: ["quality", "latency"] })).toMatchObject({ code: "OBJECTIVE_CONSTANT" });
	});

	test("an output that exists, a resumed search whose data changed", async () => {
		const { directory } = await run({ trials: 1, noiseSeeds: 0 });
		await expect(eventsOf(search({ ...base, output: directory }))).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
		const data = (base.data as string[])[0] as string;
		const before = readFileSync(data);
		writeFileSync(data, `${before}{"input":"new","output":"row"}\n`);
		try {
			await expect(eventsOf(search({ resume: directory }))).rejects.toMatchObject({ code: "RESUME_CHANGED" });
		} finally {
			writeFileSync(data, before);
		}
	});
});

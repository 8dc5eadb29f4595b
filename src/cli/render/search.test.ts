// A running search on the terminal: the state from events, the table within its room, the block that is redrawn in place,
// and the result.
import fc from "fast-check";
import { expect, test } from "vitest";
import type { RecipeEvent, TrialSummary } from "../../recipes/options/recipe.ts";
import { anyObjectives, anyReport, anyTrial } from "../../recipes/search/testing/arbitrary.ts";
import { categorical, float } from "../../search/space.ts";
import { Reporter } from "../reporter.ts";
import { FakeTerminal } from "../testing/fakes.ts";
import { screenAfter } from "../testing/screen.ts";
import { Live } from "./live.ts";
import { searchResultLines, trialLine } from "./search-result.ts";
import { afterEvent, bestNumbers, inOrder, type RunningSearch } from "./search-state.ts";
import { searchTableLines } from "./search-table.ts";
import { plain } from "./style.ts";
import { displayWidth } from "./width.ts";

const started: RecipeEvent = {
	type: "search-started",
	directory: "runs/search",
	objectives: ["quality"],
	space: {
		learningRate: float({ low: 1e-5, high: 1e-2, log: true }),
		optimizer: categorical(["adamw", "sgd"]),
		"learningRate.sgd": float({ low: 1e-3, high: 1, log: true, when: { optimizer: "sgd" } }),
	},
	trials: [],
	budgetSeconds: 1800,
	baseline: true,
};

function trial(number: number, over: Partial<TrialSummary> = {}): TrialSummary {
	const settings = { learningRate: 4.8e-5 * (number + 1), optimizer: "adamw" };
	return {
		number,
		settings,
		origin: "random",
		state: "paused",
		trained: 1 / 9,
		target: 1 / 9,
		seconds: 12.5,
		...over,
	};
}
const changed = (trial: TrialSummary, best = false): RecipeEvent => ({
	type: "trial-changed",
	trial,
	best,
	secondsLeft: 900,
});
const running = trial(3, { state: "running", trained: 1 / 9, target: 1 / 3, values: [2.6] });
const events: RecipeEvent[] = [
	started,
	changed(trial(0, { values: [2.5] })),
	changed(trial(1, { values: [2.1], trained: 1, target: 1, state: "done" }), true),
	changed(trial(2, { state: "failed", reason: "out of memory", trained: 0 })),
	changed(trial(4, { settings: { optimizer: "sgd", "learningRate.sgd": 0.25 }, values: [2.2] })),
	changed(running),
	{ type: "trial-advanced", trial: 3, step: 10, steps: 60, loss: 2.7654, secondsLeft: 723 },
];
const stateAfter = (some: readonly RecipeEvent[]) =>
	some.reduce<RunningSearch | undefined>(afterEvent, undefined) as RunningSearch;

test("trials in order, with rung, progress, time and settings; where the search stands below", () => {
	expect(searchTableLines(stateAfter(events), { columns: 90, rows: 23 })).toEqual([
		"   #  trained       loss  time  learning-rate  optimizer",
		"*  1  done        2.1000   13s  9.6e-5         adamw",
		"   4  1/9         2.2000   13s  0.25           sgd",
		"   0  1/9         2.5000   13s  4.8e-5         adamw",
		">  3  ⣿⣿⣿⣀⣀⣀ 3/9  2.6000   13s  1.9e-4         adamw",
		"   2  failed               13s  1.4e-4         adamw",
		"",
		"best so far  trial 1, loss 2.1000: learning-rate 9.6e-5, optimizer adamw",
		"now          trial 3, step 10/60, training loss 2.7654",
		"trials       5: 2 paused, 1 done, 1 failed, 1 running",
		"time left    12m 3s of 30m 0s, then random search for comparison",
	]);
});

test("a low terminal keeps the best and the one in training, and says how many are hidden", () => {
	const lines = searchTableLines(stateAfter(events), { columns: 90, rows: 8 });
	expect(lines).toHaveLength(8);
	expect(lines.slice(1, 4).map((line) => line.slice(0, 4))).toEqual(["*  1", ">  3", "... "]);
	expect(lines[3]).toBe("... and 3 more");
});

test("columns are left out from the end when the terminal is narrow", () => {
	expect(searchTableLines(stateAfter(events), { columns: 32, rows: 23 })[0]).toBe("   #  trained       loss  time");
});

const anySearch = anyObjectives.chain((objectives) =>
	fc
		.uniqueArray(anyTrial({ objectives: objectives.length }), { selector: ({ number }) => number, maxLength: 40 })
		.map(
			(trials): RunningSearch =>
				stateAfter([
					{ ...started, objectives, trials } as RecipeEvent,
					...(trials[0] === undefined
						? []
						: [{ type: "trial-advanced", trial: trials[0].number, step: 3, steps: 0, loss: Number.NaN } as const]),
					{ type: "work-advanced", what: "下载\n模型\u001b[2J", done: 5, unit: "bytes" },
				]),
		),
);

test("no search makes the table wider or higher than its room", () => {
	fc.assert(
		fc.property(
			anySearch,
			fc.integer({ min: 1, max: 160 }),
			fc.integer({ min: 1, max: 50 }),
			(search, columns, rows) => {
				const lines = searchTableLines(search, { columns, rows });
				expect(lines.length).toBeLessThanOrEqual(rows);
				for (const line of lines) {
					expect(displayWidth(line)).toBeLessThanOrEqual(columns);
					expect(line).not.toMatch(/\p{Cc}/u);
				}
			},
		),
		{ numRuns: 60, endOnFailure: true },
	);
});

test("the best: first in order with one objective, the front with several; noise repeats are not candidates", () => {
	const noise = trial(9, { origin: "noise", values: [0.1], trained: 1 });
	const one = stateAfter([...events, changed(noise)]);
	expect(inOrder(one).map(({ number }) => number)).toEqual([1, 4, 0, 3, 2]);
	expect(bestNumbers(one)).toEqual([1]);
	const values = [
		[1, 9],
		[2, 8],
		[3, 9],
	];
	const trials = values.map((values, number) => trial(number, { values, trained: 1, state: "done" }));
	expect(bestNumbers(stateAfter([{ ...started, objectives: ["quality", "latency"], trials }]))).toEqual([0, 1]);
	expect(bestNumbers(stateAfter([started]))).toEqual([]);
});

test("a block is redrawn in place at most ten times a second, and what is printed stays above it", () => {
	const terminal = new FakeTerminal({ isTTY: true });
	const live = new Live(terminal.stderr, { nowMs: terminal.nowMs });
	for (let ms = 0; ms < 1000; ms++) {
		terminal.timeMs = ms;
		live.show(() => [`at ${ms}`, "second line", ...(ms < 500 ? ["third line"] : [])]);
	}
	expect(terminal.err).toHaveLength(10);
	// Whatever the last write was, the cursor is visible and stands at the start of a line.
	for (let writes = 1; writes <= terminal.err.length; writes++) {
		const { isCursorShown, lines } = screenAfter(terminal.err.slice(0, writes).join(""));
		expect([isCursorShown, lines.at(-1)]).toEqual([true, ""]);
	}
	live.print(["a note"]);
	expect(screenAfter(terminal.errText).lines).toEqual(["a note", "at 999", "second line", ""]);
	live.clear();
	expect(screenAfter(terminal.errText).lines).toEqual(["a note", ""]);
	live.show(() => ["again"]);
	live.show(() => ["newest"]);
	live.finish();
	expect(screenAfter(terminal.errText).lines).toEqual(["a note", "newest", ""]);
});

const example = fc.sample(anyReport, { seed: 1, numRuns: 1 })[0];
const done: RecipeEvent = {
	type: "search-done",
	directory: "runs/search",
	report: example as NonNullable<typeof example>,
};

function reported(terminal: FakeTerminal, { quiet = false, json = false } = {}, all = [...events, done]) {
	const reporter = new Reporter(terminal, { quiet, json });
	for (const event of all) {
		terminal.timeMs += 20;
		reporter.show(event);
	}
	reporter.finish();
	return terminal;
}

test("on a terminal: one table that stays, failures above it, the result on stdout", () => {
	const { errText, outText } = reported(new FakeTerminal({ isTTY: true, env: { NO_COLOR: "1" } }));
	const { lines, isCursorShown } = screenAfter(errText);
	expect(isCursorShown).toBe(true);
	expect(lines[0]).toBe("search: runs/search, by quality, 30m 0s left");
	expect(lines[1]).toContain("trial 2 failed: out of memory");
	expect(lines[2]).toMatch(/^ +# {2}trained/);
	expect(lines.filter((line) => line.includes("best so far"))).toHaveLength(1);
	expect(lines.filter((line) => line.startsWith("now "))[0]).toContain("step 10/60");
	expect(errText).not.toContain("\u001b[36m");
	expect(outText).toContain("seed noise");
});

test("colours only where they are wanted", () => {
	expect(reported(new FakeTerminal({ isTTY: true })).errText).toContain("\u001b[36m>  3");
	expect(reported(new FakeTerminal({ isTTY: true, env: { TERM: "dumb" } })).errText).not.toContain("\u001b[?");
});

test("an interruption is said above the table, which stays", () => {
	const terminal = new FakeTerminal({ isTTY: true, env: { NO_COLOR: "1" } });
	const reporter = new Reporter(terminal, { quiet: false, json: false });
	for (const event of events) reporter.show(event);
	reporter.note(["Interrupted: stopping."]);
	reporter.finish();
	const { lines, isCursorShown } = screenAfter(terminal.errText);
	expect(isCursorShown).toBe(true);
	expect(lines.indexOf("Interrupted: stopping.")).toBe(lines.findIndex((line) => /^ +# {2}trained/.test(line)) - 1);
	expect(lines.at(-2)).toContain("time left");
});

test("elsewhere: a line when a trial changes, and progress now and then", () => {
	const { errText } = reported(new FakeTerminal());
	expect(errText).not.toContain("\u001b");
	expect(errText.split("\n").slice(0, 6)).toEqual([
		"search: runs/search, by quality, 30m 0s left",
		"trial 0 paused at 1/9  2.5000  13s  15m 0s left",
		"trial 1 done  2.1000  best so far  13s  15m 0s left",
		"trial 2 failed: out of memory  13s  15m 0s left",
		"trial 4 paused at 1/9  2.2000  13s  15m 0s left",
		"trial 3 trains to 1/3  13s  learning-rate 1.9e-4, optimizer adamw  15m 0s left",
	]);
	expect(errText).toContain("trial 3, step 10/60  loss 2.7654  12m 3s left");
});

test("quiet: the result alone; json: the events alone", () => {
	const quiet = reported(new FakeTerminal({ isTTY: true }), { quiet: true });
	expect(quiet.errText).toBe("");
	expect(quiet.outText).toContain("winner");
	const json = reported(new FakeTerminal({ isTTY: true }), { json: true });
	expect(json.errText).toBe("");
	expect(
		json.outText
			.trimEnd()
			.split("\n")
			.map((line) => JSON.parse(line).type),
	).toEqual([...events, done].map(({ type }) => type));
});

test("the result: losses before and after, ties, noise, random search, time, what to do next", () => {
	const winner = { ...trial(1, { values: [2.1], trained: 1, state: "done" }), config: "runs/search/winner.yaml" };
	const lines = searchResultLines(
		{
			type: "search-done",
			directory: "runs/search",
			report: {
				objectives: ["quality"],
				ranking: [winner],
				trials: 30,
				noise: { deviation: 0.01, margin: 0.0141, seeds: 3 },
				ties: [1, 4],
				winner,
				front: [1],
				validationLoss: { before: 3.4, winner: 2.1 },
				testLoss: { before: 3.5, winner: 2.2 },
				baselines: [
					{ kind: "run", trials: 8, seconds: 600, validationLoss: 2.3 },
					{ kind: "replayed", times: 2, runs: 14, expected: 2.2, optimistic: 2.1, pessimistic: 2.4 },
					{ kind: "unknown", reason: "too few trials" },
				],
				seconds: { total: 600, training: 540, evaluating: 48, other: 12 },
				next: ["attune chat runs/search"],
			},
		},
		{ paint: plain, width: 100 },
	);
	expect(lines).toEqual([
		"search           runs/search",
		"winner           trial 1 of 30",
		"validation loss  3.4000 -> 2.1000",
		"test loss        3.5000 -> 2.2000  (data the search never saw)",
		"ties             trials 1, 4 lie within seed noise; the cheapest of them won",
		"seed noise       two runs of one setting lie 0.0141 apart (3 seeds)",
		"random search    validation loss 2.3000 (run: 8 trials, 10m 0s)",
		"random search    loss 2.2000 expected, 2.1000 to 2.4000; the winner's 2.1000 (2x the budget, replayed: 14 whole runs)",
		"random search    not known: too few trials",
		"time             10m 0s: 90.0 % training, 8.0 % evaluating, 2.0 % other",
		"config           runs/search/winner.yaml",
		"",
		"settings of the winner:",
		"  learning-rate  9.6e-5",
		"  optimizer      adamw",
		"",
		"next:",
		"  attune chat runs/search",
	]);
});

test("any trial and any result make clean lines", () => {
	const view = { paint: plain, width: 100 };
	fc.assert(
		fc.property(anyReport, (report) => {
			const lines = [
				...searchResultLines({ type: "search-done", directory: "d", report }, view),
				...report.ranking.map((trial) => trialLine({ type: "trial-changed", trial, best: true }, plain)),
			];
			for (const line of lines) expect(line).not.toMatch(/\p{Cc}|undefined/u);
		}),
		{ numRuns: 60, endOnFailure: true },
	);
});

// What the reporter prints where, for people, quietly and for machines.
import { describe, expect, test } from "vitest";
import type { LedgerReport } from "../data/ledger.ts";
import type { RecipeEvent } from "../recipes/options/recipe.ts";
import { Reporter } from "./reporter.ts";
import { FakeTerminal, fakeFinetune } from "./testing/fakes.ts";

const ledger: LedgerReport = {
	rows: 1000,
	outcomes: { kept: 996, trimmed: 0, split: 0, truncated: 1, dropped: 3, "no-signal": 0, excluded: 0 },
	examples: 997,
	tokens: 54_321,
	supervisedTokens: 12_345,
	lostTokens: 17,
	lossOfRows: 0.004,
	lossOfTokens: 0.001,
	problems: [
		{
			code: "no-output",
			meaning: "no answer",
			rows: 3,
			places: [7, 9].map((line) => ({ file: "a.jsonl", line, message: "m" })),
		},
	],
	unusedFields: { "id\u001b[2J": 5 },
};

const events: RecipeEvent[] = [
	{
		type: "data-read",
		files: ["a.jsonl"],
		use: "check",
		shape: { format: "JSON Lines", conversations: 996, turns: 4000, lengthPercentiles: { 50: 120, 95: 1480 } },
		ledger,
	},
	{ type: "row-rendered", line: 1, fate: "kept", pieces: [{ text: "yes", supervised: true }] },
	{
		type: "plan-made",
		plan: {
			parameters: 124_439_808,
			trainableParameters: 294_912,
			peakBytes: 3 * 1024 ** 3,
			availableBytes: 2 * 1024 ** 3,
			diskBytes: 1024 ** 3,
			secondsPerEpoch: 3725,
			fits: false,
			changes: ["--recompute: 1.5 GiB"],
			alternatives: [{ model: "gpt2", parameters: 124_439_808, peakBytes: 1024 ** 3, fits: true }],
		},
	},
	{ type: "work-advanced", what: "download model.safetensors", done: 1024, total: 4096, unit: "bytes" },
	{ type: "evaluation-advanced", part: "validation", tokens: 500, totalTokens: 2000 },
	{ type: "warning", code: "W", message: "nothing trained", hint: "raise --learning-rate" },
	{ type: "answer", question: "where?\u0007", before: "a\nb", after: "在这里" },
	{ type: "metric-measured", name: "perplexity", value: 12.5, low: 11, high: 14, baseline: 20 },
	{ type: "text-generated", text: "Dear\u001b[2J" },
	{ type: "generation-done", finishReason: "stop", tokens: 1, tokensPerSecond: 50 },
	{ type: "file-written", path: "model/config.json", bytes: 2048 },
];

async function report(options: { json: boolean; quiet: boolean }, terminal = new FakeTerminal()) {
	const reporter = new Reporter(terminal, options);
	for (const event of events) reporter.show(event);
	for await (const event of fakeFinetune({ steps: 20 })) reporter.show(event);
	reporter.finish();
	return terminal;
}

describe("for people", () => {
	test("results on stdout, progress and notes on stderr", async () => {
		const { outText, errText } = await report({ json: false, quiet: false });
		for (const expected of [
			"1,000: 996 kept, 1 truncated, 3 dropped",
			"996, 4,000 turns",
			"p50 120  p95 1,480",
			"3 rows: no answer (lines 7, 9)",
			"id␛[2J, in 5 rows",
			"124.4M, 294.9K trained",
			"3.0 GiB of 2.0 GiB free: does not fit",
			"--recompute: 1.5 GiB",
			"where?␇",
			"before    a\n          b",
			"perplexity 12.5000  (11.0000 to 14.0000)  baseline 20.0000",
			"Dear␛[2J\n",
			"model/config.json  2.0 KiB",
			"supervised tokens  4,321",
			"attune chat runs/fake",
			"validation loss",
		]) {
			expect(outText).toContain(expected);
		}
		expect(outText).not.toContain("step 1/20");
		expect(errText).toContain("download model.safetensors  1.0 KiB of 4.0 KiB");
		expect(errText).toContain("warning: nothing trained\n  try:      raise --learning-rate\n");
		expect(errText).toContain("step 20: validation loss 1.2500, perplexity 3.49");
		expect(errText).toContain("step 20/20  loss 0.2000");
		expect(outText + errText).not.toContain("\u001b");
	});

	test("the line of a text is ended before anything is said about it", () => {
		const terminal = new FakeTerminal({ isTTY: true });
		const screen: string[] = [];
		terminal.stdout.write = terminal.stderr.write = (text: string) => screen.push(text);
		const reporter = new Reporter(terminal, { json: false, quiet: false });
		reporter.show({ type: "text-generated", text: "Dear" });
		reporter.show({ type: "generation-done", finishReason: "stop", tokens: 1, tokensPerSecond: 50 });
		expect(screen.join("")).toMatch(/^Dear\n.*1 tokens/);
	});

	test("on a terminal, the bar is cleared before anything else is printed", async () => {
		const terminal = new FakeTerminal({ isTTY: true, columns: 60 });
		const reporter = new Reporter(terminal, { json: false, quiet: false });
		const step = (await fakeFinetune({ steps: 2 })[Symbol.asyncIterator]().next()).value as RecipeEvent;
		reporter.show(step);
		reporter.show({ type: "checkpoint-saved", step: 1, path: "x" });
		expect(terminal.err.slice(-2)[0]).toBe("\r\u001b[2K");
		expect(terminal.err.at(-1)).toContain("saved x");
	});
});

test("paths are shown from where the user stands, and the next command as it can be typed there", () => {
	const run = (env: Record<string, string>) => {
		const terminal = new FakeTerminal({ env });
		const reporter = new Reporter(terminal, { json: false, quiet: false });
		const files = ["/home/ann/shop/a.json", "/home/ann/b.json", "/data/c.json"];
		const places = [{ file: "/home/ann/b.json", line: 4, message: "m" }];
		const problems = [{ code: "no-output" as const, meaning: "no answer", rows: 1, places }];
		reporter.show({ type: "data-read", files, use: "training", ledger: { ...ledger, problems } });
		const next = ["attune chat runs/fake"];
		const result = { steps: 1, supervisedTokens: 2, seconds: 3, next };
		reporter.show({ type: "run-done", directory: "runs/fake", report: result });
		return terminal;
	};
	const { errText, outText } = run({});
	expect(errText).toContain("training data: shop/a.json, b.json, /data/c.json\n");
	expect(errText).toContain("1 row: no answer (b.json:4)");
	expect(outText).toContain("\n  attune chat runs/fake");
	expect(run({ npm_command: "start" }).outText).toContain("\n  npx attune chat runs/fake");
});

test("quiet: results and warnings alone", async () => {
	const { outText, errText } = await report({ json: false, quiet: true });
	expect(errText).toBe("warning: nothing trained\n  try:      raise --learning-rate\n");
	expect(outText).toContain("supervised tokens  4,321");
	expect(outText).not.toContain("⣿");
});

test("json: every event as it is, nothing else on stdout", async () => {
	const { outText, errText } = await report({ json: true, quiet: false });
	const lines = outText
		.trimEnd()
		.split("\n")
		.map((line) => JSON.parse(line));
	expect(lines.slice(0, events.length)).toEqual(events);
	expect(lines.filter((event) => event.type === "step-done")).toHaveLength(20);
	expect(lines.at(-1).type).toBe("run-done");
	expect(errText).toContain("nothing trained");
	expect(errText).not.toContain("step");
});

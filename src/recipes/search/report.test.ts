// The report of a search: what people must find in it, and that nothing in a study can break its tables.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { StudySnapshot } from "../../search/study.ts";
import type { SearchReport } from "../options/recipe.ts";
import { sparkline, summarizeEffect } from "./effects.ts";
import { searchReportFiles } from "./report.ts";
import { anyReport } from "./testing/arbitrary.ts";
import { exampleSearch } from "./testing/study.ts";
import { duration, formatChoice, formatValue, rungName, rungParts, settingsByOption, shellWord } from "./wording.ts";

const options = { model: { value: "tiny", origin: "flag" as const } };
const plots = ["history.svg", "rungs.svg", "parallel.svg", "slices.svg", "importance.svg"];

let study: StudySnapshot;
let report: SearchReport;
beforeAll(async () => {
	({ study, report } = await exampleSearch());
});

const read = (name: string, source: { report: SearchReport; study: StudySnapshot }) =>
	searchReportFiles({ ...source, options }).find((file) => file.name === name)?.content as string;

/** The cells of each row of each table, header first. */
function tables(markdown: string): string[][][] {
	const blocks: string[][][] = [[]];
	for (const line of markdown.split("\n")) {
		if (!line.startsWith("|")) blocks.push([]);
		else blocks.at(-1)?.push(line.split(/(?<=(?<!\\)(?:\\\\)*)\|/).slice(1, -1));
	}
	return blocks.filter((block) => block.length > 0);
}

describe("report.md", () => {
	test("says who won, by how much, and on data that was never searched", () => {
		const text = read("report.md", { report, study });
		const { number, values } = report.winner;
		expect(text).toContain(`**Trial ${number} won: validation loss 3.4142 → ${values?.[0]?.toFixed(4)} (-`);
		expect(text).toContain("the search never saw: 3.3981 → ");
		expect(text).toContain("attune finetune --config runs/search/winner.yaml");
		expect(text).toContain("| training | 8 min 41 s | 86.8 % |");
		expect(text).toContain("fANOVA (random forest; Hutter et al. 2014)");
	});

	test("ranks in order with rung, loss and the settings by option", () => {
		const ranking = tables(read("report.md", { report, study })).find(([head]) => head?.[0] === " trial ");
		const [head = [], _, ...rows] = ranking ?? [];
		const cells = rows.map((row) => row.map((cell) => cell.trim()));
		expect(cells.map(([number]) => Number(number))).toEqual(report.ranking.map((trial) => trial.number));
		expect(cells[0]).toContain("done");
		expect(cells.at(-1)).toContain("1/9");
		// The range for SGD alone is no column of its own.
		expect(head.filter((cell) => cell.includes("learning-rate"))).toHaveLength(1);
		const sgd = cells.find((row) => row.includes("sgd")) ?? [];
		expect(sgd[head.findIndex((cell) => cell.includes("learning-rate"))]).not.toBe("");
	});

	test("marks ties, and says so when noise is not known", () => {
		const [first, second] = report.ranking.map(({ number }) => number) as [number, number];
		const tied = read("report.md", { report: { ...report, ties: [first, second] }, study });
		expect(tied).toContain(`Trials ${first} and ${second} are ties`);
		expect(tied).toMatch(new RegExp(`^\\| ${second} \\| (\\*\\*winner\\*\\*, )?tie \\|`, "m"));
		const { noise: _, ...without } = report;
		expect(read("report.md", { report: without, study })).toContain("ties cannot be told");
	});

	test("compares with random search, better, worse and too close to tell", () => {
		const found = report.winner.values?.[0] as number;
		const text = (expected: number) =>
			read("report.md", {
				report: {
					...report,
					baselines: [{ kind: "replayed", times: 2, runs: 7, expected, optimistic: 2, pessimistic: 3 }],
				},
				study,
			});
		expect(text(found + 0.1)).toContain("twice the budget: 7 whole runs");
		expect(text(found + 0.1)).toContain("better by 0.1000");
		expect(text(found - 0.1)).toContain("**worse** by 0.1000");
		expect(text(found + 0.5 * (report.noise?.margin as number))).toContain("a tie with it");
	});

	test("lists failures with their reasons", async () => {
		const failing = await exampleSearch({ trials: 60 });
		const failed = failing.study.trials.filter(({ state }) => state === "failed");
		expect(failed.length).toBeGreaterThan(0);
		const text = read("report.md", failing);
		for (const { number } of failed)
			expect(text).toMatch(new RegExp(`^\\| ${number} \\| (out of memory|the loss)`, "m"));
	});

	test("shows the front of several objectives with all their values", async () => {
		const several = await exampleSearch({ objectives: ["quality", "latency", "size"] });
		expect(several.report.front.length).toBeGreaterThan(1);
		const text = read("report.md", several);
		const front = tables(text.slice(text.indexOf("## Pareto front"), text.indexOf("## Ranking")))[0] ?? [];
		expect(front[0]?.slice(1, 4)).toEqual([" loss ", " ms/token ", " MiB "]);
		expect(front).toHaveLength(several.report.front.length + 2);
	});
});

test("report.json holds the report, the space and the failures; the plots are those that report.md shows", () => {
	const files = searchReportFiles({ report, study, options });
	expect(files.map(({ name }) => name)).toEqual(["report.json", "report.md", ...plots]);
	const json = JSON.parse(files[0]?.content as string);
	expect(json.winner).toEqual(report.winner);
	expect(json.space).toEqual(study.space);
	expect(json.failed).toHaveLength(study.trials.filter(({ state }) => state === "failed").length);
	const shown = [...read("report.md", { report, study }).matchAll(/!\[[^\]]*\]\(([^)]+)\)/g)].map((match) => match[1]);
	expect(shown.sort()).toEqual([...plots].sort());
});

test("a study of one trial, without noise or importance", async () => {
	const small = await exampleSearch({ trials: 1 });
	const { noise: _, testLoss: __, importance: ___, ...report } = small.report;
	const text = read("report.md", { report, study: small.study });
	expect(text).toContain("Too few trials");
	expect(text).not.toMatch(/undefined|NaN/);
});

test("any report of valid shape renders, and no text breaks a table", () => {
	fc.assert(
		fc.property(anyReport, (any) => {
			const text = read("report.md", { report: any, study });
			expect(text).not.toContain("undefined");
			for (const rows of tables(text)) expect(new Set(rows.map((cells) => cells.length)).size).toBe(1);
			JSON.parse(read("report.json", { report: any, study }));
		}),
		{ numRuns: 50, endOnFailure: true },
	);
});

describe("wording", () => {
	test("values, settings, rungs, times, shell words", () => {
		expect([formatValue(2.34567, "quality"), formatValue(13.456, "latency"), formatValue(5e8, "size")]).toEqual([
			"2.3457",
			"13.5",
			"476.8",
		]);
		expect([4.81e-5, 1e-4, 16, 2.4317, 0.013, "adamw", true, null].map(formatChoice)).toEqual([
			"4.8e-5",
			"1e-4",
			"16",
			"2.43",
			"0.013",
			"adamw",
			"true",
			"null",
		]);
		const parts = rungParts([1, 1 / 3, 0.11, 1 / 3]);
		expect(parts).toBe(9);
		expect([0.11, 1 / 3, 0.5, 1].map((part) => rungName(part, parts))).toEqual(["1/9", "3/9", "50%", "done"]);
		expect([rungParts([]), rungParts([1]), rungParts([0.001])]).toEqual([100, 1, 100]);
		expect([0, 59.96, 245, 3725, Number.NaN].map(duration)).toEqual([
			"0.0 s",
			"1 min 0 s",
			"4 min 5 s",
			"1 h 2 min",
			"?",
		]);
		expect([shellWord("runs/a"), shellWord("my runs/$a"), shellWord("")]).toEqual(["runs/a", '"my runs/\\$a"', '""']);
		expect([...settingsByOption({ learningRate: 1, optimizer: "sgd", "learningRate.sgd": 2 })]).toEqual([
			["learningRate", 2],
			["optimizer", "sgd"],
		]);
	});

	test("the best stretch of a setting, and its course", () => {
		const effect = [5, 1.2, 1, 1.3, 4, 1.05].map((mean, value) => ({ value, mean, deviation: 0 }));
		expect(summarizeEffect({ effect }, { ordered: true })).toEqual({ lowest: 1, highest: 5, best: [1, 3] });
		expect(summarizeEffect({ effect }, { ordered: false })).toEqual({ lowest: 1, highest: 5, best: [2, 2] });
		expect(summarizeEffect({ effect: effect.slice(0, 1) }, { ordered: true })).toBeUndefined();
		expect(sparkline([0, 1, 2, 7])).toBe("▁▂▃█");
		expect(sparkline([3, 3])).toBe("▁▁");
		expect(sparkline([])).toBe("");
		expect(sparkline(Array.from({ length: 33 }, (_, i) => i))).toHaveLength(16);
	});
});

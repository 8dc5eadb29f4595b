// What a run has to say for itself when it is over: report.json for programs, report.md for people, curve.svg. Everything
// is taken from the run's own events, so the report of a resumed run is that of one that was never stopped.

import type { Manifest } from "../checkpoint/manifest.ts";
import type { RunDirectory } from "../checkpoint/run-directory.ts";
import type { LedgerReport } from "../data/ledger.ts";
import { axes, dot, type Frame, HEIGHT, path, scaleFor, svg, text, WIDTH } from "../search/plots/svg.ts";
import { nameNonFinite } from "../util/json-numbers.ts";
import { advise } from "./advice.ts";
import { inline, list, optionLines, section, table } from "./markdown.ts";
import type { EventOf, PlanSummary, RecipeEvent, RunReport } from "./options/recipe.ts";

export interface ReportSource {
	report: RunReport;
	manifest: Manifest;
	/** All events of the run, those before a resume too. */
	events: readonly RecipeEvent[];
	forecast: PlanSummary;
	/** What became of the rows of the training data. */
	ledger?: LedgerReport;
	/** Of the process, so far. */
	peakBytes: number;
}

export interface FullReport extends RunReport {
	curve: Curve;
	/** The highest of the steps, which --learning-rate or the method's default decided. */
	learningRate?: number;
	/** What to change in another run, and why. */
	advice: readonly string[];
	warnings: readonly string[];
	answers: readonly Omit<EventOf<"answer">, "type">[];
	settings: Manifest["options"];
	forecast: Pick<PlanSummary, "peakBytes" | "secondsPerEpoch">;
	peakBytes: number;
	ledger?: LedgerReport;
}

/** File names that a report writes besides report.json and report.md. */
export const reportFiles = ["curve.svg"] as const;

/** Writes the report's files into the run directory and returns what it says. */
export async function writeReport(run: RunDirectory, source: ReportSource): Promise<FullReport> {
	const report = makeReport(source);
	await run.writeFile("report.json", `${JSON.stringify(report, nameNonFinite, "\t")}\n`);
	await run.writeFile("curve.svg", curveSvg(report.curve));
	await run.writeFile("report.md", markdown(report));
	return report;
}

export function makeReport({ report, manifest, events, forecast, ledger, peakBytes }: ReportSource): FullReport {
	const { peakBytes: forecastPeakBytes, secondsPerEpoch } = forecast;
	return {
		...report,
		curve: curveOf(events),
		...highestLearningRate(events),
		advice: advise({ events, report }),
		warnings: events.flatMap((event) => (event.type === "warning" ? [event.message] : [])),
		answers: events.flatMap((event) => {
			if (event.type !== "answer") return [];
			const { type: _, ...answer } = event;
			return [answer];
		}),
		settings: manifest.options,
		forecast: { peakBytes: forecastPeakBytes, ...(secondsPerEpoch !== undefined && { secondsPerEpoch }) },
		peakBytes,
		...(ledger && { ledger }),
	};
}

function highestLearningRate(events: readonly RecipeEvent[]): Pick<FullReport, "learningRate"> {
	const rates = events.flatMap((event) => (event.type === "step-done" ? [event.learningRate] : []));
	return rates.length === 0 ? {} : { learningRate: rates.reduce((most, rate) => Math.max(most, rate)) };
}

export type Curve = NonNullable<RunReport["curve"]>;

const curvePoints = 200;

/** Losses by step. Training losses are means over stretches of steps, so that there are at most 200. */
export function curveOf(events: readonly RecipeEvent[]): Curve {
	const steps = events.flatMap((event) => (event.type === "step-done" && Number.isFinite(event.loss) ? [event] : []));
	const stretch = Math.max(1, Math.ceil(steps.length / curvePoints));
	const training: Curve["training"][number][] = [];
	for (let i = 0; i < steps.length; i += stretch) {
		const part = steps.slice(i, i + stretch);
		const loss = part.reduce((sum, { loss }) => sum + loss, 0) / part.length;
		training.push([part.at(-1)?.step as number, loss]);
	}
	const validation = events.flatMap((event) =>
		event.type === "evaluation-done" && Number.isFinite(event.loss) ? [[event.step, event.loss] as const] : [],
	);
	return { training, validation };
}

const frame: Frame = { left: 84, right: WIDTH - 24, top: 62, bottom: HEIGHT - 56 };

export function curveSvg({ training, validation }: Curve): string {
	const all = [...training, ...validation];
	const title = "Loss by step";
	if (all.length === 0) return svg({ title, body: [text({ x: 20, y: 80, className: "quiet" }, "No step was taken.")] });
	const x = scaleFor([0, ...all.map(([step]) => step)], { from: frame.left, to: frame.right, whole: true });
	const y = scaleFor(
		all.map(([, loss]) => loss),
		{ from: frame.bottom, to: frame.top },
	);
	const place = ([step, loss]: readonly [number, number]) => [x(step), y(loss)] as const;
	return svg({
		title,
		body: [
			axes(frame, { x, y, xLabel: "step", yLabel: "loss" }),
			path(training.map(place), "line c0"),
			path(validation.map(place), "line c1"),
			...validation.map((point) => dot(place(point), "c1", { hint: `step ${point[0]}: ${point[1].toFixed(4)}` })),
			dot([frame.right - 250, 45], "c0"),
			text({ x: frame.right - 240, y: 50 }, "training"),
			...(validation.length > 0
				? [dot([frame.right - 130, 45], "c1"), text({ x: frame.right - 120, y: 50 }, "validation")]
				: []),
		],
	});
}

function markdown(report: FullReport): string {
	const { ledger, validationLossBefore: before, validationLossAfter: after, bestStep } = report;
	const facts: [string, string][] = [
		["steps", `${report.steps}${report.skippedSteps ? `, of which ${report.skippedSteps} were not taken` : ""}`],
		["supervised tokens", `${report.supervisedTokens}`],
		["time", `${report.seconds.toFixed(1)} s`],
		["peak memory", `${gibibytes(report.peakBytes)}, forecast ${gibibytes(report.forecast.peakBytes)}`],
	];
	if (report.learningRate !== undefined) facts.push(["highest learning rate", `${report.learningRate}`]);
	if (before !== undefined) facts.push(["validation loss before", before.toFixed(4)]);
	if (after !== undefined) facts.push(["validation loss after", after.toFixed(4)]);
	if (report.testLoss !== undefined) facts.push(["test loss", report.testLoss.toFixed(4)]);
	if (bestStep !== undefined) facts.push(["best step", `${bestStep}`]);
	return [
		"# Report",
		"",
		...table(["", ""], facts),
		"",
		"![Loss by step](curve.svg)",
		"",
		...section("What to try next", list(report.advice)),
		...section("Commands", list((report.next ?? []).map((line) => `\`${line}\``))),
		...section("Warnings", list(report.warnings)),
		...section("Data", ledger ? dataLines(ledger) : []),
		...section(
			"Questions",
			report.answers.flatMap(({ question, before, after }) => [
				`**${inline(question)}**`,
				"",
				...(before === undefined ? [] : [`- before: ${inline(before)}`]),
				...(after === undefined ? [] : [`- after: ${inline(after)}`]),
				"",
			]),
		),
		...section("Settings", optionLines(report.settings)),
	].join("\n");
}

function dataLines(ledger: LedgerReport): string[] {
	const outcomes = Object.entries(ledger.outcomes).filter(([, rows]) => rows > 0);
	return [
		...table(
			["", ""],
			[
				["rows", `${ledger.rows}`],
				...outcomes.map(([name, rows]): [string, string] => [`rows ${name}`, `${rows}`]),
				["examples", `${ledger.examples}`],
				["supervised tokens", `${ledger.supervisedTokens} of ${ledger.tokens}`],
				...(ledger.lostTokens > 0 ? [["lost tokens", `${ledger.lostTokens}`] as [string, string]] : []),
			],
		),
		...ledger.problems.map(
			({ rows, meaning, places }) =>
				`\n${rows} ${rows === 1 ? "row" : "rows"}: ${meaning} (${places
					.slice(0, 5)
					.map(({ file, line }) => `${file}:${line}`)
					.join(", ")}${rows > 5 ? ", ..." : ""})`,
		),
		"",
	];
}

const gibibytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(2)} GiB`;

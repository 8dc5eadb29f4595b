// What a search has to say for itself when it is over: report.json for programs, report.md for people, and the plots.
// Pure: from the result and the study to the contents of files.
import type { Manifest } from "../../checkpoint/manifest.ts";
import { historyPlot, importancePlot, parallelPlot, rungsPlot, slicesPlot } from "../../search/plots/plots.ts";
import type { StudySnapshot } from "../../search/study.ts";
import { inline, list, optionLines, section, table } from "../markdown.ts";
import type { SearchBaseline, SearchObjective, SearchReport, TrialSummary } from "../options/recipe.ts";
import { kebabCase } from "../options/table.ts";
import { sparkline, summarizeEffect } from "./effects.ts";
import {
	duration,
	formatChoice,
	formatValue,
	objectiveTitles,
	optionOf,
	parameterTitle,
	rungName,
	rungParts,
	settingsByOption,
	settingsLine,
	shellWord,
} from "./wording.ts";

export interface SearchReportSource {
	report: SearchReport;
	study: StudySnapshot;
	/** The search's own, from its manifest. */
	options: Manifest["options"];
}

export interface ReportFile {
	name: string;
	content: string;
}

/** report.json, report.md and the plots that it shows. */
export function searchReportFiles(source: SearchReportSource): ReportFile[] {
	return [
		{ name: "report.json", content: `${JSON.stringify(fullReport(source), null, "\t")}\n` },
		{ name: "report.md", content: markdown(source) },
		...plots(source),
	];
}

function fullReport({ report, study, options }: SearchReportSource) {
	const { space, seed, sampler, pruner } = study;
	return { ...report, failed: failedTrials(study), space, seed, sampler, pruner, settings: options };
}

function plots({ report, study }: SearchReportSource): ReportFile[] {
	const valueLabel = first(report) === "quality" ? "validation loss" : objectiveTitles[first(report)];
	const { importance } = report;
	return [
		{ name: "history.svg", content: historyPlot(study, { valueLabel }) },
		{ name: "rungs.svg", content: rungsPlot(study, { valueLabel }) },
		{ name: "parallel.svg", content: parallelPlot(study, { valueLabel }) },
		{ name: "slices.svg", content: slicesPlot(study, { valueLabel, ...(importance && { importance }) }) },
		{ name: "importance.svg", content: importancePlot(importance) },
	];
}

function markdown(source: SearchReportSource): string {
	const { report, study, options } = source;
	return [
		"# Search report",
		"",
		...headline(report),
		...section("Against random search", [...list(report.baselines.map((one) => baselineLine(one, report)))]),
		...section("Pareto front", frontLines(report)),
		...section("Ranking", rankingLines(source)),
		"![History](history.svg)",
		"",
		"![Rungs](rungs.svg)",
		"",
		...section("What mattered", importanceLines(report)),
		...section("The effect of each setting", effectLines(source)),
		"![Slices](slices.svg)",
		"",
		"![Parallel coordinates](parallel.svg)",
		"",
		...section("Failed trials", failureLines(study)),
		...section("Time", timeLines(report)),
		...section("The winner's settings", winnerLines(report)),
		...section("Commands", list(report.next.map((line) => `\`${line.replace(/\s+/g, " ")}\``))),
		...section("Options of this search", optionLines(options)),
	].join("\n");
}

const first = ({ objectives }: SearchReport) => objectives[0] ?? "quality";
const loss = (value: number) => formatValue(value, "quality");
const numbers = (trials: readonly number[]) =>
	trials.length < 2 ? trials.join("") : `${trials.slice(0, -1).join(", ")} and ${trials.at(-1)}`;

function headline(report: SearchReport): string[] {
	const { winner, validationLoss, testLoss, ties, noise, trials, seconds, objectives } = report;
	const change = (pair: { before: number; winner: number }) =>
		`${loss(pair.before)} → ${loss(pair.winner)}${percentOf(pair)}`;
	const won = objectives.length > 1 ? "was chosen from the front" : "won";
	return [
		`**Trial ${winner.number} ${won}: validation loss ${change(validationLoss)}.**`,
		"",
		...list([
			testLoss === undefined
				? "There was no test part, so the validation loss, which the search chose by, is flattering."
				: `On the test part, which the search never saw: ${change(testLoss)}.`,
			`Settings: ${inline(settingsLine(winner.settings))}.`,
			...(ties.length > 1
				? [
						`Trials ${numbers(ties)} are ties: they lie within seed noise of the best. ${winner.number} is the cheapest of them.`,
					]
				: []),
			noise === undefined
				? "Seed noise was not measured, so ties cannot be told."
				: `Seed noise: the default setting with ${noise.seeds} seeds has a standard deviation of ${formatValue(noise.deviation, first(report))}; two runs of one setting lie about ${formatValue(noise.margin, first(report))} apart by luck alone.`,
			`${trials} trials in ${duration(seconds.total)}.`,
		]),
	];
}

function percentOf({ before, winner }: { before: number; winner: number }): string {
	const percent = (100 * (winner - before)) / before;
	return Number.isFinite(percent) ? ` (${percent > 0 ? "+" : ""}${percent.toFixed(1)} %)` : "";
}

function baselineLine(baseline: SearchBaseline, report: SearchReport): string {
	if (baseline.kind === "unknown") return `Not known: ${inline(baseline.reason)}.`;
	if (baseline.kind === "run") {
		const { trials, seconds, validationLoss, testLoss } = baseline;
		const test = testLoss === undefined ? "" : `, on the test part ${loss(testLoss)}`;
		const comparison = compare(validationLoss, report.validationLoss.winner, { objective: "quality", report });
		return `Run with the same budget: ${trials} trials in ${duration(seconds)}; the best has validation loss ${loss(validationLoss)}${test}. ${comparison}`;
	}
	const { times, runs, expected, optimistic, pessimistic } = baseline;
	const objective = first(report);
	const value = (of: number) => formatValue(of, objective);
	const budget = times === 1 ? "the same budget" : times === 2 ? "twice the budget" : `${times} times the budget`;
	const comparison = compare(expected, report.winner.values?.[0] ?? report.validationLoss.winner, {
		objective,
		report,
	});
	return `Replayed from this study's own random trials, with ${budget}: ${runs} whole runs, expected best ${objectiveTitles[objective]} ${value(expected)} (one search in ten: ${value(optimistic)} or better, one in ten: ${value(pessimistic)} or worse). ${comparison}`;
}

/** The noise margin is that of the first objective. */
function compare(
	random: number,
	found: number,
	{ objective, report }: { objective: SearchObjective; report: SearchReport },
): string {
	const margin = objective === first(report) ? (report.noise?.margin ?? 0) : 0;
	const winners = `The winner's ${formatValue(found, objective)} is`;
	if (Math.abs(random - found) <= margin) return `${winners} a tie with it, within seed noise.`;
	const size = formatValue(Math.abs(random - found), objective);
	return `${winners} ${found < random ? "better" : "**worse**"} by ${size}.`;
}

function frontLines({ front, ranking, objectives, winner }: SearchReport): string[] {
	if (objectives.length < 2) return [];
	const trials = ranking.filter(({ number }) => front.includes(number));
	const rows = trials.map((trial) => [
		`${trial.number}${trial.number === winner.number ? " (winner)" : ""}`,
		...objectives.map((objective, i) => formatValue(trial.values?.[i], objective)),
		inline(settingsLine(trial.settings)),
	]);
	return [
		"No other trial beats one of these in every objective.",
		"",
		...table(["trial", ...objectives.map((objective) => objectiveTitles[objective]), "settings"], rows),
		"",
	];
}

function rankingLines({ report, study }: SearchReportSource): string[] {
	const { ranking, objectives, winner, ties, front } = report;
	const parts = rungParts(ranking.map(({ target }) => target));
	const options = [...new Set(Object.keys(study.space).map(optionOf))];
	const searched = options.filter((option) => ranking.some(({ settings }) => settingsByOption(settings).has(option)));
	const remark = ({ number }: TrialSummary) =>
		[
			...(number === winner.number ? ["**winner**"] : []),
			...(ties.length > 1 && ties.includes(number) ? ["tie"] : []),
			...(objectives.length > 1 && front.includes(number) ? ["front"] : []),
		].join(", ");
	const reached = ({ trained, state }: TrialSummary) =>
		[rungName(trained, parts), ...(state === "pruned" || state === "running" ? [state] : [])].join(", ");
	const rows = ranking.map((trial) => {
		const settings = settingsByOption(trial.settings);
		return [
			`${trial.number}`,
			remark(trial),
			reached(trial),
			...objectives.map((objective, i) => formatValue(trial.values?.[i], objective)),
			duration(trial.seconds),
			...searched.map((option) => (settings.has(option) ? inline(formatChoice(settings.get(option) ?? null)) : "")),
		];
	});
	const head = ["trial", "", "trained", ...objectives.map((one) => objectiveTitles[one]), "time"];
	return [...table([...head, ...searched.map((option) => inline(kebabCase(option)))], rows), ""];
}

function importanceLines({ importance }: SearchReport): string[] {
	if (importance === undefined) return ["Too few trials with different values to tell.", ""];
	const { method, parameters, interactions, trials } = importance;
	const share = (part: number) => `${(100 * part).toFixed(1)} %`;
	return [
		`Share of the variance over the searched space that each setting explains alone, by ${method}, from ${trials} trials.`,
		"",
		...table(
			["setting", "share"],
			[
				...parameters.map((one) => [inline(parameterTitle(one.name)), share(one.importance)]),
				["several together", share(interactions)],
			],
		),
		"",
		"![Importance](importance.svg)",
		"",
	];
}

function effectLines({ report, study }: SearchReportSource): string[] {
	const value = (of: number) => formatValue(of, first(report));
	const rows = (report.importance?.parameters ?? []).map((parameter) => {
		const { name, effect } = parameter;
		const ordered = study.space[name]?.type !== "categorical";
		const summary = summarizeEffect(parameter, { ordered });
		const [low, high] = [effect[0]?.value ?? null, effect.at(-1)?.value ?? null].map(formatChoice);
		const course = ordered
			? `${low} ${sparkline(effect.map(({ mean }) => mean))} ${high}`
			: effect.map((one) => `${formatChoice(one.value)} ${value(one.mean)}`).join(", ");
		if (summary === undefined) return [inline(parameterTitle(name)), "no effect seen", "", inline(course)];
		const [from, to] = summary.best.map(formatChoice);
		const spread = `${value(summary.lowest)} to ${value(summary.highest)}`;
		return [inline(parameterTitle(name)), inline(from === to ? `${from}` : `${from} to ${to}`), spread, inline(course)];
	});
	if (rows.length === 0) return [];
	const title = objectiveTitles[first(report)];
	return [
		`The average ${title} at each value, all other settings averaged out. Low is good.`,
		"",
		...table(["setting", "best", `average ${title}`, "over its values"], rows),
		"",
	];
}

function failedTrials({ trials }: StudySnapshot) {
	return trials
		.filter(({ state }) => state === "failed")
		.map(({ number, params, reason = "" }) => ({ number, settings: params, reason }));
}

function failureLines(study: StudySnapshot): string[] {
	const rows = failedTrials(study).map(({ number, reason, settings }) => [
		`${number}`,
		inline(reason),
		inline(settingsLine(settings)),
	]);
	return rows.length === 0 ? [] : [...table(["trial", "reason", "settings"], rows), ""];
}

function timeLines({ seconds }: SearchReport): string[] {
	const { total, ...parts } = seconds;
	const share = (part: number) => (total > 0 ? `${((100 * part) / total).toFixed(1)} %` : "");
	return [
		...table(
			["", "", ""],
			[
				...Object.entries(parts).map(([name, part]) => [name, duration(part), share(part)]),
				["total", duration(total), ""],
			],
		),
		"",
	];
}

function winnerLines({ winner }: SearchReport): string[] {
	const rows = [...settingsByOption(winner.settings)].map(([name, value]) => [
		inline(kebabCase(name)),
		`\`${JSON.stringify(value)}\``,
	]);
	return [
		...table(["option", "value"], rows),
		"",
		"The same model again, to the byte:",
		"",
		"```",
		`attune finetune --config ${shellWord(winner.config)} --output DIR`,
		"```",
		"",
	];
}

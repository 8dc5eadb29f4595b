// The result of a search, and its trials one line each where there is no live table.
import type { EventOf, SearchBaseline, SearchReport, TrialSummary } from "../../recipes/options/recipe.ts";
import { kebabCase } from "../../recipes/options/table.ts";
import {
	formatChoice,
	formatValue,
	objectiveTitles,
	parameterTitle,
	rungName,
	rungParts,
	settingsByOption,
	settingsLine,
} from "../../recipes/search/wording.ts";
import { formatCount, formatLoss, formatSeconds } from "./format.ts";
import type { Paint } from "./style.ts";
import { pairLines, tableLines } from "./table.ts";
import { printable } from "./width.ts";

const oneLine = (text: string) => printable(text.replace(/\s+/g, " "));

/** `values` are told without their names: which objective each belongs to was said when the search began. */
export function trialLine({ trial, best, secondsLeft }: EventOf<"trial-changed">, paint: Paint): string {
	const { number, state, trained, target, values = [], seconds, reason, settings } = trial;
	const rung = (part: number) => (part >= 1 ? "the end" : rungName(part, rungParts([part])));
	const what: Record<TrialSummary["state"], string> = {
		running: `trains to ${rung(target)}`,
		paused: `paused at ${rung(trained)}`,
		done: "done",
		pruned: `pruned at ${rung(trained)}`,
		failed: paint("yellow", `failed: ${oneLine(reason ?? "no reason given")}`),
	};
	return [
		`${paint("bold", `trial ${number}`)} ${what[state]}`,
		...(state === "running" || state === "failed" ? [] : [values.map(formatLoss).join(" ")]),
		...(best ? [paint("green", "best so far")] : []),
		...(seconds > 0 ? [formatSeconds(seconds)] : []),
		...(state === "running" ? [oneLine(settingsLine(settings))] : []),
		...(secondsLeft === undefined ? [] : [`${formatSeconds(secondsLeft)} left`]),
	].join("  ");
}

export function searchResultLines(
	{ directory, report }: EventOf<"search-done">,
	{ paint, width }: { paint: Paint; width: number },
): string[] {
	const { winner, trials, ties, validationLoss, testLoss, noise, importance, next } = report;
	const change = ({ before, winner }: { before: number; winner: number }) =>
		`${formatLoss(before)} -> ${paint("green", formatLoss(winner))}`;
	const first = report.objectives[0] ?? "quality";
	return [
		...pairLines([
			["search", directory],
			["winner", `trial ${winner.number} of ${formatCount(trials)}`],
			["validation loss", change(validationLoss)],
			...(testLoss === undefined ? [] : [["test loss", `${change(testLoss)}  (data the search never saw)`] as const]),
			...(ties.length > 1
				? [["ties", `trials ${ties.join(", ")} lie within seed noise; the cheapest of them won`] as const]
				: []),
			[
				"seed noise",
				noise === undefined
					? "not measured"
					: `two runs of one setting lie ${formatValue(noise.margin, first)} apart (${noise.seeds} seeds)`,
			],
			...report.baselines.map((baseline) => ["random search", baselineText(baseline, report)] as const),
			...(importance === undefined
				? []
				: [
						[
							"what mattered",
							importance.parameters
								.slice(0, 3)
								.map((one) => `${oneLine(parameterTitle(one.name))} ${Math.round(100 * one.importance)} %`)
								.join(", "),
						] as const,
					]),
			["time", timeText(report)],
			["config", oneLine(winner.config)],
		]),
		...(report.objectives.length > 1 ? ["", "front:", ...frontLines(report, width)] : []),
		"",
		"settings of the winner:",
		...pairLines(
			[...settingsByOption(winner.settings)].map(
				([name, value]) => [`  ${oneLine(kebabCase(name))}`, oneLine(formatChoice(value))] as const,
			),
		),
		...(next.length === 0 ? [] : ["", "next:", ...next.map((line) => `  ${oneLine(line)}`)]),
	];
}

function baselineText(baseline: SearchBaseline, { objectives, winner }: SearchReport): string {
	if (baseline.kind === "unknown") return `not known: ${oneLine(baseline.reason)}`;
	if (baseline.kind === "run") {
		const { trials, seconds, validationLoss, testLoss } = baseline;
		const test = testLoss === undefined ? "" : `, test loss ${formatLoss(testLoss)}`;
		return `validation loss ${formatLoss(validationLoss)}${test} (run: ${formatCount(trials)} trials, ${formatSeconds(seconds)})`;
	}
	const { times, runs, expected, optimistic, pessimistic } = baseline;
	const first = objectives[0] ?? "quality";
	const [middle, low, high] = [expected, optimistic, pessimistic].map((value) => formatValue(value, first));
	const found = formatValue(winner.values?.[0], first);
	return `${objectiveTitles[first]} ${middle} expected, ${low} to ${high}${found === "" ? "" : `; the winner's ${found}`} (${times}x the budget, replayed: ${formatCount(runs)} whole runs)`;
}

function timeText({ seconds: { total, ...parts } }: SearchReport): string {
	const shares = Object.entries(parts).map(([name, part]) => `${((100 * part) / total).toFixed(1)} % ${name}`);
	return `${formatSeconds(total)}${total > 0 ? `: ${shares.join(", ")}` : ""}`;
}

function frontLines({ front, ranking, objectives }: SearchReport, width: number): string[] {
	const rows = ranking
		.filter(({ number }) => front.includes(number))
		.map(({ number, values, settings }) => [
			`  ${number}`,
			...objectives.map((objective, i) => formatValue(values?.[i], objective)),
			oneLine(settingsLine(settings)),
		]);
	return tableLines(
		[
			{ title: "  trial" },
			...objectives.map((objective) => ({ title: objectiveTitles[objective], side: "right" as const })),
			{ title: "settings" },
		],
		{ rows, width },
	);
}

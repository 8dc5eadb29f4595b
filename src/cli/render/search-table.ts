// The table of a running search: the best trials first, the one in training with its progress, and below it where the
// search stands. Pure: from the state to lines that fit the terminal; columns that do not fit are left out from the end.
import type { TrialSummary } from "../../recipes/options/recipe.ts";
import { kebabCase } from "../../recipes/options/table.ts";
import {
	formatChoice,
	formatValue,
	objectiveTitles,
	optionOf,
	rungName,
	rungParts,
	settingsByOption,
	settingsLine,
} from "../../recipes/search/wording.ts";
import { formatBytes, formatCount, formatLoss, formatSeconds } from "./format.ts";
import { bestNumbers, inOrder, type RunningSearch } from "./search-state.ts";
import { type Look, type Paint, plain } from "./style.ts";
import { pairLines } from "./table.ts";
import { cutToWidth, displayWidth, padToWidth, printable } from "./width.ts";

export interface TableRoom {
	/** No line is wider. */
	columns: number;
	/** There are no more lines. */
	rows: number;
	paint?: Paint;
}

const gap = 2;
const widestSetting = 14;
const barWidth = 6;

export function searchTableLines(search: RunningSearch, { columns, rows, paint = plain }: TableRoom): string[] {
	const best = bestNumbers(search);
	const footer = footerLines(search, best).map((line) => cutToWidth(line, columns));
	const room = rows - footer.length - 2;
	if (room < 1) return footer.slice(0, Math.max(1, rows));
	const all = inOrder(search);
	const trials = chosen(all, room);
	const lookOf = ({ number, state }: TrialSummary): Look | undefined =>
		state === "running" ? "cyan" : best.includes(number) ? "green" : state === "failed" ? "dim" : undefined;
	const [head = "", ...body] = layOut(
		[titles(search), ...trials.map((trial) => cells(trial, { search, best }))],
		columns,
	);
	return [
		paint("bold", head),
		...body.map((line, i) => {
			const look = lookOf(trials[i] as TrialSummary);
			return look === undefined ? line : paint(look, line);
		}),
		...(trials.length < all.length ? [cutToWidth(`... and ${all.length - trials.length} more`, columns)] : [""]),
		...footer,
	];
}

/** The first so many, but none that is in training is left out before one that is not. */
function chosen(all: readonly TrialSummary[], count: number): TrialSummary[] {
	const running = all.filter(({ state }) => state === "running").slice(0, count);
	const others = all.filter(({ state }) => state !== "running").slice(0, count - running.length);
	return all.filter((trial) => running.includes(trial) || others.includes(trial));
}

function optionsOf({ space, trials }: RunningSearch): string[] {
	const names = [...Object.keys(space), ...[...trials.values()].flatMap(({ settings }) => Object.keys(settings))];
	return [...new Set(names.map(optionOf))];
}

function titles(search: RunningSearch): Cell[] {
	return [
		{ text: "" },
		{ text: "#", isNumber: true },
		{ text: "trained" },
		...search.objectives.map((objective) => ({ text: objectiveTitles[objective], isNumber: true })),
		{ text: "time", isNumber: true },
		...optionsOf(search).map((option) => ({ text: oneLine(kebabCase(option)) })),
	];
}

function cells(trial: TrialSummary, { search, best }: { search: RunningSearch; best: readonly number[] }): Cell[] {
	const { number, state, values, seconds } = trial;
	const settings = settingsByOption(trial.settings);
	return [
		{ text: state === "running" ? ">" : best.includes(number) ? "*" : "" },
		{ text: `${number}`, isNumber: true },
		{ text: trainedCell(trial, search) },
		...search.objectives.map((objective, i) => ({ text: formatValue(values?.[i], objective), isNumber: true })),
		{ text: formatSeconds(seconds), isNumber: true },
		...optionsOf(search).map((option) => ({
			text: settings.has(option) ? oneLine(formatChoice(settings.get(option) ?? null)) : "",
		})),
	];
}

function trainedCell({ number, state, trained, target, origin }: TrialSummary, search: RunningSearch): string {
	const parts = rungParts([...search.trials.values()].map((trial) => trial.target));
	if (state === "failed") return "failed";
	if (state === "pruned") return `${rungName(trained, parts)} pruned`;
	if (state !== "running") return rungName(trained, parts);
	const at = search.steps.get(number);
	// The bar is full where the trial pauses next.
	const part = at === undefined ? 0 : at.step / at.steps / target;
	const full = Number.isFinite(part) ? Math.round(Math.min(1, Math.max(0, part)) * barWidth) : 0;
	const goal = origin === "noise" ? "noise" : target >= 1 ? "whole" : rungName(target, parts);
	return `${"⣿".repeat(full)}${"⣀".repeat(barWidth - full)} ${goal}`;
}

interface Cell {
	text: string;
	isNumber?: boolean;
}

/** As many columns as fit, the first ones first; the first of all is cut when not even that one does. */
function layOut(rows: readonly (readonly Cell[])[], columns: number): string[] {
	const count = rows[0]?.length ?? 0;
	const widths: number[] = [];
	let used = 0;
	for (let c = 0; c < count; c++) {
		const widest = Math.max(...rows.map((row) => displayWidth(row[c]?.text ?? "")));
		const width = rows[0]?.[c]?.isNumber ? widest : Math.min(widest, widestSetting);
		const needed = used + width + (c > 0 ? gap : 0);
		if (needed > columns) break;
		widths.push(width);
		used = needed;
	}
	return rows.map((row) =>
		widths
			.map((width, c) => {
				const { text, isNumber = false } = row[c] as Cell;
				return padToWidth(cutToWidth(text, width), { width, side: isNumber ? "left" : "right" });
			})
			.join(" ".repeat(gap))
			.trimEnd(),
	);
}

function footerLines(search: RunningSearch, best: readonly number[]): string[] {
	const { trials, steps, objectives, secondsLeft, budgetSeconds, work, baseline } = search;
	const first = trials.get(best[0] ?? -1);
	const values = objectives.map((one, i) => `${objectiveTitles[one]} ${formatValue(first?.values?.[i], one)}`);
	const [number, at] = [...steps].at(-1) ?? [];
	const counts = new Map<string, number>();
	for (const { state } of trials.values()) counts.set(state, (counts.get(state) ?? 0) + 1);
	const amount = work?.unit === "bytes" ? formatBytes : formatCount;
	return pairLines([
		[
			"best so far",
			first === undefined
				? "none yet"
				: oneLine(`trial ${first.number}, ${values.join(", ")}: ${settingsLine(first.settings)}`),
		],
		...(at === undefined
			? []
			: [["now", `trial ${number}, step ${at.step}/${at.steps}, training loss ${formatLoss(at.loss)}`] as const]),
		...(work === undefined
			? []
			: [
					[
						"work",
						oneLine(`${work.what}  ${amount(work.done)}${work.total === undefined ? "" : ` of ${amount(work.total)}`}`),
					] as const,
				]),
		[
			"trials",
			`${trials.size}${counts.size > 0 ? ":" : ""} ${[...counts].map(([state, n]) => `${n} ${state}`).join(", ")}`,
		],
		...(secondsLeft === undefined
			? []
			: [
					[
						"time left",
						`${formatSeconds(Math.max(0, secondsLeft))}${budgetSeconds === undefined ? "" : ` of ${formatSeconds(budgetSeconds)}`}${baseline ? ", then random search for comparison" : ""}`,
					] as const,
				]),
	]);
}

function oneLine(text: string): string {
	return printable(text.replace(/\s+/g, " "));
}

// How each event of a recipe reads on a terminal: one row an event type. `results` go to stdout, `notes` to stderr,
// `progress` to the bar. Pure; the reporter decides what is printed.
import { isAbsolute, relative } from "node:path";
import type { LedgerReport } from "../../data/ledger.ts";
import type { EventOf, RecipeEvent } from "../../recipes/options/recipe.ts";
import { formatBytes, formatCount, formatLoss, formatRate, formatSeconds, formatShortCount } from "./format.ts";
import type { ProgressLine } from "./progress.ts";
import { rowLines } from "./rows.ts";
import { searchResultLines, trialLine } from "./search-result.ts";
import type { Paint } from "./style.ts";
import { pairLines, tableLines } from "./table.ts";
import { printable } from "./width.ts";

export interface View {
	/** For results. */
	paint: Paint;
	/** For notes. */
	paintNote: Paint;
	/** Columns for results. */
	width: number;
	/** Paths below it are shown from here. */
	directory: string;
	/** How the program is called here, in commands that come next. */
	program: string;
}

export interface Rendered {
	results?: readonly string[];
	notes?: readonly string[];
	progress?: ProgressLine;
	/** Text that continues the line on stdout. */
	stream?: string;
}

const renderers = {
	"data-read": (event, view) =>
		event.use === "check"
			? { results: dataLines(event, { ...view, paint: view.paint }) }
			: { notes: dataLines(event, { ...view, paint: view.paintNote }) },
	"text-read": ({ files, documents, tokens, heldOutTokens }, { paintNote, directory }) => ({
		notes: [
			`${paintNote("bold", "text")}: ${fileNames(files, directory)}`,
			...pairLines([
				["  documents", formatCount(documents)],
				["  tokens", `${formatCount(tokens)}, and ${formatCount(heldOutTokens)} held out`],
			]),
		],
	}),
	"row-rendered": (event, view) => ({ results: rowLines(event, view) }),
	// At the start of a run one line is enough; a plan that was asked for compares models.
	"plan-made": ({ plan }, view) =>
		plan.alternatives ? { results: planLines(plan, view) } : { notes: [planLine(plan, view)] },
	"work-advanced": ({ what, done, total, unit }) => {
		const format = unit === "bytes" ? formatBytes : formatCount;
		return {
			progress: {
				...(total === undefined ? {} : { part: done / total }),
				pieces: [what, total === undefined ? format(done) : `${format(done)} of ${format(total)}`],
			},
		};
	},
	"step-done": (event) => ({
		progress: {
			part: event.step / event.steps,
			pieces: [
				`step ${event.step}/${event.steps}`,
				`loss ${formatLoss(event.loss)}`,
				`${formatSeconds(event.secondsLeft)} left`,
				`lr ${formatRate(event.learningRate)}`,
				`${formatCount(event.supervisedTokensPerSecond)} sup. tok/s`,
			],
		},
	}),
	"evaluation-advanced": ({ part, tokens, totalTokens }) => ({
		progress: {
			part: tokens / totalTokens,
			pieces: [`${part} loss`, `${formatCount(tokens)} of ${formatCount(totalTokens)} tokens`],
			passing: true,
		},
	}),
	"evaluation-done": ({ step, loss, perplexity }, { paintNote }) => ({
		notes: [
			`step ${step}: validation loss ${paintNote("bold", formatLoss(loss))}, perplexity ${perplexity < 1e6 ? perplexity.toFixed(2) : formatRate(perplexity)}`,
		],
	}),
	"checkpoint-saved": ({ step, path }, { paintNote }) => ({ notes: [paintNote("dim", `step ${step}: saved ${path}`)] }),
	warning: ({ message, hint }, { paintNote }) => ({
		notes: [`${paintNote("yellow", "warning:")} ${message}`, ...(hint === undefined ? [] : [`  try:      ${hint}`])],
	}),
	answer: ({ question, before, after }, { paint }) => ({
		results: [
			`${paint("bold", "question")}  ${indent(question)}`,
			...(before === undefined ? [] : [`${paint("dim", "before")}    ${indent(before)}`]),
			...(after === undefined ? [] : [`${paint("green", "after")}     ${indent(after)}`]),
			"",
		],
	}),
	"metric-measured": ({ name, value, low, high, baseline }) => ({
		results: [
			[
				`${name} ${formatLoss(value)}`,
				...(low === undefined || high === undefined ? [] : [`(${formatLoss(low)} to ${formatLoss(high)})`]),
				...(baseline === undefined ? [] : [`baseline ${formatLoss(baseline)}`]),
			].join("  "),
		],
	}),
	"text-generated": ({ text }) => ({ stream: printable(text) }),
	"generation-done": ({ tokens, tokensPerSecond, finishReason }, { paintNote }) => ({
		stream: "\n",
		notes: [paintNote("dim", `${tokens} tokens, ${tokensPerSecond.toFixed(1)} tok/s, ended by ${finishReason}`)],
	}),
	"file-written": ({ path, bytes }) => ({ results: [`${path}  ${formatBytes(bytes)}`] }),
	"search-started": ({ directory, objectives, trials, budgetSeconds }, { paintNote }) => ({
		notes: [
			`${paintNote("bold", "search")}: ${directory}, by ${objectives.join(", ")}${trials.length > 0 ? `, ${trials.length} trials so far` : ""}${budgetSeconds === undefined ? "" : `, ${formatSeconds(budgetSeconds)} left`}`,
		],
	}),
	// On a terminal the live table says these (search-table.ts).
	"trial-changed": (event, { paintNote }) => ({ notes: [trialLine(event, paintNote)] }),
	"trial-advanced": ({ trial, step, steps, loss, secondsLeft }) => ({
		progress: {
			part: step / steps,
			pieces: [
				`trial ${trial}, step ${step}/${steps}`,
				`loss ${formatLoss(loss)}`,
				...(secondsLeft === undefined ? [] : [`${formatSeconds(secondsLeft)} left`]),
			],
		},
	}),
	"search-done": (event, view) => ({ results: searchResultLines(event, view) }),
	"run-done": ({ directory, report }, { program }) => ({
		results: [
			...pairLines([
				["run", directory],
				["steps", `${formatCount(report.steps)}${report.skippedSteps ? ` (${report.skippedSteps} skipped)` : ""}`],
				["supervised tokens", formatCount(report.supervisedTokens)],
				["time", formatSeconds(report.seconds)],
				...lossPair(report),
			]),
			...(report.advice === undefined || report.advice.length === 0
				? []
				: ["", "what to try:", ...report.advice.map((line) => `  ${line}`)]),
			...(report.next === undefined
				? []
				: ["", "next:", ...report.next.map((line) => `  ${line.replace(/^attune /, `${program} `)}`)]),
		],
	}),
} satisfies { [Type in RecipeEvent["type"]]: (event: EventOf<Type>, view: View) => Rendered };

export function renderEvent(event: RecipeEvent, view: View): Rendered {
	const render = renderers[event.type] as (event: RecipeEvent, view: View) => Rendered;
	return render(event, view);
}

function dataLines(
	{ files, use, shape, ledger }: EventOf<"data-read">,
	{ paint, directory }: Pick<View, "paint" | "directory">,
): string[] {
	const counts = Object.entries(ledger.outcomes).filter(([, rows]) => rows > 0);
	const lines = shape === undefined ? "" : Object.entries(shape.lengthPercentiles).map(percentile).join("  ");
	return [
		`${paint("bold", use === "check" ? "data" : `${use} data`)}: ${fileNames(files, directory)}`,
		...pairLines([
			...(shape === undefined
				? []
				: [
						["  format", shape.format] as const,
						["  conversations", `${formatCount(shape.conversations)}, ${formatCount(shape.turns)} turns`] as const,
						["  tokens each", lines] as const,
					]),
			[
				"  rows",
				`${formatCount(ledger.rows)}: ${counts.map(([name, rows]) => `${formatCount(rows)} ${name}`).join(", ")}`,
			],
			["  examples", formatCount(ledger.examples)],
			["  supervised tokens", `${formatCount(ledger.supervisedTokens)} of ${formatCount(ledger.tokens)}`],
			...(ledger.lostTokens === 0 ? [] : [["  lost tokens", formatCount(ledger.lostTokens)] as const]),
		]),
		...ledger.problems.map((problem) => problemLine(problem, { paint, directory, files })),
		...Object.entries(ledger.unusedFields).map(
			([field, rows]) =>
				`  not read: the field ${printable(field)}, in ${formatCount(rows)} ${rows === 1 ? "row" : "rows"}`,
		),
	];
}

const placesShown = 5;

function problemLine(
	{ rows, meaning, places }: LedgerReport["problems"][number],
	{ paint, directory, files }: Pick<View, "paint" | "directory"> & { files: readonly string[] },
): string {
	// One file needs no name at every line.
	const at = ({ file, line }: (typeof places)[number]) =>
		files.length === 1 ? `${line}` : `${shortPath(file, directory)}:${line}`;
	const shown = places.slice(0, placesShown).map(at).join(", ");
	const where = files.length > 1 ? shown : `${rows === 1 ? "line" : "lines"} ${shown}`;
	const count = `${formatCount(rows)} ${rows === 1 ? "row" : "rows"}`;
	return `  ${paint("yellow", count)}: ${meaning} (${where}${rows > placesShown ? ", ..." : ""})`;
}

const fileNames = (files: readonly string[], directory: string) =>
	files.map((file) => shortPath(file, directory)).join(", ");

/** From where the user stands, when that is shorter. */
function shortPath(path: string, directory: string): string {
	const fromHere = relative(directory, path);
	return isAbsolute(path) && fromHere.length < path.length ? fromHere : path;
}

function percentile([rank, tokens]: [string, number]): string {
	return `p${rank} ${formatCount(tokens)}`;
}

function planLine(plan: EventOf<"plan-made">["plan"], { paintNote }: View): string {
	const memory = `peak memory ${formatBytes(plan.peakBytes)} of ${formatBytes(plan.availableBytes)} free`;
	const time = plan.secondsPerEpoch === undefined ? "" : `, ${formatSeconds(plan.secondsPerEpoch)} an epoch`;
	const waits = plan.waitsForSaves ? "; training waits while checkpoints are written, to spare their copy" : "";
	const forecast = `forecast: ${memory}${time}, disk ${formatBytes(plan.diskBytes)}${waits}`;
	return paintNote(plan.fits ? "dim" : "red", forecast);
}

function planLines(plan: EventOf<"plan-made">["plan"], { paint, width }: View): string[] {
	const verdict = plan.fits ? paint("green", "fits") : paint("red", "does not fit");
	const time = (seconds: number | undefined) => (seconds === undefined ? "?" : formatSeconds(seconds));
	return [
		...pairLines([
			["parameters", `${formatShortCount(plan.parameters)}, ${formatShortCount(plan.trainableParameters)} trained`],
			["peak memory", `${formatBytes(plan.peakBytes)} of ${formatBytes(plan.availableBytes)} free: ${verdict}`],
			["disk", formatBytes(plan.diskBytes)],
			plan.secondsPerThousandTokens === undefined
				? ["time per epoch", time(plan.secondsPerEpoch)]
				: ["time for 1,000 tokens", `${plan.secondsPerThousandTokens.toPrecision(2)} s`],
			...(plan.steps === undefined ? [] : [["steps", formatCount(plan.steps)] as const]),
		]),
		...(plan.changes === undefined || plan.changes.length === 0 ? [] : ["", "to make it fit:"]),
		...(plan.changes ?? []).map((change) => `  ${change}`),
		...(plan.alternatives === undefined
			? []
			: [
					"",
					...tableLines(
						[
							{ title: "model" },
							{ title: "parameters", side: "right" },
							{ title: "peak memory", side: "right" },
							{ title: "time per epoch", side: "right" },
							{ title: "here" },
						],
						{
							width,
							rows: plan.alternatives.map((other) => [
								other.model,
								formatShortCount(other.parameters),
								formatBytes(other.peakBytes),
								time(other.secondsPerEpoch),
								other.fits ? "fits" : "does not fit",
							]),
						},
					),
				]),
	];
}

function lossPair({ validationLossBefore, validationLossAfter, bestStep }: EventOf<"run-done">["report"]) {
	if (validationLossAfter === undefined) return [];
	const before = validationLossBefore === undefined ? "" : `${formatLoss(validationLossBefore)} -> `;
	const best = bestStep === undefined ? "" : ` (best at step ${bestStep})`;
	return [["validation loss", `${before}${formatLoss(validationLossAfter)}${best}`] as const];
}

function indent(text: string): string {
	return printable(text)
		.trimEnd()
		.replaceAll("\n", `\n${" ".repeat(10)}`);
}

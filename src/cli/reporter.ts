// Shows the events of a recipe: results on stdout, the rest on stderr, in one of three ways: for people, quiet, or JSON
// Lines. It remembers the losses, to draw their curve when the run is done, and a search, to show it as a live table.
import type { RecipeEvent } from "../recipes/options/recipe.ts";
import { nameNonFinite } from "../util/json-numbers.ts";
import { chartLines, type Series } from "./render/chart.ts";
import { renderEvent, type View } from "./render/events.ts";
import { Live } from "./render/live.ts";
import { Progress } from "./render/progress.ts";
import { afterEvent, type RunningSearch } from "./render/search-state.ts";
import { searchTableLines } from "./render/search-table.ts";
import { paintFor } from "./render/style.ts";
import { defaultColumns, defaultRows, type Terminal } from "./terminal.ts";

export interface ReporterOptions {
	/** Every event as a line of JSON on stdout; warnings also on stderr. */
	json: boolean;
	/** No progress and no notes, warnings excepted. */
	quiet: boolean;
}

const maximumChartWidth = 100;

export class Reporter {
	readonly #terminal: Terminal;
	readonly #options: ReporterOptions;
	readonly #progress: Progress;
	readonly #live: Live;
	/** While one runs and is shown as a table. */
	#search: RunningSearch | undefined;
	readonly #view: View;
	readonly #training: { x: number; y: number }[] = [];
	readonly #validation: { x: number; y: number }[] = [];

	constructor(terminal: Terminal, options: ReporterOptions) {
		this.#terminal = terminal;
		this.#options = options;
		this.#progress = new Progress(terminal.stderr, { nowMs: terminal.nowMs });
		this.#live = new Live(terminal.stderr, { nowMs: terminal.nowMs });
		this.#view = {
			paint: paintFor(terminal.stdout, terminal.env),
			paintNote: paintFor(terminal.stderr, terminal.env),
			width: Math.min(maximumChartWidth, terminal.stdout.columns || defaultColumns),
			directory: terminal.directory,
			// Run by npm, as in a clone, the program is not on the path.
			program: terminal.env.npm_command === undefined ? "attune" : "npx attune",
		};
	}

	show(event: RecipeEvent): void {
		const { json, quiet } = this.#options;
		const { results = [], notes = [], progress, stream } = renderEvent(event, this.#view);
		const isInTable = event.type === "trial-changed" && event.trial.state !== "failed" && this.#search !== undefined;
		// Before the notes: it may end the line that they must not run into.
		if (stream !== undefined && !json) this.#terminal.stdout.write(stream);
		if (event.type === "warning" || !(quiet || json || isInTable)) this.note(notes);
		if (json) {
			this.#terminal.stdout.write(`${JSON.stringify(event, nameNonFinite)}\n`);
			return;
		}
		this.#remember(event);
		if (this.#showLive(event)) return;
		if (progress !== undefined && !quiet) this.#progress.show(progress);
		if (event.type === "run-done" && !quiet) this.#drawCurve();
		this.#print(results);
	}

	/** Lines for the person, on stderr. */
	note(lines: readonly string[]): void {
		if (lines.length === 0) return;
		this.#progress.clear();
		if (this.#search !== undefined) this.#live.print(lines);
		else for (const line of lines) this.#terminal.stderr.write(`${line}\n`);
	}

	/** The last line of progress, or the table, stays on the screen. */
	finish(): void {
		this.#progress.finish();
		if (this.#search !== undefined) this.#live.finish();
		this.#search = undefined;
	}

	/** Whether the event is told by the table. */
	#showLive(event: RecipeEvent): boolean {
		const { stderr, env } = this.#terminal;
		if (!stderr.isTTY || env.TERM === "dumb" || this.#options.quiet) return false;
		const search = afterEvent(this.#search, event);
		if (search === undefined) {
			if (this.#search !== undefined) this.finish();
			return false;
		}
		if (search === this.#search) return false;
		if (this.#search === undefined) this.#progress.clear();
		this.#search = search;
		this.#live.show(() =>
			// The last column and the last line stay free: some terminals wrap when they are written, and the cursor needs a place.
			searchTableLines(search, {
				columns: (stderr.columns || defaultColumns) - 1,
				rows: (stderr.rows || defaultRows) - 1,
				paint: this.#view.paintNote,
			}),
		);
		return true;
	}

	#print(lines: readonly string[]): void {
		if (lines.length === 0) return;
		this.#progress.clear();
		this.#live.clear();
		for (const line of lines) this.#terminal.stdout.write(`${line}\n`);
	}

	#remember(event: RecipeEvent): void {
		if (event.type === "step-done") this.#training.push({ x: event.step, y: event.loss });
		if (event.type === "evaluation-done") this.#validation.push({ x: event.step, y: event.loss });
	}

	#drawCurve(): void {
		const series: Series[] = [
			{ name: "training loss", look: "cyan", points: this.#training },
			{ name: "validation loss", look: "yellow", points: this.#validation },
		];
		const { paint, width } = this.#view;
		const lines = chartLines(series, { width, height: 10, xLabel: "step", paint });
		this.#progress.finish();
		this.#print(lines.length === 0 ? [] : [...lines, ""]);
	}
}

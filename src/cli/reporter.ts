// Shows the events of a recipe: results on stdout, the rest on stderr, in one of three ways: for people, quiet, or JSON
// Lines. It remembers the losses, to draw their curve when the run is done.
import type { RecipeEvent } from "../recipes/options/recipe.ts";
import { chartLines, type Series } from "./render/chart.ts";
import { renderEvent, type View } from "./render/events.ts";
import { Progress } from "./render/progress.ts";
import { paintFor } from "./render/style.ts";
import { defaultColumns, type Terminal } from "./terminal.ts";

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
	readonly #view: View;
	readonly #training: { x: number; y: number }[] = [];
	readonly #validation: { x: number; y: number }[] = [];

	constructor(terminal: Terminal, options: ReporterOptions) {
		this.#terminal = terminal;
		this.#options = options;
		this.#progress = new Progress(terminal.stderr, { nowMs: terminal.nowMs });
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
		// Before the notes: it may end the line that they must not run into.
		if (stream !== undefined && !json) this.#terminal.stdout.write(stream);
		if (event.type === "warning" || !(quiet || json)) this.note(notes);
		if (json) {
			this.#terminal.stdout.write(`${JSON.stringify(event)}\n`);
			return;
		}
		this.#remember(event);
		if (progress !== undefined && !quiet) this.#progress.show(progress);
		if (event.type === "run-done" && !quiet) this.#drawCurve();
		this.#print(results);
	}

	/** Lines for the person, on stderr. */
	note(lines: readonly string[]): void {
		if (lines.length === 0) return;
		this.#progress.clear();
		for (const line of lines) this.#terminal.stderr.write(`${line}\n`);
	}

	/** The last line of progress stays on the screen. */
	finish(): void {
		this.#progress.finish();
	}

	#print(lines: readonly string[]): void {
		if (lines.length === 0) return;
		this.#progress.clear();
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

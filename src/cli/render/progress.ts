// Progress on stderr: on a terminal one line that is redrawn, at most ten times a second; elsewhere a line now and then.
// It knows lines, not what they mean.
import type { OutputStream } from "../terminal.ts";
import { defaultColumns } from "../terminal.ts";
import { displayWidth } from "./width.ts";

const redrawMs = 100;
const plainLineMs = 10_000;
const widestBar = 24;
const narrowestBar = 8;

export interface ProgressLine {
	/** 0 to 1. */
	part?: number;
	/** The most important first: those that do not fit are left out from the end. */
	pieces: readonly string[];
	/** Not to be left standing: what went on before is the last line. */
	passing?: boolean;
}

export class Progress {
	readonly #stream: OutputStream;
	readonly #nowMs: () => number;
	#lastMs = -Infinity;
	#onScreen = false;
	#pending: ProgressLine | undefined;
	/** The bar only shrinks while numbers grow and shrink beside it: one that breathes is hard to read. */
	#barWidth = widestBar;

	constructor(stream: OutputStream, { nowMs }: { nowMs: () => number }) {
		this.#stream = stream;
		this.#nowMs = nowMs;
	}

	/** Shows the line when it is time for one; it is remembered otherwise, for `finish`. */
	show(line: ProgressLine): void {
		if (!line.passing) this.#pending = line;
		const now = this.#nowMs();
		if (now - this.#lastMs < (this.#stream.isTTY ? redrawMs : plainLineMs)) return;
		this.#lastMs = now;
		this.#draw(line);
	}

	/** Takes the bar off the screen, before something else is printed. The next `show` draws it again. */
	clear(): void {
		if (this.#onScreen) this.#stream.write("\r\u001b[2K");
		this.#onScreen = false;
	}

	/** Leaves the last line standing. */
	finish(): void {
		if (this.#pending !== undefined) this.#draw(this.#pending);
		if (this.#onScreen) this.#stream.write("\n");
		this.#onScreen = false;
		this.#lastMs = -Infinity;
		this.#barWidth = widestBar;
	}

	#draw(line: ProgressLine): void {
		if (!line.passing) this.#pending = undefined;
		if (!this.#stream.isTTY) {
			this.#stream.write(`${line.pieces.join("  ")}\n`);
			return;
		}
		// The last column stays free: some terminals wrap when it is written.
		const columns = (this.#stream.columns || defaultColumns) - 1;
		this.#barWidth = Math.min(this.#barWidth, barRoom(line, columns));
		this.#stream.write(`\r\u001b[2K${progressText(line, { columns, barWidth: this.#barWidth })}`);
		this.#onScreen = true;
	}
}

/** First the pieces that fit, then a bar after the first one when there is room left for it. */
export function progressText(
	line: ProgressLine,
	{ columns, barWidth = widestBar }: { columns: number; barWidth?: number },
): string {
	const kept = piecesThatFit(line.pieces, columns);
	const room = Math.min(barWidth, barRoom(line, columns));
	if (line.part === undefined || room < narrowestBar) return kept.join("  ");
	const full = Math.round(Math.min(1, Math.max(0, line.part)) * room);
	const bar = "⣿".repeat(full) + "⣀".repeat(room - full);
	return [kept[0], bar, ...kept.slice(1)].join("  ");
}

function piecesThatFit(pieces: readonly string[], columns: number): string[] {
	const kept: string[] = [];
	let used = 0;
	for (const piece of pieces) {
		used += displayWidth(piece) + (kept.length === 0 ? 0 : 2);
		if (used > columns) break;
		kept.push(piece);
	}
	return kept;
}

/** Columns that the pieces leave to the bar. */
const barRoom = ({ pieces }: ProgressLine, columns: number) =>
	columns - displayWidth(piecesThatFit(pieces, columns).join("  ")) - 2;

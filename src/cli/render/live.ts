// A block of lines at the foot of a terminal that is redrawn in place, at most ten times a second. Each drawing is one
// write that hides the cursor and shows it again, so that a process which ends at any moment leaves a good terminal.
// It knows lines, not what they mean.
import { defaultColumns, type OutputStream } from "../terminal.ts";
import { displayWidth } from "./width.ts";

const redrawMs = 100;
const codes = {
	hideCursor: "\u001b[?25l",
	showCursor: "\u001b[?25h",
	eraseToEndOfLine: "\u001b[K",
	eraseBelow: "\u001b[J",
};

export class Live {
	readonly #stream: OutputStream;
	readonly #nowMs: () => number;
	#lines: (() => readonly string[]) | undefined;
	#onScreen: readonly string[] = [];
	#isStale = false;
	#lastMs = -Infinity;

	constructor(stream: OutputStream, { nowMs }: { nowMs: () => number }) {
		this.#stream = stream;
		this.#nowMs = nowMs;
	}

	/** The lines are made when it is time to draw them. None may be as wide as the terminal, nor all as high. */
	show(lines: () => readonly string[]): void {
		this.#lines = lines;
		this.#isStale = true;
		const now = this.#nowMs();
		if (now - this.#lastMs < redrawMs && this.#onScreen.length > 0) return;
		this.#lastMs = now;
		this.#draw();
	}

	/** Lines that stay, above the block. */
	print(lines: readonly string[]): void {
		this.#draw(lines);
	}

	/** Takes the block off the screen, before something else is written. The next `show` draws it again. */
	clear(): void {
		if (this.#onScreen.length > 0) this.#stream.write(`${this.#toTop()}${codes.eraseBelow}`);
		this.#onScreen = [];
	}

	/** Leaves the block standing, as it is now. */
	finish(): void {
		if (this.#isStale) this.#draw();
		this.#lines = undefined;
		this.#onScreen = [];
		this.#lastMs = -Infinity;
	}

	#draw(above: readonly string[] = []): void {
		const block = this.#lines?.() ?? [];
		const text = [...above, ...block].map((line) => `${line}${codes.eraseToEndOfLine}\n`).join("");
		this.#stream.write(`${codes.hideCursor}${this.#toTop()}${text}${codes.eraseBelow}${codes.showCursor}`);
		this.#onScreen = block;
		this.#isStale = false;
	}

	/** To the first line of the block. A terminal that became narrower has wrapped its lines. */
	#toTop(): string {
		const columns = this.#stream.columns || defaultColumns;
		const height = this.#onScreen.reduce((sum, line) => sum + Math.max(1, Math.ceil(displayWidth(line) / columns)), 0);
		return height > 0 ? `\r\u001b[${height}A` : "\r";
	}
}

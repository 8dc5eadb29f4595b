// A terminal's screen, as far as our output needs one: what is on it after everything that was written.
import { stripVTControlCharacters } from "node:util";

export interface Screen {
	lines: string[];
	isCursorShown: boolean;
}

/** Knows carriage return, line feed, cursor up, erasing and hiding the cursor; throws on any other movement. */
export function screenAfter(text: string): Screen {
	const lines = [""];
	let [row, column, isCursorShown] = [0, 0, true];
	// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what a terminal is told.
	for (const part of text.match(/\u001b\[[?\d;]*[A-Za-z]|[\r\n]|[^\r\n\u001b]+/g) ?? []) {
		// biome-ignore lint/suspicious/noControlCharactersInRegex: as above.
		const [, argument = "", code] = /^\u001b\[([?\d;]*)([A-Za-z])$/.exec(part) ?? [];
		if (part === "\r") column = 0;
		else if (part === "\n") {
			[row, column] = [row + 1, 0];
			lines[row] ??= "";
		} else if (code === undefined) {
			const line = (lines[row] ?? "").padEnd(column);
			lines[row] = line.slice(0, column) + part + line.slice(column + part.length);
			column += part.length;
		} else if (code === "A") row = Math.max(0, row - Number(argument || 1));
		else if (code === "K") lines[row] = argument === "2" ? "" : (lines[row] ?? "").slice(0, column);
		else if (code === "J") {
			lines[row] = (lines[row] ?? "").slice(0, column);
			lines.length = row + 1;
		} else if (argument === "?25") isCursorShown = code === "h";
		else if (code !== "m") throw new Error(`${JSON.stringify(part)} is not known to this screen`);
	}
	return { lines: lines.map(stripVTControlCharacters), isCursorShown };
}

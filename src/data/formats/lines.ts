// Cuts a stream of text into lines, bounded: a line longer than the bound is an error, not a full memory.
import { UserError } from "../../util/errors.ts";
import type { TextSource } from "../text-source.ts";

/** Longest row accepted, in UTF-16 code units. A row beyond it is a missing quote or bracket, or not a row at all. */
export const maxRowLength = 32 << 20;

/** The lines without their ends, numbered from 1. A last line without line end counts. */
export async function* lines(source: TextSource): AsyncGenerator<{ line: number; text: string }> {
	let carry: string[] = [];
	let carried = 0;
	let line = 1;
	for await (const chunk of source.chunks) {
		let start = 0;
		for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", start)) {
			const text = carry.length === 0 ? chunk.slice(start, end) : carry.join("") + chunk.slice(start, end);
			carry = [];
			carried = 0;
			yield { line: line++, text };
			start = end + 1;
		}
		if (start < chunk.length) carry.push(chunk.slice(start));
		carried += chunk.length - start;
		if (carried > maxRowLength) throw rowTooLong(source.file, line);
	}
	if (carry.length > 0) yield { line, text: carry.join("") };
}

export function rowTooLong(file: string, line: number): UserError {
	return new UserError("ROW_TOO_LONG", `The row that starts on line ${line} of ${file} does not end within 32 MB.`, {
		where: `${file}:${line}`,
		expected: "rows of at most 32 MB",
		hint: "look for a quote or a bracket that is not closed near that line",
	});
}

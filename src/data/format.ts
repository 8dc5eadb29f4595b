// The contract between a file format and the rest, and the ways a record can say what a conversation is.
// To add a format: write one file beside those in formats/, add its row to the table in formats.ts, and add its
// samples to formats.test.ts, which runs the conformance suite over every row.
import type { Row } from "./row.ts";
import type { TextSource } from "./text-source.ts";

export interface Head {
	/** The beginning of the file, without byte order mark, lines ended by LF. */
	text: string;
	/** Whether `text` is the whole file. */
	complete: boolean;
	/** File name ending in lower case with its dot, or "". A hint: content decides first. */
	suffix: string;
}

/** Names of the columns or fields that hold question and answer, when they are not among the known ones. */
export interface Columns {
	input: string;
	output: string;
	system?: string;
}

export interface ReadOptions {
	columns?: Columns;
}

/**
 * A file format. Formats are asked in the order of their table and the first that recognises the head reads the file.
 *
 * `read` yields one Row for every row of the file, in order, with the line it starts on, holding no more than one
 * row and one chunk in memory (a format that cannot says so and refuses files above its bound). A bad row is yielded as a
 * problem and reading goes on. When the rest of the file cannot be understood, it throws a UserError with line and column.
 */
export interface DatasetFormat {
	/** For people: "JSON Lines". */
	readonly title: string;
	recognises(head: Head): boolean;
	read(source: TextSource, options: ReadOptions): AsyncIterable<Row>;
}

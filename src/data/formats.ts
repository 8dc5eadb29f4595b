// The table of file formats, and reading a file by what is in it.
import { extname } from "node:path";
import { UserError } from "../util/errors.ts";
import type { DatasetFormat, ReadOptions } from "./format.ts";
import { chatterbotYaml } from "./formats/chatterbot-yaml.ts";
import { csv } from "./formats/csv.ts";
import { jsonArray } from "./formats/json-array.ts";
import { jsonLines } from "./formats/json-lines.ts";
import { plainText } from "./formats/plain-text.ts";
import type { Row } from "./row.ts";
import { emptyFile, openText, readHead } from "./text-source.ts";

/** Asked in this order: the first that recognises the head reads the file. Plain text takes what is left. */
export const formats = {
	"json-array": jsonArray,
	"json-lines": jsonLines,
	"chatterbot-yaml": chatterbotYaml,
	csv,
	text: plainText,
} as const satisfies Record<string, DatasetFormat>;

export type FormatName = keyof typeof formats;

/** The format of a file, by its content. Errors: those of opening it; EMPTY_FILE when it holds white space alone. */
export async function detectFormat(file: string): Promise<FormatName> {
	const { head, complete } = await readHead(file);
	if (complete && head.trim() === "") throw emptyFile(file);
	const suffix = extname(file).toLowerCase();
	const names = Object.keys(formats) as FormatName[];
	return names.find((name) => formats[name].recognises({ text: head, complete, suffix })) ?? "text";
}

export interface ReadRowsOptions extends ReadOptions {
	/** Read as this format; by default the content tells. */
	format?: FormatName;
	signal?: AbortSignal;
	/** Bytes read of this file so far and in all, called after each row. */
	onProgress?: (progress: { file: string; bytesRead: number; bytes: number }) => void;
}

/** Every row of the file in order. Streams: memory does not grow with the file (YAML is read whole, up to 16 MB). */
export async function* readRows(file: string, options: ReadRowsOptions = {}): AsyncGenerator<Row> {
	const { format = await detectFormat(file), columns, signal, onProgress } = options;
	const source = await openText(file, signal === undefined ? {} : { signal });
	for await (const row of formats[format].read(source, columns === undefined ? {} : { columns })) {
		onProgress?.({ file, bytesRead: source.bytesRead, bytes: source.bytes });
		yield row;
	}
}

/** The rows of a file of dialogues. Error TEXT_NOT_DIALOGUES when the file is plain text. */
export async function* readDialogues(
	file: string,
	options: ReadRowsOptions = {},
): AsyncGenerator<Exclude<Row, { text: string }>> {
	const format = options.format ?? (await detectFormat(file));
	if (format === "text") {
		throw new UserError("TEXT_NOT_DIALOGUES", `${file} is plain text; there are no questions and answers in it.`, {
			where: file,
			expected: "JSON, JSON Lines, CSV or ChatterBot YAML with dialogues",
			hint: "to train on plain text use attune pretrain",
		});
	}
	for await (const row of readRows(file, { ...options, format })) if (!("text" in row)) yield row;
}

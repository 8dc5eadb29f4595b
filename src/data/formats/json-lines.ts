// JSON Lines: one JSON object a line. A broken line is one bad row; the next line starts afresh.
import { UserError } from "../../util/errors.ts";
import type { DatasetFormat } from "../format.ts";
import { findJsonMistake } from "../json-error.ts";
import type { ProblemRow, Row } from "../row.ts";
import { rowFromRecord } from "../shapes.ts";
import { lines } from "./lines.ts";

export const jsonLines: DatasetFormat = {
	title: "JSON Lines",
	recognises: ({ text, suffix }) => {
		const first = text.trimStart();
		// "{" alone also opens YAML's flow style and prose; JSON goes on with a quote, a brace or a line end.
		return /^\{\s*["}]/.test(first) || ((suffix === ".jsonl" || suffix === ".ndjson") && !first.startsWith("["));
	},
	read: async function* (source, options): AsyncIterable<Row> {
		let first = true;
		for await (const { line, text } of lines(source)) {
			if (text.trim() === "") continue;
			if (first && text.trim() === "{") throw oneObject(source.file, line);
			first = false;
			yield parseRow(text, { file: source.file, line, ...options });
		}
	},
};

function parseRow(text: string, options: Parameters<typeof rowFromRecord>[1]): Row {
	let record: unknown;
	try {
		record = JSON.parse(text);
	} catch {
		return brokenJson(text, { ...options, column: 1 });
	}
	return rowFromRecord(record, options);
}

/** The problem row for `text`, which JSON.parse refused and which starts at the line and column given. */
export function brokenJson(text: string, at: { file: string; line: number; column: number }): ProblemRow {
	const mistake = findJsonMistake(text) ?? { offset: 0, message: "JSON.parse refuses it" };
	const before = text.slice(0, mistake.offset);
	const lastBreak = before.lastIndexOf("\n");
	const line = at.line + before.split("\n").length - 1;
	const column = lastBreak === -1 ? at.column + mistake.offset : mistake.offset - lastBreak;
	const problem = { code: "broken-json" as const, message: mistake.message, line, column };
	return { file: at.file, line: at.line, problem };
}

function oneObject(file: string, line: number): UserError {
	return new UserError("JSON_NOT_ROWS", `${file} is one JSON object over several lines.`, {
		where: `${file}:${line}`,
		expected: "an array of rows [...], or one object a line (JSON Lines)",
		found: "a line that holds only {",
		hint: "if the rows stand under a field, extract it: jq '.data' FILE > rows.json; objects one after the other: jq -c . FILE > rows.jsonl",
	});
}

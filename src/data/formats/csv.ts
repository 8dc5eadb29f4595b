// CSV with a header line: comma, semicolon or tab, found in the header. Parsed by csv-parse, streamed.
import { pipeline, Readable } from "node:stream";
import { closest, UserError } from "../../util/errors.ts";
import type { Columns, DatasetFormat } from "../format.ts";
import type { Row } from "../row.ts";
import { inputFields, outputFields, pairFields, rowFromRecord } from "../shapes.ts";
import type { TextSource } from "../text-source.ts";
import { maxRowLength, rowTooLong } from "./lines.ts";

const delimiters = [",", "\t", ";"] as const;

export const csv: DatasetFormat = {
	title: "CSV",
	recognises: ({ text, suffix }) => {
		if (suffix === ".csv" || suffix === ".tsv") return true;
		const header = text.trimStart().split("\n", 1)[0] ?? "";
		const { inputs, output } = pairFields(Object.fromEntries(headerNames(header).map((name) => [name, ""])), undefined);
		return inputs.length > 0 && output !== undefined;
	},
	read: async function* (source, options): AsyncIterable<Row> {
		let names: string[] | undefined;
		for await (const { line, values } of records(source)) {
			if (names === undefined) {
				names = values.map((name) => name.trim());
				checkColumns(names, { file: source.file, line, columns: options.columns });
				continue;
			}
			if (values.length !== names.length) {
				const message = `${values.length} columns, the header has ${names.length}`;
				yield { file: source.file, line, problem: { code: "column-count", message, line } };
				continue;
			}
			const record = Object.fromEntries(names.map((name, index) => [name, values[index]]));
			yield rowFromRecord(record, { file: source.file, line, ...options });
		}
	},
};

const delimiterOf = (header: string) =>
	delimiters.reduce((best, candidate) =>
		header.split(candidate).length > header.split(best).length ? candidate : best,
	);

function headerNames(header: string): string[] {
	return header.split(delimiterOf(header)).map((name) => name.trim().replace(/^"(.*)"$/, "$1"));
}

/** Records with the line they start on. */
async function* records(source: TextSource): AsyncGenerator<{ line: number; values: string[] }> {
	const chunks = source.chunks[Symbol.asyncIterator]();
	const first = await chunks.next();
	if (first.done === true) return;
	// An empty line above the header would otherwise be the header.
	const start = first.value.trimStart();
	const skipped = first.value.slice(0, first.value.length - start.length).split("\n").length - 1;

	const { parse } = await import("csv-parse");
	const parser = parse({
		delimiter: delimiterOf(start.split("\n", 1)[0] ?? ""),
		info: true,
		relax_column_count: true,
		relax_quotes: true,
		skip_empty_lines: true,
		max_record_size: maxRowLength,
		record_delimiter: "\n",
	});
	const text = async function* () {
		yield start;
		yield* { [Symbol.asyncIterator]: () => chunks };
	};
	pipeline(Readable.from(text()), parser, () => {});
	let lastLine = skipped;
	let emptyLines = 0;
	try {
		for await (const { info, record } of parser as AsyncIterable<CsvRecord>) {
			const line = lastLine + (info.empty_lines - emptyLines) + 1;
			lastLine = skipped + info.lines;
			emptyLines = info.empty_lines;
			yield { line, values: record };
		}
	} catch (error) {
		const code = (error as { code?: string }).code;
		if (code === "CSV_MAX_RECORD_SIZE") throw rowTooLong(source.file, lastLine + 1);
		if (code === undefined || !code.startsWith("CSV_")) throw error;
		const message = `${source.file} is not valid CSV: a quote is opened and never closed.`;
		throw new UserError("BROKEN_CSV", code === "CSV_QUOTE_NOT_CLOSED" ? message : (error as Error).message, {
			where: `${source.file}, after line ${lastLine}`,
			hint: "inside a quoted field a quote is written twice",
			cause: error,
		});
	}
}

interface CsvRecord {
	info: { lines: number; empty_lines: number };
	record: string[];
}

function checkColumns(names: string[], options: { file: string; line: number; columns: Columns | undefined }): void {
	const { file, line, columns } = options;
	const doubled = names.find((name, index) => names.indexOf(name) !== index);
	if (doubled !== undefined) {
		throw new UserError("CSV_COLUMNS", `${file} has two columns named "${doubled}".`, { where: `${file}:${line}` });
	}
	const missing = columns && Object.values(columns).find((name) => !names.includes(name));
	if (missing !== undefined) {
		const near = closest(missing, names);
		throw new UserError("CSV_COLUMNS", `${file} has no column "${missing}".`, {
			where: `${file}:${line}`,
			found: `columns ${names.join(", ")}`,
			...(near === undefined ? {} : { hint: `did you mean "${near}"?` }),
		});
	}
	const { inputs, output } = pairFields(Object.fromEntries(names.map((name) => [name, ""])), columns);
	if (inputs.length > 0 && output !== undefined) return;
	const lacking = inputs.length > 0 ? "answers" : output === undefined ? "questions or answers" : "questions";
	throw new UserError("CSV_COLUMNS", `${file} has no column that is known to hold ${lacking}.`, {
		where: `${file}:${line}`,
		expected: `one of ${inputFields.join(", ")} and one of ${outputFields.join(", ")}`,
		found: `columns ${names.join(", ")}`,
		hint: `name them: --columns input=${names[0]},output=${names[1] ?? "..."}`,
	});
}

// What every DatasetFormat must do, whatever it reads. Run over each row of the table by formats.test.ts.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../../util/errors.ts";
import { detectFormat, type FormatName, formats, readRows } from "../formats.ts";
import type { Row } from "../row.ts";
import { collect, textFile, textSource } from "./text.ts";

export interface FormatSample {
	name: FormatName;
	/** A file of this format with rows, and at least one bad row when the format can have one. Lines end with LF. */
	text: string;
	rows: Row[];
}

export function testDatasetFormat({ name, text, rows }: FormatSample): void {
	const format = formats[name];
	const read = (input: string, chunkLength?: number) =>
		collect(format.read(textSource(input, chunkLength === undefined ? {} : { chunkLength }), {}));
	const readFile = async (content: string | Uint8Array) => {
		const file = textFile(content);
		expect(await detectFormat(file)).toBe(name);
		return (await collect(readRows(file))).map((row) => ({ ...row, file: "test" }));
	};

	describe(`${format.title} as a DatasetFormat`, () => {
		test("reads its rows with their lines", async () => {
			expect(await read(text)).toEqual(rows);
		});

		test("is recognised by content, without a suffix; the last line needs no end", async () => {
			expect(await readFile(text)).toEqual(rows);
			expect((await readFile(text.trimEnd())).length).toBe(rows.length);
		});

		test("reads the same with a byte order mark and with CRLF", async () => {
			expect(await readFile(`\uFEFF${text}`)).toEqual(rows);
			expect(await readFile(text.replaceAll("\n", "\r\n"))).toEqual(rows.map(withoutShare));
		});

		test("reads the same however the text is cut into chunks", async () => {
			for (const chunkLength of [1, 2, 3, 7, 64]) expect(await read(text, chunkLength)).toEqual(rows);
		});

		test("meets mutated input with rows, problems or a UserError, never with another error", async () => {
			await fc.assert(
				fc.asyncProperty(
					fc.nat(text.length - 1),
					fc.nat(8),
					fc.constantFrom("", '"', "{", "}", "[", "]", ",", "\n", "\\", ":", "- ", "\u0000", "é"),
					async (at, removed, inserted) => {
						try {
							for (const row of await read(text.slice(0, at) + inserted + text.slice(at + removed))) {
								expect(row.line).toBeGreaterThan(0);
								if ("conversation" in row) expect(row.conversation.at(-1)?.role).toBe("assistant");
							}
						} catch (error) {
							if (!(error instanceof UserError)) throw error;
						}
					},
				),
				{ numRuns: 300, seed: 1 },
			);
		});
	});
}

/** CRLF makes a file longer, so that shares of it differ in the last digits. */
function withoutShare(row: Row): Row {
	return "text" in row ? { ...row, share: expect.any(Number), progress: expect.any(Number) } : row;
}

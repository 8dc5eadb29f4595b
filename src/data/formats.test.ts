import { appendFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { detectFormat, readDialogues, readRows } from "./formats.ts";
import type { Problem, Row } from "./row.ts";
import { testDatasetFormat } from "./testing/format-conformance.ts";
import { collect, jsonLinesOf, textFile } from "./testing/text.ts";

const pair = (line: number, question: string, answer: string): Row => ({
	file: "test",
	line,
	conversation: [
		{ role: "user", content: question },
		{ role: "assistant", content: answer },
	],
});
const bad = (line: number, problem: Omit<Problem, "line"> & { line?: number }): Row => ({
	file: "test",
	line,
	problem: { line, ...problem },
});

testDatasetFormat({
	name: "json-lines",
	text: [
		'{"input": "Hi", "output": "Hello!"}',
		"",
		'{"input": "你好", "output": "您好\\n🙂"}',
		'{"input": "a", "output": }',
		'  {"input": "b", "output": "c"}  ',
		"[1]",
		"",
	].join("\n"),
	rows: [
		pair(1, "Hi", "Hello!"),
		pair(3, "你好", "您好\n🙂"),
		bad(4, { code: "broken-json", message: 'expected a value, found "}"', column: 26 }),
		pair(5, "b", "c"),
		bad(6, { code: "not-an-object", message: "the row is a list, expected an object of fields" }),
	],
});

testDatasetFormat({
	name: "json-array",
	text: '[\n{"input": "Hi ] [ \\" }", "output": "Hello!"},\n\n  {\n  "input": "你好",\n  "output" "🙂"\n },\n"x", {"input": "b",\n"output": "c"}\n]\n',
	rows: [
		pair(2, 'Hi ] [ " }', "Hello!"),
		bad(4, { code: "broken-json", message: 'expected ":" after the field name, found "\\""', line: 6, column: 12 }),
		bad(8, { code: "not-an-object", message: "the row is text, expected an object of fields" }),
		pair(8, "b", "c"),
	],
});

testDatasetFormat({
	name: "csv",
	text: 'question,answer,tag\n"Hi, there","Hello\nyou ""all"""\n\n1,2,\n"5"" disk",yes,x\nonly one\n,no question,\n',
	rows: [
		bad(2, { code: "column-count", message: "2 columns, the header has 3" }),
		pair(5, "1", "2"),
		{ ...pair(6, '5" disk', "yes"), unused: ["tag"] } as Row,
		bad(7, { code: "column-count", message: "1 columns, the header has 3" }),
		bad(8, { code: "empty-input", message: '"question" is empty' }),
	],
});

testDatasetFormat({
	name: "chatterbot-yaml",
	text: "categories:\n- food\nconversations:\n- - Do you eat?\n  - No.\n- - 2 + 2\n  - 4\n  - thanks\n- - alone\n- text\n- - 'a: b'\n  - |\n    two\n    lines\n",
	rows: [
		pair(4, "Do you eat?", "No."),
		{
			...pair(6, "2 + 2", "4"),
			trimmed: { code: "ends-without-answer", message: "ends with a user turn without an answer; taken off", line: 6 },
		} as Row,
		bad(9, { code: "no-output", message: "no turn of the assistant" }),
		bad(10, { code: "not-an-object", message: "expected a list of statements" }),
		pair(11, "a: b", "two\nlines\n"),
	],
});

testDatasetFormat({
	name: "text",
	text: "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
	rows: [
		{
			file: "test",
			line: 1,
			text: "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n",
			endsDocument: true,
			progress: 1,
			share: 1,
		},
	],
});

describe("recognition", () => {
	const cases: [string, string, string][] = [
		['{"messages": []}', ".txt", "json-lines"],
		['  \n\n{"a": 1}', "", "json-lines"],
		["not json", ".jsonl", "json-lines"],
		["[]", "", "json-array"],
		["[\n", ".json", "json-array"],
		["[Chorus]\nla la", ".txt", "text"],
		["{ braces } in prose", ".txt", "text"],
		["instruction;response\na;b", ".txt", "csv"],
		["prompt\tcompletion\na\tb", "", "csv"],
		["x,y\n1,2", ".csv", "csv"],
		["The question, my answer, is simple", ".txt", "text"],
		["conversations: they are hard\nto have", ".txt", "text"],
	];
	test.each(cases)("%j%s is %s", async (content, suffix, format) => {
		expect(await detectFormat(textFile(content, suffix))).toBe(format);
	});
});

describe("files that cannot be read", () => {
	const read = (file: string, options = {}) => collect(readRows(file, options));

	test("a missing file, with the nearest name", async () => {
		const file = textFile("x", ".jsonl");
		await expect(read(`${file}l`)).rejects.toMatchObject({
			code: "FILE_NOT_FOUND",
			hint: expect.stringContaining(".jsonl"),
		});
		await expect(read("/no/such/place.jsonl")).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
	});

	test("an empty file, one of white space, a directory", async () => {
		await expect(read(textFile(""))).rejects.toMatchObject({ code: "EMPTY_FILE" });
		await expect(read(textFile(" \n\n"))).rejects.toMatchObject({ code: "EMPTY_FILE" });
		await expect(read("/")).rejects.toMatchObject({ code: "NOT_A_FILE" });
	});

	test("an array that is cut off, or has something between its rows, with line and column", async () => {
		await expect(read(textFile('[{"input": "a",\n"output": "b"},\n{"inp'))).rejects.toMatchObject({
			code: "BROKEN_JSON",
			hint: expect.stringContaining("line 3"),
		});
		await expect(read(textFile('[{"input": "a", "output": "b"},\n  ,{"a": 1}]'))).rejects.toMatchObject({
			code: "BROKEN_JSON",
			where: expect.stringMatching(/:2:3$/),
		});
		await expect(read(textFile("[] x"))).rejects.toMatchObject({ code: "BROKEN_JSON" });
	});

	test("one JSON object over several lines", async () => {
		await expect(read(textFile('{\n  "data": []\n}', ".json"))).rejects.toMatchObject({ code: "JSON_NOT_ROWS" });
	});

	test("a CSV with other columns: which were found, which would do, how to name them", async () => {
		const file = textFile("frage,antwort\nx,y\n", ".csv");
		await expect(read(file)).rejects.toMatchObject({
			code: "CSV_COLUMNS",
			found: "columns frage, antwort",
			expected: expect.stringContaining("question"),
			hint: expect.stringContaining("--columns input=frage,output=antwort"),
		});
		await expect(read(file, { columns: { input: "frage", output: "antwrt" } })).rejects.toMatchObject({
			code: "CSV_COLUMNS",
			hint: 'did you mean "antwort"?',
		});
		const rows = await read(file, { columns: { input: "frage", output: "antwort" } });
		expect(rows).toEqual([{ ...pair(2, "x", "y"), file }]);
	});

	test("a quote that is never closed, with the line after which", async () => {
		await expect(read(textFile('input,output\na,b\n"c,d\ne,f\n', ".csv"))).rejects.toMatchObject({
			code: "BROKEN_CSV",
			where: expect.stringContaining("line 2"),
		});
	});

	test("broken YAML, and YAML without conversations", async () => {
		await expect(read(textFile('conversations:\n- - "a\n  - b\n'))).rejects.toMatchObject({ code: "BROKEN_YAML" });
		await expect(read(textFile("conversations:\n  a: b\n"))).rejects.toMatchObject({
			code: "YAML_WITHOUT_CONVERSATIONS",
		});
	});

	test("plain text where dialogues are needed", async () => {
		await expect(collect(readDialogues(textFile("Once upon a time")))).rejects.toMatchObject({
			code: "TEXT_NOT_DIALOGUES",
		});
	});
});

test("a long text comes in pieces that join to it, cut between lines", async () => {
	const text = Array.from({ length: 40_000 }, (_, i) => (i % 7 === 0 ? "\n" : `line ${i} 行\n`)).join("");
	const file = textFile(text);
	const rows = (await collect(readRows(file))) as Extract<Row, { text: string }>[];
	expect(rows.length).toBeGreaterThan(2);
	expect(rows.map((row) => row.text).join("")).toBe(text);
	for (const [i, row] of rows.entries()) {
		const before = rows
			.slice(0, i)
			.map((earlier) => earlier.text)
			.join("");
		expect(row.line).toBe(before.split("\n").length);
		if (i > 0) expect(`${before.slice(-2)}|${row.text[0]}`).toMatch(/^\S\n\|\S$/);
		// Shares in bytes are close to the truth.
		const truth = Buffer.byteLength(before + row.text) / Buffer.byteLength(text);
		expect(Math.abs(row.progress - truth)).toBeLessThan(0.01);
	}
	expect(rows.map((row) => row.endsDocument).lastIndexOf(false)).toBe(rows.length - 2);
});

test("a text without line ends is cut before spaces, one without spaces anywhere", async () => {
	for (const text of ["some words ".repeat(100_000), "🙂字".repeat(1_000_000)]) {
		const rows = (await collect(readRows(textFile(text)))) as Extract<Row, { text: string }>[];
		expect(rows.length).toBeGreaterThan(1);
		expect(rows.map((row) => row.text).join("") === text).toBe(true);
		expect(rows.every((row) => !/\p{Surrogate}/u.test(row.text))).toBe(true);
	}
});

test("reading stops when it is aborted", async () => {
	const file = textFile("");
	appendFileSync(
		file,
		jsonLinesOf(Array.from({ length: 20_000 }, (_, i) => ({ input: `question ${i}`, output: "a" }))),
	);
	const abort = new AbortController();
	const rows = readRows(file, { signal: abort.signal });
	await rows.next();
	abort.abort();
	await expect(collect(rows)).rejects.toThrow(/abort/i);
});

// Data that cannot be trained on stops `attune finetune` before anything is written, and is named: file, line and column.
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { finetune } from "../../src/recipes/finetune.ts";
import { refusedFinetune } from "../support/refused.ts";
import { dialoguesFile, eventsOf, ofType, quick, rows, temporary, tinyModelDirectory, write } from "../support/tiny.ts";

let model: string;
beforeAll(async () => {
	model = await tinyModelDirectory();
});
const refusedData = (file: string, ...more: string[]) => refusedFinetune(["--model", model, "--data", file, ...more]);

test("a missing file", async () => {
	expect(await refusedData("/nowhere/dialogues.jsonl")).toMatchObject({
		exitCode: 1,
		code: "FILE_NOT_FOUND",
		where: "/nowhere/dialogues.jsonl",
		hint: "Check the path.",
	});
});

test("a missing validation file", async () => {
	expect(await refusedData(dialoguesFile(), "--validation", "/nowhere/held-out.jsonl")).toMatchObject({
		code: "FILE_NOT_FOUND",
		where: "/nowhere/held-out.jsonl",
	});
});

test("a directory where a file is wanted", async () => {
	expect(await refusedData(temporary())).toMatchObject({ code: "FILE_IS_DIRECTORY", hint: "Give the path of a file." });
});

test.each(["e.json", "e.jsonl", "e.csv"])("an empty file: %s", async (name) => {
	for (const content of ["", "\n \n"]) {
		const file = write(name, content);
		expect(await refusedData(file)).toMatchObject({
			exitCode: 1,
			code: "EMPTY_FILE",
			where: file,
			expected: "at least one row",
			hint: expect.stringContaining("Check that this is the file"),
		});
	}
});

describe("broken JSON is named with its line and column", () => {
	test("in an array", async () => {
		const file = write("b.json", '[\n{"input": "a", "output": "b"},\n  {"input": "c" "output": "d"}\n]');
		const { found, exitCode } = await refusedData(file);
		expect(exitCode).toBe(1);
		expect(found).toContain(`${file}:3:17`);
		expect(found).toContain('expected "," or "}", found "\\""');
	});

	test("in JSON Lines", async () => {
		const file = write("b.jsonl", '{"input": "a", "output": "b"}\n{"input": "c", "output": d"}\n');
		const { found, hint } = await refusedData(file);
		expect(found).toContain(`${file}:2:26`);
		expect(hint).toContain("--max-loss-of-rows");
	});

	test("that ends too early", async () => {
		const file = write("b.json", '[\n{"input": "a", "output": "b"},\n{"input": "c", "out');
		expect((await refusedData(file)).text).toMatch(/b\.json:3/);
	});
});

test("a row without an output", async () => {
	const file = dialoguesFile([...rows, { input: "And then?" }]);
	const { code, found, exitCode } = await refusedData(file);
	expect({ code, exitCode }).toEqual({ code: "TOO_MANY_ROWS_LOST", exitCode: 1 });
	expect(found).toContain(`${file}:13`);
	expect(found).toContain("no answer; fields: input");
});

test("a role that is unknown, with the one that was meant", async () => {
	const turns = ["user", "asistant"].map((role) => ({ role, content: "x" }));
	const file = dialoguesFile([...rows, { messages: turns }]);
	const { found } = await refusedData(file);
	expect(found).toContain(`${file}:13`);
	expect(found).toContain('"asistant"; did you mean "assistant"?');
});

describe("a conversation that ends with the user", () => {
	const turns = (...roles: string[]) => ({ messages: roles.map((role, i) => ({ role, content: `text ${i}` })) });

	test("and has no answer at all is refused", async () => {
		const { found } = await refusedData(dialoguesFile([...rows, turns("user")]));
		expect(found).toContain("no turn of the assistant");
	});

	test("behind an answer is trained on without its end, which is counted and named", async () => {
		const file = dialoguesFile([...rows, turns("user", "assistant", "user")]);
		const output = join(temporary(), "run");
		const events = await eventsOf(finetune({ ...quick, model, data: [file], output, steps: 1 }));
		const [read] = ofType(events, "data-read");
		expect(read?.ledger.rows).toBe(13);
		expect(read?.ledger.problems).toMatchObject([{ code: "ends-without-answer", rows: 1, places: [{ line: 13 }] }]);
	});
});

test("not UTF-8, with the byte and a command that mends it", async () => {
	const file = write("l.jsonl", Buffer.from('{"input": "caf\xe9", "output": "b"}\n', "latin1"));
	const { code, where, found, hint } = await refusedData(file);
	expect({ code, where, found }).toEqual({
		code: "NOT_UTF8",
		where: `${file}:1, byte offset 14`,
		found: "byte 0xe9",
	});
	expect(hint).toContain("iconv");
	const utf16 = write("l.jsonl", Buffer.from('\ufeff{"input": "a", "output": "b"}\n', "utf16le"));
	expect((await refusedData(utf16)).found).toContain("UTF-16");
});

describe("a CSV with the wrong columns", () => {
	const file = () => write("q.csv", "frage,antwort\nWas?,Das.\nWo?,Da.\n");

	test("is told which it has, and how to name them", async () => {
		const { code, found, hint } = await refusedData(file());
		expect({ code, found }).toEqual({ code: "CSV_COLUMNS", found: "columns frage, antwort" });
		expect(hint).toBe("name them: --columns input=frage,output=antwort");
	});

	test("named wrongly", async () => {
		const refused = await refusedData(file(), "--columns", "input=question,output=antwort");
		expect(refused).toMatchObject({ code: "CSV_COLUMNS", found: "columns frage, antwort" });
		expect(refused.message).toContain('"question"');
	});
});

test("characters that the model's tokenizer lacks", async () => {
	const { found } = await refusedData(dialoguesFile([...rows, { input: "你好", output: "Good day." }]));
	expect(found).toContain('The character "你"');
});

test("nothing is left to train on when everything is too long", async () => {
	const file = dialoguesFile([{ input: "x", output: "y".repeat(100) }]);
	const { code, exitCode } = await refusedData(file, "--max-loss-of-rows", "1");
	expect({ code, exitCode }).toEqual({ code: "NOTHING_TO_TRAIN_ON", exitCode: 1 });
});

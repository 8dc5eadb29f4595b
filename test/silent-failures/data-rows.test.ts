// Silent failures of rows, from the field: rows that vanish, answers that lose their end, sides that share rows.
import { describe, expect, test } from "vitest";
import { type DialogueOptions, prepareDialogues } from "../../src/data/index.ts";
import { jsonLinesOf, textFile } from "../../src/data/testing/text.ts";
import { chatTemplateFor } from "../../src/tokenizer/chat-template.ts";
import { gpt2Tokenizer } from "../../src/tokenizer/testing/gpt2.ts";

const { template, tokenizer } = chatTemplateFor(gpt2Tokenizer());
const prepare = (rows: readonly unknown[], options: Partial<DialogueOptions> = {}) =>
	prepareDialogues({ files: [textFile(jsonLinesOf(rows))], template, maxLength: 64, seed: 1, ...options });
const digits = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
const spelled = (n: number) => [...String(n)].map((digit) => digits[Number(digit)]).join(" ");
/** No two of them are near-duplicates. */
const good = Array.from({ length: 99 }, (_, i) => ({
	input: `${spelled(i * 31)}?`,
	output: `it is ${spelled(i * 977)}`,
}));

describe("truncation cuts the end of the answer and its end token (LlamaFactory #3995)", () => {
	const rows = [20, 60, 200, 800].map((words) => ({
		messages: [0, 1, 2].flatMap((i) => [
			{ role: "user", content: `question ${i} ${"why ".repeat(words / 20)}` },
			{ role: "assistant", content: `answer ${i} ${"because ".repeat(words / 10)}` },
		]),
	}));

	test.each(["split", "truncate-left", "drop"] as const)(
		"with %s every answer that is trained on is whole",
		async (overflow) => {
			const { store, report } = await prepare(rows, { overflow, maxLossOfRows: 1 });
			expect(store.count).toBeGreaterThan(0);
			for (let i = 0; i < store.count; i++) {
				const { ids, supervised } = store.get(i);
				expect(ids.length).toBeLessThanOrEqual(64);
				// A run of supervised positions ends with the end token, always.
				for (let t = 0; t < supervised.length; t++) {
					if (supervised[t] === 1 && supervised[t + 1] !== 1) expect(ids[t + 1]).toBe(tokenizer.endOfTextId);
				}
			}
			expect(report.ledger.lostTokens).toBeGreaterThan(0);
		},
	);

	test("losing answers to the maximum length stops the run by default", async () => {
		await expect(prepare(rows)).rejects.toMatchObject({
			code: "TOO_MANY_ROWS_LOST",
			hint: expect.stringContaining("--max-length"),
		});
	});
});

describe("rows vanish (LlamaFactory #6185, #4055, #9600)", () => {
	const bad = [
		{ input: "no answer" },
		{ input: "empty", output: "" },
		{ messages: [{ role: "narrator", content: "Once" }] },
		{ messages: [{ role: "user", content: "only me" }] },
		{ foo: "bar" },
		[1, 2],
	];

	test("one row in a hundred is reported with its line, two stop the run", async () => {
		const { report, store } = await prepare([...good, bad[0]]);
		expect(store.count).toBe(99);
		expect(report.ledger).toMatchObject({
			rows: 100,
			problems: [{ code: "no-output", rows: 1, places: [{ line: 100 }] }],
		});
		await expect(prepare([...good, bad[0], bad[1]])).rejects.toMatchObject({
			code: "TOO_MANY_ROWS_LOST",
			found: expect.stringMatching(/:100.*:101/s),
		});
	});

	test("rows read are rows accounted for, whatever is wrong with them", async () => {
		const { report } = await prepare([...good, ...bad, { input: "long", output: "x ".repeat(200) }], {
			maxLossOfRows: 1,
		});
		const counted = Object.values(report.ledger.outcomes).reduce((a, b) => a + b, 0);
		expect(counted).toBe(99 + bad.length + 1);
		expect(report.ledger.problems.reduce((sum, { rows }) => sum + rows, 0)).toBe(bad.length + 1);
		expect(report.ledger.examples).toBe(99);
	});

	test("a broken line is one row, with line and column, and the next line is read", async () => {
		const file = textFile(
			'{"input": "a", "output": "b"}\n{"input": "a", output: "b"}\n{"input": "c", "output": "d"}\n',
		);
		const { store, report } = await prepareDialogues({
			files: [file],
			template,
			maxLength: 64,
			seed: 1,
			maxLossOfRows: 0.5,
		});
		expect(store.count).toBe(2);
		expect(report.ledger.problems).toMatchObject([{ code: "broken-json", places: [{ file, line: 2, column: 16 }] }]);
	});

	test("a field that is not used is named", async () => {
		const { report } = await prepare(good.map((row) => ({ ...row, tools: "[{}]" })));
		expect(report.ledger.unusedFields).toEqual({ tools: 99 });
	});

	test("turns that nobody answers are taken off and counted", async () => {
		const messages = [
			{ role: "user", content: "q" },
			{ role: "assistant", content: "a" },
			{ role: "user", content: "thanks" },
		];
		const { report } = await prepare([...good, { messages }]);
		expect(report.ledger).toMatchObject({
			outcomes: { kept: 99, trimmed: 1 },
			problems: [{ code: "ends-without-answer", places: [{ line: 100 }] }],
		});
	});
});

describe("training and validation share rows", () => {
	const side = (data: Awaited<ReturnType<typeof prepare>>, indices: Uint32Array) =>
		[...indices].map((index) => tokenizer.decode(data.store.get(index).ids).toLowerCase());

	test("a validation file's copies of training rows, near ones too, are left out and named", async () => {
		const validation = [
			good[3],
			{ ...good[10], output: `${good[10]?.output}!` },
			{ input: "something else entirely", output: "of course it is" },
		];
		const data = await prepare(good, { validation: { files: [textFile(jsonLinesOf(validation))] } });
		expect(side(data, data.validation)).toEqual([expect.stringContaining("something else")]);
		expect(data.report.leaks).toMatchObject({
			rows: 2,
			places: [
				{ line: 1, repeats: { line: 4 } },
				{ line: 2, repeats: { line: 11 } },
			],
		});
	});

	test("a fraction that is held out has no copy in training, and neither has the third part, for search", async () => {
		const rows = good.flatMap(({ input, output }) => [
			{ input, output },
			{ input: input.toUpperCase(), output },
		]);
		const data = await prepare(rows, { validation: { fraction: 0.2 }, test: { fraction: 0.2 } });
		const [train, validation, testing] = [data.train, data.validation, data.test].map(
			(indices) => new Set(side(data, indices)),
		);
		expect(validation?.size).toBeGreaterThan(0);
		expect(testing?.size).toBeGreaterThan(0);
		for (const text of validation ?? []) expect(train?.has(text)).toBe(false);
		for (const text of testing ?? []) expect(train?.has(text) || validation?.has(text)).toBe(false);
	});
});

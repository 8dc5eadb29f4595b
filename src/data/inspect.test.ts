import { expect, test } from "vitest";
import { inspectData, percentiles } from "./inspect.ts";
import { byteTemplate as template, byteTokenizer as tokenizer } from "./testing/fake-template.ts";
import { jsonLinesOf, textFile } from "./testing/text.ts";

const inspect = (files: string[], options = {}) =>
	inspectData({ files, tokenizer, template, maxLength: 40, show: 3, ...options });

test("says what is in the file, what becomes of each row, and shows rows with their supervised parts", async () => {
	const messages = [
		{ role: "user", content: "a" },
		{ role: "assistant", content: "b" },
		{ role: "user", content: "bye" },
	];
	const long = { input: "q", output: "x".repeat(60) };
	const file = textFile(
		jsonLinesOf([{ input: "hi", output: "yo" }, { messages }, { input: "HI!", output: "yo" }, long, 5]),
	);
	const inspection = await inspect([file]);
	expect(inspection).toMatchObject({
		files: [{ file, format: "json-lines", title: "JSON Lines", rows: 5 }],
		conversations: 4,
		turns: { user: 4, assistant: 4, system: 0, tool: 0 },
		lengths: { conversation: { min: 6, max: 65 }, supervised: { min: 0, max: 3 } },
		ledger: { rows: 5, outcomes: { kept: 2, trimmed: 1, dropped: 2 }, lossOfRows: 0.4 },
		duplicates: { rows: 1, places: [{ line: 3, repeats: { file, line: 1 } }] },
	});
	expect(inspection.ledger.problems.map(({ code, places }) => [code, places[0]?.line])).toEqual([
		["ends-without-answer", 2],
		["too-long", 4],
		["not-an-object", 5],
	]);
	expect(inspection.shown.length).toBe(3);
	expect(inspection.shown[0]).toEqual({
		file,
		line: 1,
		outcome: "kept",
		problems: [],
		examples: [
			{
				tokens: 8,
				supervisedTokens: 3,
				segments: [
					{ text: "<user>hi<|endoftext|><bot>", supervised: false },
					{ text: "yo<|endoftext|>", supervised: true },
				],
			},
		],
	});
	expect(JSON.parse(JSON.stringify(inspection))).toEqual(inspection);
});

test("plain text is measured", async () => {
	const inspection = await inspect([textFile("一二\n三")]);
	expect(inspection).toMatchObject({ text: { documents: 1, characters: 4, tokens: 10 }, conversations: 0 });
});

test("percentiles by nearest rank", () => {
	expect(percentiles(Uint32Array.from({ length: 100 }, (_, i) => 100 - i))).toEqual({
		min: 1,
		p50: 50,
		p90: 90,
		p99: 99,
		max: 100,
		mean: 50.5,
	});
	expect(percentiles(new Uint32Array())).toEqual({ min: 0, p50: 0, p90: 0, p99: 0, max: 0, mean: 0 });
});

import { expect, test } from "vitest";
import { END, byteTemplate as template, byteTokenizer as tokenizer } from "./testing/fake-template.ts";
import { jsonLinesOf, textFile } from "./testing/text.ts";
import { prepareTexts, type TextOptions } from "./texts.ts";
import type { TokenArchive } from "./token-archive.ts";

const prepare = (options: Partial<TextOptions> & { files: string[] }) =>
	prepareTexts({ tokenizer, seed: 1, ...options });
const textOf = (tokens: TokenArchive) => tokenizer.decode(tokens.read(0, tokens.length));
const END_TEXT = "<|endoftext|>";

test("every file is a document that ends with the end-of-text token", async () => {
	const data = await prepare({ files: [textFile("One.\nTwo.\n"), textFile("三。\r\n")] });
	expect(textOf(data.train)).toBe(`One.\nTwo.\n${END_TEXT}三。\n${END_TEXT}`);
	expect(data.validation.length).toBe(0);
	expect(data.report).toMatchObject({ documents: 2, tokens: { train: data.train.length, validation: 0 } });
});

test("the text of an end token is text", async () => {
	const { train } = await prepare({ files: [textFile(`a${END_TEXT}b`)] });
	expect([...train.read(0, train.length)].filter((id) => id === END)).toEqual([END]);
});

test("the last part of each text is held out, cut at a line, nothing lost and nothing on both sides", async () => {
	for (const count of [50, 20_000]) {
		const text = Array.from({ length: count }, (_, i) => `line ${i} 行\n`).join("");
		const { train, validation } = await prepare({ files: [textFile(text)], validationFraction: 0.1 });
		const [before, after] = [textOf(train), textOf(validation)].map((part) => part.slice(0, -END_TEXT.length)) as [
			string,
			string,
		];
		expect(before + after === text).toBe(true);
		expect(before.endsWith("\n")).toBe(true);
		expect(Math.abs(after.length / text.length - 0.1)).toBeLessThan(0.03);
	}
	const single = await prepare({
		files: [textFile("no line end at all, one hundred letters or so, cut anyway")],
		validationFraction: 0.2,
	});
	expect(single.validation.length).toBeGreaterThan(5);
});

test("dialogues are rendered by the template, held out whole, and counted", async () => {
	const rows = Array.from({ length: 100 }, (_, i) => ({ input: `question ${i}`, output: `answer ${i}` }));
	const files = [textFile(jsonLinesOf([...rows, { input: "no answer" }]))];
	const { train, validation, report } = await prepare({ files, template, validationFraction: 0.2 });
	const dialogues = (text: string) => text.split("<user>").slice(1);
	const [a, b] = [dialogues(textOf(train)), dialogues(textOf(validation))];
	expect(a.length + b.length).toBe(100);
	expect(b.length).toBeGreaterThan(5);
	expect(a[0]).toMatch(/^question \d+<\|endoftext\|><bot>answer \d+<\|endoftext\|>$/);
	expect(report).toMatchObject({
		documents: 0,
		ledger: { rows: 101, problems: [{ code: "no-output", places: [{ line: 101 }] }] },
	});
	await expect(prepare({ files })).rejects.toMatchObject({ code: "NO_CHAT_TEMPLATE" });
	await expect(prepare({ files, template, maxLossOfRows: 0 })).rejects.toMatchObject({ code: "TOO_MANY_ROWS_LOST" });
});

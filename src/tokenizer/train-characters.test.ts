import fc from "fast-check";
import { expect, test } from "vitest";
import { tokenizerFromFiles } from "./tokenizer.ts";
import { trainCharacters } from "./train-characters.ts";

const tokenizer = trainCharacters(["hello\n", "世界 🙂"], { specialTokens: ["<bot>"] });

test("one token for each character, after the special ones, by code point", () => {
	expect(tokenizer.size).toBe(2 + [..."\n ehlo世界🙂"].length);
	expect([tokenizer.endOfTextId, tokenizer.tokenId("<bot>"), tokenizer.tokenId("\n")]).toEqual([0, 1, 2]);
	expect(tokenizer.encode("🙂\n")).toEqual([tokenizer.size - 1, 2]);
	expect(Buffer.from(tokenizer.bytes(tokenizer.size - 1)).toString()).toBe("🙂");
});

test("text of known characters comes back, from the files too", () => {
	const again = tokenizerFromFiles(tokenizer.files());
	fc.assert(
		fc.property(fc.array(fc.constantFrom(..."\n ehlo世界🙂")), (chars) => {
			const text = chars.join("");
			expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
			expect(again.encode(text)).toEqual(tokenizer.encode(text));
		}),
	);
});

test("an unknown character is an error that names it", () => {
	expect(() => tokenizer.encode("hex")).toThrow(/"x" \(U\+0078\)/);
	expect(() => tokenizer.encode("<bot>")).toThrow(
		expect.objectContaining({ code: "TOKENIZER_UNKNOWN_CHARACTER", where: "character 1 of the text" }),
	);
});

test("no text, and a special token that is a character, are errors by name", () => {
	expect(() => trainCharacters([""])).toThrow(expect.objectContaining({ code: "TOKENIZER_NO_TEXT" }));
	expect(() => trainCharacters(["a"], { specialTokens: ["a"] })).toThrow(
		expect.objectContaining({ code: "TOKENIZER_TOKEN_TAKEN" }),
	);
});

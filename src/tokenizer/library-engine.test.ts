// Kinds of tokenizer beside GPT-2's, against Hugging Face tokenizers with `encode_special_tokens`.

import { describe, expect, test } from "vitest";
import { fixtureCases } from "./testing/fixture.ts";
import { tokenizerFromFiles } from "./tokenizer.ts";

interface Kind {
	name: string;
	json: Record<string, unknown>;
	vectors: { text: string; ids: number[]; decoded: string }[];
}

describe.each(fixtureCases<Kind>("other-kinds.json"))("$name", ({ name, json, vectors }) => {
	const config = { unk_token: name === "word_piece" ? "[UNK]" : name.includes("byte_level") ? undefined : "<unk>" };
	const files = { "tokenizer.json": JSON.stringify(json), "tokenizer_config.json": JSON.stringify(config) };
	const tokenizer = tokenizerFromFiles(files);

	test.each(vectors)("$text", ({ text, ids, decoded }) => {
		const unknownId = tokenizer.tokenId(config.unk_token ?? "");
		if (ids.some((id) => tokenizer.isSpecial(id) && id !== unknownId)) {
			// Hugging Face's Unigram finds </s> in text, as a piece like any other: there we differ.
			expect(name).toBe("unigram");
			expect(tokenizer.encode(text).some((id) => tokenizer.isSpecial(id) && id !== unknownId)).toBe(false);
		} else expect(tokenizer.encode(text)).toEqual(ids);
		expect(tokenizer.decode(ids)).toBe(decoded);
	});

	test("streams the text it decodes", () => {
		for (const { ids, decoded } of vectors) {
			const stream = tokenizer.stream();
			expect(ids.map((id) => stream.push(id)).join("") + stream.flush()).toBe(decoded);
		}
	});

	test("takes added tokens, and saves them", () => {
		const added = tokenizer.withAddedTokens(["<user>"]);
		const again = tokenizerFromFiles(added.files());
		const ids = again.encodeTrusted("<user>tide");
		expect(ids[0]).toBe(tokenizer.size);
		expect(ids.slice(1)).toEqual(tokenizer.encode("tide"));
		expect(again.decode(ids)).toContain("<user>");
		expect(again.decode(ids, { skipSpecial: true })).toBe(tokenizer.decode(tokenizer.encode("tide")));
	});

	test("bytes of plain tokens are their text", () => {
		const text = tokenizer.encode("the tide").map((id) => Buffer.from(tokenizer.bytes(id)).toString());
		expect(text.join("").trim()).toBe("the tide");
	});
});

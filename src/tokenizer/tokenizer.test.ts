import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import * as oracle from "gpt-tokenizer/esm/encoding/r50k_base";
import { describe, expect, test } from "vitest";
import { fixtureCases } from "./testing/fixture.ts";
import { gpt2Tokenizer } from "./testing/gpt2.ts";
import { smallFiles } from "./testing/small.ts";
import { anyText } from "./testing/texts.ts";
import { checkTokenizerMatches, loadTokenizer, type Tokenizer, tokenizerFromFiles } from "./tokenizer.ts";
import { wellFormed } from "./well-formed.ts";

const gpt2 = gpt2Tokenizer();

interface Vector {
	text: string;
	ids: number[];
}

describe("GPT-2", () => {
	test("has its published size and end", () => {
		expect([gpt2.size, gpt2.endOfTextId, gpt2.token(50256)]).toEqual([50257, 50256, "<|endoftext|>"]);
		expect(gpt2.tokenId("Ġhello")).toBe(23748);
		expect([gpt2.tokenId("no such token"), gpt2.token(50257), gpt2.token(-1)]).toEqual([
			undefined,
			undefined,
			undefined,
		]);
	});

	test("gives the ids of the published vectors", () => {
		const vectors = fixtureCases<Vector>("gpt2-vectors.json");
		expect(vectors).toHaveLength(47 + 18 + 1);
		for (const { text, ids } of vectors) {
			expect(gpt2.encode(text), JSON.stringify(text)).toEqual(ids);
			expect(gpt2.decode(ids)).toBe(text);
		}
	});

	test("gives the ids of Hugging Face tokenizers where special tokens are spelled and white space is rare", () => {
		for (const { text, ids } of fixtureCases<Vector>("gpt2-edges.json")) {
			expect(gpt2.encode(text), JSON.stringify(text)).toEqual(ids);
		}
	});

	test("agrees with gpt-tokenizer on any text, and decodes to the same text", () => {
		fc.assert(
			fc.property(anyText, (text) => {
				const ids = gpt2.encode(text);
				expect(gpt2.decode(ids)).toBe(wellFormed(text));
				expect(ids).not.toContain(50256);
				// JavaScript's \s, which gpt-tokenizer uses, has U+FEFF and lacks U+0085: neither is as in GPT-2.
				if (!/[\u0085\ufeff]/.test(text)) {
					expect(ids).toEqual(oracle.encode(wellFormed(text), { disallowedSpecial: new Set() }));
				}
			}),
			{ numRuns: 2000 },
		);
	});

	test("agrees with @huggingface/tokenizers, once that knows no special tokens", () => {
		const json = JSON.parse(gpt2.files()["tokenizer.json"]);
		const library = new LibraryTokenizer({ ...json, added_tokens: [] }, {});
		fc.assert(
			fc.property(anyText, (text) => {
				const clean = wellFormed(text).replace(/[\u0085\ufeff]/g, "");
				expect(gpt2.encode(clean)).toEqual(library.encode(clean).ids);
			}),
			{ numRuns: 300 },
		);
	});

	test("bytes of tokens, side by side, are the text's", () => {
		fc.assert(
			fc.property(anyText, (text) => {
				const bytes = Buffer.concat(gpt2.encode(text).map((id) => gpt2.bytes(id)));
				expect(bytes.equals(Buffer.from(text))).toBe(true);
			}),
			{ numRuns: 200 },
		);
		expect(Buffer.from(gpt2.bytes(50256)).toString()).toBe("<|endoftext|>");
	});

	test("a cache that overflows changes nothing", () => {
		const words = Array.from({ length: 70_000 }, (_, i) => ` w${i}`);
		const first = gpt2.encode(words.join(""));
		expect(gpt2.encode(words.join(""))).toEqual(first);
	});
});

describe("decoding", () => {
	test("names special tokens unless they are skipped", () => {
		const ids = [...gpt2.encode("a b"), 50256, ...gpt2.encode(" c")];
		expect(gpt2.decode(ids)).toBe("a b<|endoftext|> c");
		expect(gpt2.decode(ids, { skipSpecial: true })).toBe("a b c");
		expect(gpt2.decode(Int32Array.of(50256))).toBe("<|endoftext|>");
		expect(gpt2.decode([])).toBe("");
	});

	test("keeps spaces before punctuation and a byte order mark", () => {
		for (const text of ["a , b ' s .", "\ufeffa\ufeff", " '' "]) expect(gpt2.decode(gpt2.encode(text))).toBe(text);
	});

	test("incomplete bytes become U+FFFD", () => {
		const [first] = gpt2.encode("🦄") as [number];
		expect(gpt2.decode([first])).toBe("\ufffd");
		expect(gpt2.decode([first, 50256])).toBe("\ufffd<|endoftext|>");
	});

	test("an id that does not exist is an error by name", () => {
		for (const id of [50257, -1, 1.5, Number.NaN]) {
			expect(() => gpt2.decode([id])).toThrow(expect.objectContaining({ code: "TOKENIZER_UNKNOWN_ID" }));
			expect(() => gpt2.stream({ skipSpecial: true }).push(id)).toThrow(/no token/);
		}
	});
});

describe("streaming", () => {
	test("joined pieces equal the decoded whole, and no piece holds half a character", () => {
		fc.assert(
			fc.property(anyText, fc.boolean(), (text, skipSpecial) => {
				const ids = [...gpt2.encode(text), 50256, ...gpt2.encode("🙂天")];
				const stream = gpt2.stream({ skipSpecial });
				const pieces = ids.map((id) => stream.push(id));
				// U+FFFD of the text itself is a character like any other; there is none besides.
				const whole = gpt2.decode(ids, { skipSpecial });
				expect(pieces.join("")).toBe(whole);
				expect(stream.flush()).toBe("");
				for (const piece of pieces) expect(wellFormed(piece)).toBe(piece);
			}),
			{ numRuns: 300 },
		);
	});

	test("an emoji of four tokens appears with its last", () => {
		const stream = gpt2.stream();
		const ids = gpt2.encode("🦄");
		expect(ids.length).toBeGreaterThan(2);
		expect(ids.map((id) => stream.push(id))).toEqual([...ids.slice(1).map(() => ""), "🦄"]);
	});

	test("flush gives what was cut off, once", () => {
		const stream = gpt2.stream();
		const [first] = gpt2.encode("🦄") as [number];
		expect([stream.push(first), stream.flush(), stream.flush(), stream.push(64)]).toEqual(["", "\ufffd", "", "a"]);
	});
});

describe("added tokens", () => {
	test("come last, keep existing ones, and cannot be spelled by text", () => {
		const tokenizer = gpt2.withAddedTokens(["<user>", "<|endoftext|>", "<bot>", "<user>"]);
		expect(tokenizer.size).toBe(50259);
		expect([tokenizer.tokenId("<user>"), tokenizer.tokenId("<bot>")]).toEqual([50257, 50258]);
		expect(tokenizer.isSpecial(50258)).toBe(true);
		expect(tokenizer.encode("<bot> hi")).toEqual(gpt2.encode("<bot> hi"));
		expect(tokenizer.encodeTrusted("<bot> hi<|endoftext|>")).toEqual([50258, ...gpt2.encode(" hi"), 50256]);
		expect(tokenizer.decode([50258, 64])).toBe("<bot>a");
		expect(gpt2.size).toBe(50257);
		expect(tokenizer.withAddedTokens(["<bot>"])).toBe(tokenizer);
	});

	test("must not be ordinary tokens, which text would turn into them", () => {
		for (const token of ["Ġhello", "a", ""]) {
			expect(() => gpt2.withAddedTokens([token])).toThrow(expect.objectContaining({ code: "TOKENIZER_TOKEN_TAKEN" }));
		}
	});

	test("of the longest spelling win in trusted text, and may swallow the space beside them", () => {
		const json = JSON.parse(gpt2.files()["tokenizer.json"]);
		const base = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
		json.added_tokens.push(
			{ ...base, id: 50257, content: "<a>" },
			{ ...base, id: 50258, content: "<a><b>" },
			{ ...base, id: 50259, content: "<end>", rstrip: true },
		);
		const tokenizer = tokenizerFromFiles({ "tokenizer.json": JSON.stringify(json) });
		expect(tokenizer.encodeTrusted("<a><b><a>x")).toEqual([50258, 50257, 87]);
		expect(tokenizer.encodeTrusted("<end> \n x<end>")).toEqual([50259, 87, 50259]);
	});

	test("that are not special are matched in text", () => {
		const json = JSON.parse(gpt2.files()["tokenizer.json"]);
		json.added_tokens.push({ id: 50257, content: "  \t", special: false, normalized: false });
		const tokenizer = tokenizerFromFiles({ "tokenizer.json": JSON.stringify(json) });
		expect(tokenizer.encode("a  \tb")).toEqual([64, 50257, 65]);
		expect(tokenizer.isSpecial(50257)).toBe(false);
		expect(tokenizer.decode(tokenizer.encode("a  \tb"))).toBe("a  \tb");
	});
});

describe("files", () => {
	const layout = smallFiles();
	const base = tokenizerFromFiles(layout);
	const same = (a: Tokenizer, b: Tokenizer): void => {
		expect([b.size, b.endOfTextId, b.chatTemplate]).toEqual([a.size, a.endOfTextId, a.chatTemplate]);
		for (const text of ["Hello, 世界 🙂<bot>", " don't  stop\n"]) expect(b.encode(text)).toEqual(a.encode(text));
		for (let id = 0; id < a.size; id += 7)
			expect([b.token(id), b.isSpecial(id)]).toEqual([a.token(id), a.isSpecial(id)]);
	};

	test("load again as the same tokenizer, with added tokens and template", () => {
		const tokenizer = base.withAddedTokens(["<user>", "<bot>"]);
		same(tokenizer, tokenizerFromFiles(tokenizer.files()));
		const again = tokenizerFromFiles(tokenizer.files("{{ 1 }}"));
		expect(again.chatTemplate).toBe("{{ 1 }}");
		expect(again.files()).toEqual(tokenizer.files("{{ 1 }}"));
	});

	test("of a directory: tokenizer.json first, else vocab.json and merges.txt", async () => {
		const directory = await mkdtemp(join(tmpdir(), "attune-tokenizer-"));
		try {
			for (const [name, text] of Object.entries(layout)) await writeFile(join(directory, name), text);
			same(base, await loadTokenizer(directory));
			const tokenizer = base.withAddedTokens(["<user>"]);
			for (const [name, text] of Object.entries(tokenizer.files())) await writeFile(join(directory, name), text);
			same(tokenizer, await loadTokenizer(directory));
		} finally {
			await rm(directory, { recursive: true });
		}
		await expect(loadTokenizer(directory)).rejects.toThrow(expect.objectContaining({ code: "TOKENIZER_MISSING" }));
	});

	test("name no pad token where there was none: padding with the end token would hide it from the loss", () => {
		expect(JSON.parse(base.files()["tokenizer_config.json"])).not.toHaveProperty("pad_token");
	});

	test("take added tokens and the template from wherever a directory has them", () => {
		const config = {
			eos_token: { content: "<end>" },
			pad_token: "<pad>",
			chat_template: [
				{ name: "rag", template: "no" },
				{ name: "default", template: "yes" },
			],
			added_tokens_decoder: { [base.size]: { content: "<end>", special: true } },
		};
		const files = { ...layout, "tokenizer_config.json": JSON.stringify(config) };
		const tokenizer = tokenizerFromFiles({ ...files, "added_tokens.json": `{"<pad>": ${base.size + 1}}` });
		expect([tokenizer.endOfTextId, tokenizer.tokenId("<pad>"), tokenizer.size]).toEqual(
			[0, 1, 2].map((i) => base.size + i),
		);
		expect(tokenizer.isSpecial(base.size + 1)).toBe(true);
		expect(tokenizer.chatTemplate).toBe("yes");
		expect(tokenizer.namedTokens).toEqual({ eos_token: "<end>", pad_token: "<pad>" });
		const beside = tokenizerFromFiles({ ...layout, "chat_template.jinja": "beside" });
		expect(beside.chatTemplate).toBe("beside");
	});
});

test("a tokenizer that does not belong to the model is an error by name", () => {
	expect(checkTokenizerMatches(gpt2, 50257)).toEqual({ unusedRows: 0 });
	expect(checkTokenizerMatches(gpt2, 50304)).toEqual({ unusedRows: 47 });
	for (const size of [50256, 32000, 128_256]) {
		expect(() => checkTokenizerMatches(gpt2, size)).toThrow(expect.objectContaining({ code: "TOKENIZER_MISMATCH" }));
	}
});

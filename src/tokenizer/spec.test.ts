import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../util/errors.ts";
import { byteAlphabet } from "./byte-alphabet.ts";
import { byteLevelJson, newAddedToken, type TokenizerJson } from "./spec.ts";
import { tokenizerFromFiles } from "./tokenizer.ts";

/** A complete small tokenizer: the bytes, "he", "hell", "hello" and the end. */
function small(): TokenizerJson {
	const tokens = [...byteAlphabet, "he", "ll", "hell", "hello"];
	return byteLevelJson({
		vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
		merges: ["h e", "l l", "he ll", "hell o"],
		addedTokens: [newAddedToken("<|endoftext|>", 260)],
	});
}

const load = (json: unknown, files = {}) => tokenizerFromFiles({ "tokenizer.json": JSON.stringify(json), ...files });

test("the small tokenizer is sound", () => {
	const tokenizer = load(small());
	expect([tokenizer.size, tokenizer.endOfTextId]).toEqual([261, 260]);
	expect(tokenizer.encode("hello")).toEqual([259]);
});

test("a token that is named as the end is special, whatever its entry says", () => {
	const json = small();
	json.added_tokens = [{ ...newAddedToken("<|endoftext|>", 260), special: false }];
	const tokenizer = load(json);
	expect(tokenizer.encode("<|endoftext|>")).not.toContain(260);
	expect(tokenizer.encodeTrusted("<|endoftext|>")).toEqual([260]);
	expect(JSON.parse(tokenizer.files()["tokenizer.json"]).added_tokens[0].special).toBe(true);
});

describe("an error by name", () => {
	const code = (expected: string) => expect.objectContaining({ name: "UserError", code: expected });
	const invalid = code("TOKENIZER_INVALID");

	test("for an empty directory, or half of GPT-2's layout", () => {
		expect(() => tokenizerFromFiles({})).toThrow(code("TOKENIZER_MISSING"));
		expect(() => tokenizerFromFiles({ "vocab.json": "{}" })).toThrow(code("TOKENIZER_MISSING"));
		expect(() => tokenizerFromFiles({ "merges.txt": "" })).toThrow(/no complete tokenizer/);
	});

	test("for files that are not JSON, such as a Git LFS pointer", () => {
		const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
		expect(() => tokenizerFromFiles({ "tokenizer.json": pointer }, { where: "dir" })).toThrow(
			expect.objectContaining({ code: "TOKENIZER_JSON", where: "dir/tokenizer.json" }),
		);
		for (const text of ["null", "[]", "3"])
			expect(() => tokenizerFromFiles({ "tokenizer.json": text })).toThrow(invalid);
		expect(() => load(small(), { "tokenizer_config.json": "[]" })).toThrow(invalid);
	});

	test("for a vocabulary that is missing, empty or not of ids", () => {
		for (const model of [
			undefined,
			null,
			{},
			{ vocab: {} },
			{ vocab: [] },
			{ vocab: { a: "0" } },
			{ vocab: { a: -1 } },
		]) {
			expect(() => load({ ...small(), model })).toThrow(invalid);
		}
		expect(() => tokenizerFromFiles({ "vocab.json": "{}", "merges.txt": "a b" })).toThrow(/empty/);
	});

	test("for ids with holes, ids given twice and tokens with two ids", () => {
		const hole = small();
		(hole.model.vocab as Record<string, number>).hello = 261;
		expect(() => load(hole)).toThrow(/holes: no token has id 259/);
		const far = small();
		(far.model.vocab as Record<string, number>).hello = 4_000_000_000;
		expect(() => load(far)).toThrow(/holes/);
		const twice = small();
		(twice.model.vocab as Record<string, number>).hello = 3;
		expect(() => load(twice)).toThrow(/belongs to both/);
		const two = small();
		two.added_tokens.push(newAddedToken("hello", 261));
		expect(() => load(two)).toThrow(/two ids/);
	});

	test("for merges that name unknown tokens or are not pairs", () => {
		for (const merge of ["x y z", "hello x", "q q", "", ["h"], ["h", "e", "l"], 7, null]) {
			const json = small() as { model: { merges: unknown[] } };
			json.model.merges.push(merge);
			expect(() => load(json), JSON.stringify(merge)).toThrow(code("TOKENIZER_MERGE_UNKNOWN"));
		}
	});

	test("for a vocabulary whose merges are lost", () => {
		const json = small();
		const vocab = json.model.vocab as Record<string, number>;
		for (let i = 0; i < 1000; i++) vocab[`word${i}`] = 261 + i;
		expect(() => load(json)).toThrow(/only 4 merges/);
	});

	test("for a named token that is not in the vocabulary, and for no end at all", () => {
		expect(() => load(small(), { "tokenizer_config.json": '{"eos_token": "</s>"}' })).toThrow(/eos_token/);
		expect(() => load(small(), { "tokenizer_config.json": '{"pad_token": "<pad>"}' })).toThrow(/pad_token/);
		expect(() => load({ ...small(), added_tokens: [] })).toThrow(code("TOKENIZER_NO_END"));
	});

	test("for kinds that cannot be read", () => {
		const json = small();
		expect(() => load({ ...json, model: { ...json.model, type: "WordLevel" } })).toThrow(code("TOKENIZER_UNSUPPORTED"));
		expect(() => load({ ...json, normalizer: { type: "Nonsense" } })).toThrow(code("TOKENIZER_UNSUPPORTED"));
		const unsplit = { ...json, pre_tokenizer: { type: "Nonsense" } };
		expect(() => load(unsplit)).toThrow(code("TOKENIZER_UNSUPPORTED"));
	});

	test("for a byte without a token, when it comes", () => {
		const json = small();
		const vocab = json.model.vocab as Record<string, number>;
		const id = vocab.z as number;
		delete vocab.z;
		vocab.he2 = id;
		const tokenizer = load(json);
		expect(tokenizer.encode("hello")).toEqual([259]);
		expect(() => tokenizer.encode("zoo")).toThrow(code("TOKENIZER_UNKNOWN_BYTE"));
		json.model.unk_token = "<|endoftext|>";
		expect(() => load(json).encode("zoo")).toThrow(code("TOKENIZER_UNKNOWN_BYTE"));
		json.added_tokens.push(newAddedToken("<unk>", 261));
		json.model.unk_token = "<unk>";
		expect(load(json).encode("zhello")).toEqual([261, 259]);
	});
});

test("whatever is changed in the file, it loads or is a UserError", () => {
	const text = JSON.stringify(small());
	const junk = fc.constantFrom("null", "[]", "{}", '"x"', "-1", "1e9", "true", "", '"BPE"', "[[]]", "\ufeff");
	fc.assert(
		fc.property(fc.nat(text.length - 1), fc.nat(12), junk, (at, length, put) => {
			const files = { "tokenizer.json": text.slice(0, at) + put + text.slice(at + length) };
			try {
				tokenizerFromFiles(files).encode("hello world");
			} catch (error) {
				expect(error, String((error as Error).stack)).toBeInstanceOf(UserError);
			}
		}),
		{ numRuns: 1000 },
	);
});

test("whatever value stands in a field, it loads or is a UserError", () => {
	const values = fc.constantFrom<unknown>(
		null,
		1,
		-1,
		"x",
		true,
		[],
		{},
		[null],
		[[]],
		{ type: "x" },
		{ type: "Sequence" },
	);
	const paths = [
		["added_tokens"],
		["added_tokens", 0],
		["added_tokens", 0, "content"],
		["added_tokens", 0, "id"],
		["normalizer"],
		["pre_tokenizer"],
		["pre_tokenizer", "type"],
		["post_processor"],
		["decoder"],
		["model"],
		["model", "type"],
		["model", "vocab"],
		["model", "vocab", "a"],
		["model", "merges"],
		["model", "merges", 0],
		["model", "unk_token"],
	];
	fc.assert(
		fc.property(fc.constantFrom(...paths), values, (path, value) => {
			const json = structuredClone(small()) as unknown as Record<string | number, unknown>;
			let target = json;
			for (const key of path.slice(0, -1)) target = target[key] as typeof json;
			target[path.at(-1) as string] = value;
			try {
				load(json).encode("hello world");
			} catch (error) {
				expect(error, `${path} = ${JSON.stringify(value)}: ${(error as Error).stack}`).toBeInstanceOf(UserError);
			}
		}),
		{ numRuns: 600 },
	);
});

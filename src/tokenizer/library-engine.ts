// Kinds of tokenizer other than byte-level BPE (SentencePiece-like BPE, Unigram, WordPiece), through
// @huggingface/tokenizers. Not fast, and text need not come back the same (WordPiece lower-cases, for one).

import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { UserError } from "../util/errors.ts";
import { readBytes } from "./byte-alphabet.ts";
import type { Engine } from "./engine.ts";
import type { TokenizerConfigJson, TokenizerJson } from "./spec.ts";

/** `added` are the tokens of `json.added_tokens` together with those found elsewhere. */
export function libraryEngine(json: TokenizerJson, config: TokenizerConfigJson): Engine {
	const special = new Set(json.added_tokens.filter((token) => token.special).map((token) => token.id));
	const unknownId = json.added_tokens.find((token) => token.content === config.unk_token)?.id;
	const settings = { ...config, clean_up_tokenization_spaces: config.clean_up_tokenization_spaces ?? false };
	// One that knows no added token, so that text cannot spell them, and one that knows all, to name them.
	const encoder = open({ ...hideFromText(json, unknownId), added_tokens: [], post_processor: null }, settings);
	const decoder = open(json, settings);
	const utf8 = new TextEncoder();
	return {
		encode(text) {
			if (text === "") return [];
			const { ids } = encoder.encode(text, { add_special_tokens: false });
			for (const id of ids) {
				if (id === undefined || (special.has(id) && id !== unknownId)) {
					throw new UserError("TOKENIZER_SPECIAL_IN_TEXT", "This tokenizer turns ordinary text into a special token.", {
						where: JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text),
						found: id === undefined ? "text without a token" : `token ${id}`,
						hint: "Use a byte-level tokenizer, or remove that spelling from the text.",
					});
				}
			}
			return ids;
		},
		decode: (ids) => (ids.length === 0 ? "" : decoder.decode(ids, { skip_special_tokens: false })),
		bytes(token) {
			if (json.decoder?.type === "ByteLevel") return readBytes(token) ?? utf8.encode(token);
			const byte = /^<0x([0-9A-F]{2})>$/.exec(token);
			if (byte) return Uint8Array.of(Number.parseInt(byte[1] as string, 16));
			if (json.model.type === "WordPiece") return utf8.encode(token.startsWith("##") ? token.slice(2) : ` ${token}`);
			return utf8.encode(token.replaceAll("▁", " "));
		},
	};
}

/** A Unigram model would find special tokens in text, since they are pieces like any other: give those an unheard-of name. */
function hideFromText(json: TokenizerJson, unknownId: number | undefined): TokenizerJson {
	const { vocab } = json.model;
	if (!Array.isArray(vocab)) return json;
	const hidden = [...vocab];
	for (const { id, special } of json.added_tokens) {
		const piece = hidden[id];
		if (special && piece && id !== unknownId) hidden[id] = [`\uFFFF${id}`, piece[1]];
	}
	return { ...json, model: { ...json.model, vocab: hidden } };
}

function open(json: TokenizerJson, config: TokenizerConfigJson): LibraryTokenizer {
	try {
		return new LibraryTokenizer(json, config);
	} catch (cause) {
		throw new UserError("TOKENIZER_UNSUPPORTED", `This kind of tokenizer cannot be read: ${(cause as Error).message}`, {
			found: `model type ${json.model.type ?? "missing"}`,
			expected: "BPE (byte-level or SentencePiece-like), Unigram, WordPiece, or attune's character tokenizer",
			cause,
		});
	}
}

// A tokenizer of the characters of a text, for the smallest models: a WordLevel model without an unknown token, so that
// Hugging Face `tokenizers` refuses an unknown character as we do.

import { UserError } from "../util/errors.ts";
import type { Tokenizer } from "./contract.ts";
import { newAddedToken, type TokenizerJson } from "./spec.ts";
import { tokenizerFromJson } from "./tokenizer.ts";
import { wellFormed } from "./well-formed.ts";

const endOfText = "<|endoftext|>";

export interface TrainCharactersOptions {
	/** Special tokens, which get the first ids. `<|endoftext|>` is always the first of them. */
	specialTokens?: readonly string[];
}

/** One token for each character (code point) of the texts, in the order of their code points. */
export function trainCharacters(
	texts: Iterable<string>,
	{ specialTokens = [] }: TrainCharactersOptions = {},
): Tokenizer {
	const seen = new Set<string>();
	for (const text of texts) for (const char of wellFormed(text)) seen.add(char);
	if (seen.size === 0) throw new UserError("TOKENIZER_NO_TEXT", "There is no text to take characters from.");
	const special = [...new Set([endOfText, ...specialTokens])];
	const taken = special.find((token) => seen.has(token));
	if (taken !== undefined) {
		throw new UserError("TOKENIZER_TOKEN_TAKEN", `${JSON.stringify(taken)} cannot be a special token.`, {
			found: "a character of the text",
			hint: "Choose a longer spelling.",
		});
	}
	const chars = [...seen].sort((a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number));
	const json: TokenizerJson = {
		version: "1.0",
		truncation: null,
		padding: null,
		added_tokens: special.map((token, id) => newAddedToken(token, id)),
		normalizer: null,
		pre_tokenizer: { type: "Split", pattern: { Regex: "[\\s\\S]" }, behavior: "Isolated", invert: false },
		post_processor: null,
		decoder: { type: "Fuse" },
		model: {
			type: "WordLevel",
			vocab: Object.fromEntries([...special, ...chars].map((token, id) => [token, id])),
			unk_token: "<unk>",
		},
	};
	return tokenizerFromJson(json, { endOfText });
}

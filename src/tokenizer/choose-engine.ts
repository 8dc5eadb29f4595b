// Which engine a tokenizer.json needs: ours for byte-level BPE and for characters, the library for the other kinds.

import { UserError } from "../util/errors.ts";
import { type BpeModel, byteLevelEngine } from "./byte-level-engine.ts";
import { characterEngine } from "./character-engine.ts";
import type { Engine } from "./engine.ts";
import { libraryEngine } from "./library-engine.ts";
import { byteLevelSplitter } from "./pre-tokenizer.ts";
import { checkedMerges, type TokenizerSpec, vocabularyEntries } from "./spec.ts";

export function engineFor(spec: TokenizerSpec, { where }: { where: string }): Engine {
	const { json, config } = spec;
	if (json.model.type === "WordLevel") return characters(spec, where);
	const isBpe = json.model.type === "BPE" || (json.model.type === undefined && json.model.merges !== undefined);
	const suffixes = json.model.continuing_subword_prefix || json.model.end_of_word_suffix;
	if (isBpe && json.decoder?.type === "ByteLevel" && !suffixes) {
		const split = byteLevelSplitter(json.pre_tokenizer);
		const normalize = normalizers[json.normalizer?.type ?? "none"];
		if (split !== undefined && normalize !== undefined) {
			return byteLevelEngine(bpeModel(spec, where), { split, normalize });
		}
	}
	return libraryEngine(json, config);
}

const normalizers: Record<string, (text: string) => string> = {
	none: (text) => text,
	NFC: (text) => text.normalize("NFC"),
};

function bpeModel({ json: { model, added_tokens }, tokens, endOfTextId }: TokenizerSpec, where: string): BpeModel {
	const special = new Set(added_tokens.filter((token) => token.special).map((token) => token.content));
	const vocab = new Map(vocabularyEntries(model));
	const merges = checkedMerges(model, { vocab, where });
	if (vocab.size > 1024 && merges.length < vocab.size / 2) {
		// A vocabulary of words with hardly a merge to build them would encode everything as single bytes.
		throw new UserError(
			"TOKENIZER_INVALID",
			`The vocabulary has ${vocab.size} tokens but only ${merges.length} merges.`,
			{
				where,
				expected: "about one merge for each token that is longer than a byte",
				hint: "merges.txt, or the merges of tokenizer.json, is cut off or belongs to another tokenizer.",
			},
		);
	}
	const reachable = [...special].find((token) => token.length === 1 && vocab.has(token));
	const merged = merges.find(([left, right]) => special.has(left + right));
	if (reachable !== undefined || merged !== undefined) {
		throw new UserError("TOKENIZER_SPECIAL_IN_TEXT", "This tokenizer would turn ordinary text into a special token.", {
			where,
			found: JSON.stringify(reachable ?? merged?.join("")),
			expected: "special tokens that are neither a byte nor the result of a merge",
			hint: "Spell special tokens as text does not, such as <name>, or take the token off the special ones.",
		});
	}
	const unknownId = typeof model.unk_token === "string" ? tokens.get(model.unk_token) : undefined;
	for (const token of special) vocab.delete(token);
	return {
		vocab,
		merges,
		unknownId: unknownId === endOfTextId ? undefined : unknownId,
		ignoreMerges: model.ignore_merges === true,
	};
}

function characters({ json }: TokenizerSpec, where: string): Engine {
	const special = new Set(json.added_tokens.map((token) => token.content));
	const vocab = new Map(vocabularyEntries(json.model).filter(([token]) => !special.has(token)));
	const odd = [...vocab.keys()].find((token) => [...token].length !== 1);
	if (odd === undefined && json.pre_tokenizer?.type === "Split") return characterEngine(vocab);
	throw new UserError("TOKENIZER_UNSUPPORTED", "Tokenizers of whole words are not supported.", {
		where,
		...(odd === undefined ? {} : { found: `the token ${JSON.stringify(odd)} in a WordLevel model` }),
		expected: "BPE, Unigram, WordPiece, or a WordLevel model of single characters",
	});
}

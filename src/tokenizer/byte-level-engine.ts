// Byte-level byte-pair encoding, GPT-2's kind. Ours rather than @huggingface/tokenizers' because that one reaches
// 0.5 to 1 MB/s; it is the oracle in the tests. The speed comes from a cache of words, numeric pair ranks and a heap.

import { UserError } from "../util/errors.ts";
import { byteToChar, readBytes } from "./byte-alphabet.ts";
import type { Engine } from "./engine.ts";
import { type Merges, WordMerger } from "./merge-word.ts";
import { PairTable } from "./pair-table.ts";
import type { Splitter } from "./pre-tokenizer.ts";

export interface BpeModel {
	vocab: ReadonlyMap<string, number>;
	/** Pairs of tokens, best first. */
	merges: readonly (readonly [string, string])[];
	/** Stands for bytes without a token; without it they are an error. */
	unknownId?: number | undefined;
	/** A word that is in the vocabulary is one token, whatever the merges say (Llama 3). */
	ignoreMerges: boolean;
}

const cacheCapacity = 1 << 16;
// V8 copies slices up to this length; a longer key would keep the whole text alive that it was cut from.
const longestCachedWord = 12;

/** `normalize` comes first; `split` cuts text into words, and merges never cross them. */
export function byteLevelEngine(
	model: BpeModel,
	{ split, normalize }: { split: Splitter; normalize: (text: string) => string },
): Engine {
	const merger = new WordMerger(rankMerges(model));
	const byteIds = Int32Array.from(byteToChar, (char) => model.vocab.get(char) ?? model.unknownId ?? -1);
	const wholeWords = model.ignoreMerges ? wordsByText(model.vocab) : undefined;
	const utf8 = new TextEncoder();
	const cache = new Map<string, readonly number[]>();
	let bytes = new Uint8Array(1024);
	let symbols = new Int32Array(1024);

	/** Leaves the ids of the word in `symbols` and returns their number. */
	const encodeWord = (word: string): number => {
		const whole = wholeWords?.get(word);
		if (whole !== undefined) {
			symbols[0] = whole;
			return 1;
		}
		if (word.length * 3 > bytes.length) {
			bytes = new Uint8Array(word.length * 6);
			symbols = new Int32Array(word.length * 6);
		}
		const { written } = utf8.encodeInto(word, bytes);
		for (let i = 0; i < written; i++) {
			const id = byteIds[bytes[i] as number] as number;
			if (id === -1) throw unknownByte(bytes[i] as number, word);
			symbols[i] = id;
		}
		return merger.merge(symbols, written);
	};

	return {
		encode(text) {
			const ids: number[] = [];
			split(normalize(text), (word) => {
				const known = cache.get(word);
				if (known !== undefined) {
					for (let i = 0; i < known.length; i++) ids.push(known[i] as number);
					return;
				}
				const start = ids.length;
				const count = encodeWord(word);
				for (let i = 0; i < count; i++) ids.push(symbols[i] as number);
				if (word.length > longestCachedWord) return;
				if (cache.size >= cacheCapacity) cache.clear();
				cache.set(word, ids.slice(start));
			});
			return ids;
		},
		bytes: (token) => readBytes(token) ?? utf8.encode(token),
	};
}

function rankMerges({ vocab, merges }: BpeModel): Merges {
	const ranks = new PairTable(merges.length);
	const merged = new Int32Array(merges.length);
	merges.forEach(([left, right], rank) => {
		ranks.set(vocab.get(left) as number, vocab.get(right) as number, rank);
		merged[rank] = vocab.get(left + right) as number;
	});
	return { ranks, merged };
}

/** Text -> id of the tokens that are whole characters. */
function wordsByText(vocab: ReadonlyMap<string, number>): Map<string, number> {
	const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
	const words = new Map<string, number>();
	for (const [token, id] of vocab) {
		const bytes = readBytes(token);
		if (bytes === undefined) continue;
		try {
			words.set(decoder.decode(bytes), id);
		} catch {
			// A part of a character: no word of a text can equal it.
		}
	}
	return words;
}

function unknownByte(byte: number, word: string): UserError {
	return new UserError(
		"TOKENIZER_UNKNOWN_BYTE",
		`The tokenizer has no token for byte 0x${byte.toString(16).padStart(2, "0")}.`,
		{
			where: JSON.stringify(word.length > 40 ? `${word.slice(0, 40)}...` : word),
			expected: "a byte-level vocabulary with a token for each of the 256 bytes",
			hint: "Train the tokenizer with the whole byte alphabet, or use the tokenizer the model was published with.",
		},
	);
}

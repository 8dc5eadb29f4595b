// Training a byte-level byte-pair encoding: the same merges, in the same order, as Hugging Face `tokenizers` learns with
// BpeTrainer and a ByteLevel pre-tokenizer (Sennrich et al., 2016). Counts of pairs are kept up to date word by word,
// and the best pair comes from a heap whose stale entries are corrected when they surface.

import { UserError } from "../util/errors.ts";
import { byteAlphabet, spellBytes } from "./byte-alphabet.ts";
import type { Tokenizer } from "./contract.ts";
import { MergeQueue } from "./merge-queue.ts";
import { PairTable } from "./pair-table.ts";
import { detach, splitGpt2 } from "./pre-tokenizer.ts";
import { byteLevelJson, newAddedToken } from "./spec.ts";
import { tokenizerFromJson } from "./tokenizer.ts";
import { wellFormed } from "./well-formed.ts";

export interface TrainBpeOptions {
	/** Tokens to end up with: special tokens, 256 bytes and merges. Fewer when the texts have no more pairs to merge. */
	vocabularySize: number;
	/** Special tokens, which get the first ids. `<|endoftext|>` is always the first of them. */
	specialTokens?: readonly string[];
	/** A pair that occurs less often is not merged. Default 2. */
	minFrequency?: number;
	signal?: AbortSignal;
}

export type TrainBpeEvent =
	| { type: "texts-counted"; texts: number; distinctWords: number }
	| { type: "merges-learned"; merges: number; wanted: number }
	| { type: "tokenizer-done"; tokenizer: Tokenizer; merges: number; wanted: number };

export type Texts = Iterable<string> | AsyncIterable<string>;

const endOfText = "<|endoftext|>";
/** Texts and merges between two looks at the signal, in which the event loop runs on. */
const textsPerBreath = 1000;
const mergesPerBreath = 100;

/** Learns a tokenizer from texts, each of which is cut into words by itself. Rejects with the signal's reason. */
export async function trainBpe(texts: Texts, options: TrainBpeOptions): Promise<Tokenizer> {
	let tokenizer: Tokenizer | undefined;
	for await (const event of trainBpeEvents(texts, options)) {
		if (event.type === "tokenizer-done") tokenizer = event.tokenizer;
	}
	return tokenizer as Tokenizer;
}

/** The same, showing its progress. */
export async function* trainBpeEvents(
	texts: Texts,
	{ vocabularySize, specialTokens = [], minFrequency = 2, signal }: TrainBpeOptions,
): AsyncGenerator<TrainBpeEvent> {
	const special = [...new Set([endOfText, ...specialTokens])];
	const wanted = vocabularySize - special.length - byteAlphabet.length;
	if (!Number.isInteger(vocabularySize) || wanted < 0) {
		throw new UserError("TOKENIZER_VOCABULARY_SIZE", `A vocabulary of ${vocabularySize} tokens cannot be trained.`, {
			expected: `a whole number from ${special.length + byteAlphabet.length}: 256 bytes and ${special.length} special tokens`,
			hint: "For fewer tokens, use a character tokenizer.",
		});
	}
	const byte = special.find((token) => byteAlphabet.includes(token));
	if (byte !== undefined) {
		throw new UserError("TOKENIZER_TOKEN_TAKEN", `${JSON.stringify(byte)} cannot be a special token: it is a byte.`, {
			hint: "Spell special tokens as text does not, such as <name>.",
		});
	}
	const words = new Map<string, number>();
	let count = 0;
	for await (const text of texts) {
		splitGpt2(wellFormed(text), (word) => {
			const known = words.get(word);
			if (known === undefined) words.set(detach(word), 1);
			else words.set(word, known + 1);
		});
		if (++count % textsPerBreath === 0) await breathe(signal);
	}
	if (words.size === 0) {
		throw new UserError("TOKENIZER_NO_TEXT", "There is no text to train a tokenizer on.", {
			found: `${count} texts, all of them empty`,
		});
	}
	yield { type: "texts-counted", texts: count, distinctWords: words.size };

	const vocab = new Map<string, number>();
	for (const token of [...special, ...byteAlphabet]) vocab.set(token, vocab.size);
	const learner = new MergeLearner(words, vocab);
	words.clear();
	while (vocab.size < vocabularySize && learner.learn(minFrequency)) {
		if (learner.steps % mergesPerBreath !== 0) continue;
		await breathe(signal);
		yield { type: "merges-learned", merges: learner.steps, wanted };
	}
	const merges = learner.merges();
	const json = byteLevelJson({
		vocab: Object.fromEntries(vocab),
		merges,
		addedTokens: special.map((token, id) => newAddedToken(token, id)),
	});
	yield { type: "tokenizer-done", tokenizer: tokenizerFromJson(json, { endOfText }), merges: merges.length, wanted };
}

async function breathe(signal: AbortSignal | undefined): Promise<void> {
	await new Promise((resolve) => setImmediate(resolve));
	signal?.throwIfAborted();
}

/** The state of training: words as symbols, counts of pairs, and the queue of merges to come. */
class MergeLearner {
	/** Merges taken so far, repeated ones included. */
	steps = 0;
	readonly #vocab: Map<string, number>;
	readonly #tokens: string[];
	/** Symbols of word w: #symbols[#start[w], #start[w] + #length[w]). */
	readonly #symbols: Int32Array;
	readonly #start: Int32Array;
	readonly #length: Int32Array;
	readonly #wordCounts: Float64Array;
	/** Pair of ids -> its index in the three lists behind it. */
	readonly #pairs = new PairTable(1 << 16);
	readonly #left: number[] = [];
	readonly #right: number[] = [];
	readonly #pairCounts: number[] = [];
	/** By pair: the words in which the current merge made it. */
	#fresh = new Map<number, number[]>();
	readonly #queue = new MergeQueue();
	/** Pair -> the step that merged it last: a pair can return when two ways lead to the same token. */
	readonly #merged = new Map<number, number>();

	/** `vocab` grows with each merge. `words` are texts with their counts. */
	constructor(words: ReadonlyMap<string, number>, vocab: Map<string, number>) {
		this.#vocab = vocab;
		this.#tokens = [...vocab.keys()];
		const utf8 = new TextEncoder();
		const byteIds = Array.from({ length: 256 }, (_, byte) => vocab.get(spellBytes(Uint8Array.of(byte))) as number);
		this.#start = new Int32Array(words.size);
		this.#length = new Int32Array(words.size);
		this.#wordCounts = Float64Array.from(words.values());
		let total = 0;
		for (const word of words.keys()) total += Buffer.byteLength(word);
		this.#symbols = new Int32Array(total);
		let w = 0;
		let at = 0;
		for (const word of words.keys()) {
			const bytes = utf8.encode(word);
			this.#start[w] = at;
			this.#length[w++] = bytes.length;
			for (const byte of bytes) this.#symbols[at++] = byteIds[byte] as number;
		}
		this.#countPairs();
	}

	/** Merges the best pair, if one occurs at least `minFrequency` times. */
	learn(minFrequency: number): boolean {
		for (;;) {
			const top = this.#queue.pop();
			if (top === undefined) return false;
			const count = this.#pairCounts[top.pair] as number;
			if (top.count !== count) {
				this.#queue.push({ ...top, count });
				continue;
			}
			if (count < Math.max(1, minFrequency)) return false;
			this.#merge(top.pair, top.words);
			return true;
		}
	}

	/** The pairs in the order of their ranks. */
	merges(): [string, string][] {
		return [...this.#merged]
			.sort(([, a], [, b]) => a - b)
			.map(([pair]) => [
				this.#tokens[this.#left[pair] as number] as string,
				this.#tokens[this.#right[pair] as number] as string,
			]);
	}

	#countPairs(): void {
		for (let w = 0; w < this.#start.length; w++) {
			const start = this.#start[w] as number;
			const end = start + (this.#length[w] as number);
			for (let i = start + 1; i < end; i++) {
				this.#change(this.#symbols[i - 1] as number, this.#symbols[i] as number, { w, by: 1 });
			}
		}
		this.#enqueueFresh();
	}

	#merge(pair: number, words: readonly number[]): void {
		const left = this.#left[pair] as number;
		const right = this.#right[pair] as number;
		const token = `${this.#tokens[left]}${this.#tokens[right]}`;
		let id = this.#vocab.get(token);
		if (id === undefined) {
			id = this.#tokens.length;
			this.#tokens.push(token);
			this.#vocab.set(token, id);
		}
		this.#merged.set(pair, this.steps++);
		for (const w of words) this.#mergeInWord(w, { left, right, id });
		this.#enqueueFresh();
	}

	#mergeInWord(w: number, { left, right, id }: { left: number; right: number; id: number }): void {
		const symbols = this.#symbols;
		const start = this.#start[w] as number;
		const end = start + (this.#length[w] as number);
		let to = start;
		for (let from = start; from < end; from++) {
			if (symbols[from] !== left || from + 1 >= end || symbols[from + 1] !== right) {
				symbols[to++] = symbols[from] as number;
				continue;
			}
			if (to > start) {
				const before = symbols[to - 1] as number;
				this.#change(before, left, { w, by: -1 });
				this.#change(before, id, { w, by: 1 });
			}
			from++;
			symbols[to++] = id;
			if (from + 1 < end) {
				const after = symbols[from + 1] as number;
				this.#change(right, after, { w, by: -1 });
				this.#change(id, after, { w, by: 1 });
			}
		}
		this.#length[w] = to - start;
	}

	/** Counts a pair that word `w` gained or lost. */
	#change(left: number, right: number, { w, by }: { w: number; by: 1 | -1 }): void {
		let pair = this.#pairs.get(left, right);
		if (pair === -1) {
			pair = this.#left.length;
			this.#pairs.set(left, right, pair);
			this.#left.push(left);
			this.#right.push(right);
			this.#pairCounts.push(0);
		}
		this.#pairCounts[pair] = (this.#pairCounts[pair] as number) + by * (this.#wordCounts[w] as number);
		if (by < 0) return;
		const words = this.#fresh.get(pair);
		if (words === undefined) this.#fresh.set(pair, [w]);
		// Words come one after the other, so a word that is known already is the last.
		else if (words[words.length - 1] !== w) words.push(w);
	}

	#enqueueFresh(): void {
		for (const [pair, words] of this.#fresh) {
			const count = this.#pairCounts[pair] as number;
			if (count <= 0) continue;
			const [left, right] = [this.#left[pair] as number, this.#right[pair] as number];
			this.#queue.push({ pair, left, right, count, words });
		}
		this.#fresh = new Map();
	}
}

// Cutting text into the words that byte-pair merging works in. GPT-2's own pattern stands here; patterns that a
// tokenizer.json brings along are translated by @huggingface/tokenizers.

import { DigitsPreTokenizer, SplitPreTokenizer } from "@huggingface/tokenizers";

/** Calls `visit` with each word, in order. A word is a slice of the text: see `detach` before keeping it. */
export type Splitter = (text: string, visit: (word: string) => void) => void;

/** The part of tokenizer.json under `pre_tokenizer`. */
export interface PreTokenizerJson {
	type: string;
	[field: string]: unknown;
}

// White space by its Unicode property: JavaScript's `\s` has U+FEFF and lacks U+0085, unlike the original.
const gpt2Pattern =
	/'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** GPT-2's words: contractions, letters, numbers and signs, each with one space before it; runs of white space. */
export const splitGpt2: Splitter = (text, visit) => {
	// Every character belongs to a match, so that one ends where the next begins.
	let start = 0;
	for (;;) {
		gpt2Pattern.lastIndex = start;
		if (!gpt2Pattern.test(text)) return;
		const end = gpt2Pattern.lastIndex;
		visit(text.slice(start, end));
		start = end;
	}
};

/** A copy of a word. A slice keeps the whole text alive that it was cut from. */
export function detach(word: string): string {
	return Buffer.from(word, "utf16le").toString("utf16le");
}

/** The splitter of a byte-level tokenizer.json; undefined when it has steps that are unknown here. */
export function byteLevelSplitter(json: PreTokenizerJson | null): Splitter | undefined {
	if (json === null) return undefined;
	const steps = json.type === "Sequence" ? (json.pretokenizers as PreTokenizerJson[]) : [json];
	// The characters are bytes once ByteLevel has run, so it must come last.
	if (!Array.isArray(steps) || steps.at(-1)?.type !== "ByteLevel") return undefined;
	let splitter: Splitter | undefined;
	for (const step of steps) {
		const next = splitterOf(step);
		const before = splitter;
		if (next === undefined) return undefined;
		splitter = before === undefined ? next : (text, visit) => before(text, (word) => next(word, visit));
	}
	return splitter;
}

function splitterOf(step: PreTokenizerJson): Splitter | undefined {
	switch (step?.type) {
		case "ByteLevel": {
			const split: Splitter = step.use_regex === false ? (text, visit) => text !== "" && visit(text) : splitGpt2;
			if (step.add_prefix_space !== true) return split;
			return (text, visit) => split(text === "" || text.startsWith(" ") ? text : ` ${text}`, visit);
		}
		case "Split": {
			if (step.behavior !== "Isolated" || step.invert === true) return undefined;
			const { pattern } = new SplitPreTokenizer(step as unknown as ConstructorParameters<typeof SplitPreTokenizer>[0]);
			return pattern === null ? undefined : isolate(pattern);
		}
		case "Digits": {
			const split = new DigitsPreTokenizer(step as unknown as ConstructorParameters<typeof DigitsPreTokenizer>[0]);
			return (text, visit) => split.pre_tokenize_text(text).forEach(visit);
		}
		default:
			return undefined;
	}
}

/** Matches, and what lies between them, are words. */
function isolate(pattern: RegExp): Splitter {
	return (text, visit) => {
		let start = 0;
		for (const match of text.matchAll(pattern)) {
			if (match[0] === "") continue;
			if (match.index > start) visit(text.slice(start, match.index));
			visit(match[0]);
			start = match.index + match[0].length;
		}
		if (start < text.length) visit(text.slice(start));
	};
}

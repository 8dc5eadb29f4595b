// Cutting text into the words that byte-pair merging works in. GPT-2's own pattern stands here; patterns that a
// tokenizer.json brings along are translated by @huggingface/tokenizers.

import { DigitsPreTokenizer, SplitPreTokenizer } from "@huggingface/tokenizers";

export type Splitter = (text: string) => readonly string[];

/** The part of tokenizer.json under `pre_tokenizer`. */
export interface PreTokenizerJson {
	type: string;
	[field: string]: unknown;
}

// White space by its Unicode property: JavaScript's `\s` has U+FEFF and lacks U+0085, unlike the original.
const gpt2Pattern =
	/'(?:[stmd]|re|ve|ll)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** GPT-2's words: contractions, letters, numbers and signs, each with one space before it; runs of white space. */
export const splitGpt2: Splitter = (text) => text.match(gpt2Pattern) ?? [];

/** The splitter of a byte-level tokenizer.json; undefined when it has steps that are unknown here. */
export function byteLevelSplitter(json: PreTokenizerJson | null): Splitter | undefined {
	if (json === null) return undefined;
	const steps = json.type === "Sequence" ? (json.pretokenizers as PreTokenizerJson[]) : [json];
	// The characters are bytes once ByteLevel has run, so it must come last.
	if (!Array.isArray(steps) || steps.at(-1)?.type !== "ByteLevel") return undefined;
	const splitters: Splitter[] = [];
	for (const step of steps) {
		const splitter = splitterOf(step);
		if (splitter === undefined) return undefined;
		splitters.push(splitter);
	}
	if (splitters.length === 1) return splitters[0];
	return (text) => splitters.reduce<readonly string[]>((words, split) => words.flatMap((word) => split(word)), [text]);
}

function splitterOf(step: PreTokenizerJson): Splitter | undefined {
	switch (step.type) {
		case "ByteLevel": {
			const split: Splitter = step.use_regex === false ? (text) => (text === "" ? [] : [text]) : splitGpt2;
			if (step.add_prefix_space !== true) return split;
			return (text) => split(text === "" || text.startsWith(" ") ? text : ` ${text}`);
		}
		case "Split": {
			if (step.behavior !== "Isolated" && step.behavior !== "Removed") return undefined;
			if (step.invert === true && step.behavior !== "Removed") return undefined;
			const split = new SplitPreTokenizer(step as unknown as ConstructorParameters<typeof SplitPreTokenizer>[0]);
			return (text) => split.pre_tokenize_text(text);
		}
		case "Digits": {
			const split = new DigitsPreTokenizer(step as unknown as ConstructorParameters<typeof DigitsPreTokenizer>[0]);
			return (text) => split.pre_tokenize_text(text);
		}
		default:
			return undefined;
	}
}

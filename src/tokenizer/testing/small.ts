// A small byte-level tokenizer in GPT-2's layout, from the merges in the fixtures, for tests that load and save much.

import { byteAlphabet } from "../byte-alphabet.ts";
import type { TokenizerFiles } from "../tokenizer.ts";
import { fixtureCases } from "./fixture.ts";

/** vocab.json and merges.txt; the end token has the last id, as in GPT-2. */
export function smallFiles(): TokenizerFiles {
	const [{ merges }] = fixtureCases<{ merges: string[] }>("bpe-merges.json") as [{ merges: string[] }];
	const tokens = [...byteAlphabet, ...merges.map((merge) => merge.replace(" ", "")), "<|endoftext|>"];
	return {
		"vocab.json": JSON.stringify(Object.fromEntries(tokens.map((token, id) => [token, id]))),
		"merges.txt": `#version: 0.2\n${merges.join("\n")}\n`,
	};
}

// GPT-2's tokenizer for tests, built from the ranks in the npm package gpt-tokenizer (MIT): a token of rank r is the id
// r, and its merge is found by merging its bytes with the tokens of lower rank, which leaves exactly two.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { spellBytes } from "../byte-alphabet.ts";
import { type Tokenizer, type TokenizerFiles, tokenizerFromFiles } from "../tokenizer.ts";

let tokenizer: Tokenizer | undefined;

export function gpt2Tokenizer(): Tokenizer {
	tokenizer ??= tokenizerFromFiles(gpt2Files());
	return tokenizer;
}

/** GPT-2's vocab.json and merges.txt. */
export function gpt2Files(): TokenizerFiles {
	const module = "gpt-tokenizer/data/r50k_base.tiktoken";
	const lines = readFileSync(createRequire(import.meta.url).resolve(module), "utf8")
		.trim()
		.split("\n");
	const ranks = new Map<string, number>();
	for (const line of lines) {
		const [base64, rank] = line.split(" ") as [string, string];
		ranks.set(spellBytes(Buffer.from(base64, "base64")), Number(rank));
	}
	const merges = [...ranks]
		.sort(([, a], [, b]) => a - b)
		.filter(([token]) => token.length > 1)
		.map(([token, rank]) => partsOf(token, { ranks, below: rank }).join(" "));
	const vocab = { ...Object.fromEntries(ranks), "<|endoftext|>": 50256 };
	return { "vocab.json": JSON.stringify(vocab), "merges.txt": `#version: 0.2\n${merges.join("\n")}\n` };
}

function partsOf(token: string, { ranks, below }: { ranks: ReadonlyMap<string, number>; below: number }): string[] {
	const parts = [...token];
	for (;;) {
		let best = below;
		let at = -1;
		for (let i = 0; i + 1 < parts.length; i++) {
			const rank = ranks.get(`${parts[i]}${parts[i + 1]}`) ?? best;
			if (rank < best) {
				best = rank;
				at = i;
			}
		}
		if (at === -1) return parts;
		parts.splice(at, 2, `${parts[at]}${parts[at + 1]}`);
	}
}

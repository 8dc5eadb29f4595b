// One token for each character, for the smallest models. A character that was not in the training text is an error:
// an <unk> in its place would train on, and answer to, text that nobody wrote.

import { UserError } from "../util/errors.ts";
import type { Engine } from "./engine.ts";

export function characterEngine(vocab: ReadonlyMap<string, number>): Engine {
	const utf8 = new TextEncoder();
	return {
		encode(text) {
			const ids: number[] = [];
			let position = 0;
			for (const char of text) {
				const id = vocab.get(char);
				if (id === undefined) throw unknownCharacter(char, position);
				ids.push(id);
				position++;
			}
			return ids;
		},
		bytes: (token) => utf8.encode(token),
	};
}

function unknownCharacter(char: string, position: number): UserError {
	const codePoint = (char.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, "0");
	return new UserError(
		"TOKENIZER_UNKNOWN_CHARACTER",
		`The character ${JSON.stringify(char)} (U+${codePoint}) is not in this character tokenizer.`,
		{
			where: `character ${position + 1} of the text`,
			expected: "a character of the text the tokenizer was made from",
			hint: "Make the tokenizer from all the text, or use a byte-level one (attune tokenizer train --kind bpe).",
		},
	);
}

// The text inside files of any format, for training tokenizers.

import { type ReadOptions, readRows } from "../data/index.ts";

/** Plain text as it is, and what is said in dialogues. Rows that cannot be read are left out. */
export async function* textsOf(files: readonly string[], options: ReadOptions): AsyncGenerator<string> {
	for (const file of files) {
		for await (const row of readRows(file, options)) {
			if ("text" in row) yield row.text;
			else if ("conversation" in row) for (const { content } of row.conversation) yield content;
		}
	}
}

/** Every character of the texts, once: enough for a tokenizer of characters, however long the texts are. */
export async function charactersOf(texts: AsyncIterable<string>): Promise<string> {
	const characters = new Set<string>();
	for await (const text of texts) for (const character of text) characters.add(character);
	return [...characters].join("");
}

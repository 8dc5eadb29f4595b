// The part of a tokenizer that differs from kind to kind: ordinary text to ids and back. Special tokens, files and
// streaming are the same for all kinds and live in tokenizer.ts.

export interface Engine {
	/** Ids of text in which nothing is a special token. The text has no lone surrogates. */
	encode(text: string): number[];
	/** The bytes of an ordinary token. */
	bytes(token: string): Uint8Array;
	/** Present when text is more than the tokens' bytes side by side: the text of these ids, special ones spelled out. */
	decode?(ids: number[]): string;
}

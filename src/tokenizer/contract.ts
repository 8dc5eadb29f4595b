// What a tokenizer is to the rest of attune. The implementation is in tokenizer.ts, which also exports these types:
// import them from there. They stand alone here so that trainers and templates need not import the loader.

export interface DecodeOptions {
	/** Leave special tokens out instead of spelling their names. Default false. */
	skipSpecial?: boolean;
}

/**
 * Text to token ids and back. Immutable: `withAddedTokens` makes a new one. Ids are 0 to size - 1 without holes.
 *
 * Text from people is data: `encode` never gives the id of a special token, however the text spells it. Who wants a
 * special token asks for it by name with `tokenId`.
 */
export interface Tokenizer {
	/** Number of ids, added tokens included: the rows an embedding needs. */
	readonly size: number;
	/** The token that closes a text or a turn. */
	readonly endOfTextId: number;
	/** The Jinja chat template that was stored with the tokenizer, if one was. */
	readonly chatTemplate: string | undefined;
	/** Token texts by their part in tokenizer_config.json: `eos_token`, `bos_token`, ... Chat templates may use them. */
	readonly namedTokens: Readonly<Record<string, string>>;
	/**
	 * Ids of ordinary text, without any token put before or after. A lone surrogate is encoded as U+FFFD.
	 * Throws a UserError when the tokenizer has no token for a character (a character tokenizer, for one).
	 */
	encode(text: string): number[];
	/** The same for text that attune or a template wrote: special tokens spelled in it become their ids. Not for people's. */
	encodeTrusted(text: string): number[];
	/** Text of ids. Special tokens appear by name unless `skipSpecial`. Bytes that are not complete UTF-8 become U+FFFD. */
	decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
	/** Id of a token by its exact spelling in the vocabulary (byte-level tokens are spelled with `Ġ` for a space). */
	tokenId(token: string): number | undefined;
	/** Spelling of an id in the vocabulary; undefined when there is no such id. */
	token(id: number): string | undefined;
	isSpecial(id: number): boolean;
	/** A new tokenizer with these special tokens at the end. Those that are special tokens already keep their ids. */
	withAddedTokens(tokens: readonly string[]): Tokenizer;
	/**
	 * The bytes a token stands for: for constraints and for streaming. Concatenated over ids they are the UTF-8 of the
	 * decoded text for byte-level and character tokenizers; for other kinds they are the token's own share of it.
	 */
	bytes(id: number): Uint8Array;
	/** A decoder that is fed one id at a time and never emits half a character. */
	stream(options?: DecodeOptions): StreamDecoder;
	/** The files that Hugging Face Transformers loads unchanged. `chatTemplate` replaces the one that was loaded. */
	files(chatTemplate?: string): Record<"tokenizer.json" | "tokenizer_config.json", string>;
}

/** Text of a growing sequence. What `push` and `flush` return, joined, equals `decode` of all the ids. */
export interface StreamDecoder {
	/** The text that is now certain; empty while the bytes of a character are incomplete. */
	push(id: number): string;
	/** What was held back; incomplete bytes become U+FFFD. The decoder is then empty and may be used again. */
	flush(): string;
}

// Loading a tokenizer and using it: tokenizer.json, or GPT-2's vocab.json with merges.txt. The kinds differ in their
// engine alone; special tokens, decoding, streaming and files are here. Contract in contract.ts, parsing in spec.ts.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../util/errors.ts";
import { engineFor } from "./choose-engine.ts";
import type { DecodeOptions, StreamDecoder, Tokenizer } from "./contract.ts";
import type { Engine } from "./engine.ts";
import { libraryEngine } from "./library-engine.ts";
import {
	type AddedTokenJson,
	checkSpec,
	newAddedToken,
	parseTokenizerFiles,
	type TokenizerFiles,
	type TokenizerJson,
	type TokenizerSpec,
} from "./spec.ts";
import { wellFormed } from "./well-formed.ts";

export type { DecodeOptions, StreamDecoder, Tokenizer } from "./contract.ts";
export type { TokenizerFiles } from "./spec.ts";

const fileNames = [
	"tokenizer.json",
	"tokenizer_config.json",
	"vocab.json",
	"merges.txt",
	"added_tokens.json",
	"special_tokens_map.json",
	"chat_template.jinja",
] as const satisfies readonly (keyof TokenizerFiles)[];

/** Loads the tokenizer of a directory in Hugging Face layout. Throws a UserError when its files do not fit together. */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
	const files: TokenizerFiles = {};
	for (const name of fileNames) {
		try {
			files[name] = await readFile(join(directory, name), "utf8");
		} catch (error) {
			if (!["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
		}
	}
	return tokenizerFromFiles(files, { where: directory });
}

/** The same from the contents of the files. `where` names their place in errors. */
export function tokenizerFromFiles(files: TokenizerFiles, { where = "tokenizer" }: { where?: string } = {}): Tokenizer {
	const spec = parseTokenizerFiles(files, { where });
	return new LoadedTokenizer(spec, engineFor(spec, { where }));
}

/** A tokenizer from a tokenizer.json that was made here. */
export function tokenizerFromJson(json: TokenizerJson, { endOfText }: { endOfText: string }): Tokenizer {
	const config = { bos_token: endOfText, eos_token: endOfText };
	const spec = checkSpec(json, { config, chatTemplate: undefined, where: "tokenizer.json" });
	return new LoadedTokenizer(spec, engineFor(spec, { where: "tokenizer.json" }));
}

/**
 * Checks that a tokenizer belongs to a model with `vocabularySize` rows of embedding. Models round the rows up, so some
 * may be unused: their number is returned. Throws TOKENIZER_MISMATCH when ids would lie outside the model, or when
 * more than a twentieth of the rows would be unused, as happens when a vocabulary was not read.
 */
export function checkTokenizerMatches(tokenizer: Tokenizer, vocabularySize: number): { unusedRows: number } {
	const unusedRows = vocabularySize - tokenizer.size;
	if (unusedRows >= 0 && unusedRows <= vocabularySize / 20) return { unusedRows };
	throw new UserError(
		"TOKENIZER_MISMATCH",
		`The model has ${vocabularySize} tokens (vocab_size), the tokenizer has ${tokenizer.size}.`,
		{
			expected:
				unusedRows < 0 ? `at most ${vocabularySize} tokens` : `at least ${Math.ceil(vocabularySize * 0.95)} tokens`,
			found: `${tokenizer.size} tokens`,
			hint: "Use the tokenizer that was saved beside the model.",
		},
	);
}

class LoadedTokenizer implements Tokenizer {
	readonly size: number;
	readonly endOfTextId: number;
	readonly chatTemplate: string | undefined;
	readonly namedTokens: Readonly<Record<string, string>>;
	readonly #spec: TokenizerSpec;
	readonly #engine: Engine;
	readonly #tokens: string[] = [];
	readonly #special = new Set<number>();
	/** Added tokens that are ordinary vocabulary: text may contain them, and they are matched before anything else. */
	readonly #ordinaryAdded: RegExp | undefined;
	readonly #bytes: (Uint8Array | undefined)[] = [];
	readonly #trusted: RegExp | undefined;

	constructor(spec: TokenizerSpec, engine: Engine) {
		this.#spec = spec;
		this.#engine = engine;
		this.size = spec.tokens.size;
		this.endOfTextId = spec.endOfTextId;
		this.chatTemplate = spec.chatTemplate;
		this.namedTokens = spec.namedTokens;
		for (const [token, id] of spec.tokens) this.#tokens[id] = token;
		this.#special.add(spec.endOfTextId);
		const ordinary: string[] = [];
		const utf8 = new TextEncoder();
		for (const { id, content, special } of spec.json.added_tokens) {
			this.#bytes[id] = utf8.encode(content);
			if (special) this.#special.add(id);
			else if (id !== spec.endOfTextId) ordinary.push(content);
		}
		if (ordinary.length > 0) this.#ordinaryAdded = anyOf(ordinary.map((content) => escapeRegExp(content)));
		this.#trusted = anyOf(spec.json.added_tokens.filter(({ special }) => special).map(withStrippedSpace));
	}

	encode(text: string): number[] {
		const clean = wellFormed(text);
		if (this.#ordinaryAdded === undefined) return this.#engine.encode(clean);
		return clean.split(this.#ordinaryAdded).flatMap((part, i) => {
			return i % 2 === 1 ? [this.tokenId(part) as number] : this.#engine.encode(part);
		});
	}

	encodeTrusted(text: string): number[] {
		if (this.#trusted === undefined) return this.encode(text);
		return text.split(this.#trusted).flatMap((part, i) => {
			return i % 2 === 1 ? [this.tokenId(part) ?? (this.tokenId(part.trim()) as number)] : this.encode(part);
		});
	}

	decode(ids: ArrayLike<number>, { skipSpecial = false }: DecodeOptions = {}): string {
		const kept: number[] = [];
		for (let i = 0; i < ids.length; i++) {
			const id = this.#checkId(ids[i] as number);
			if (!skipSpecial || !this.#special.has(id)) kept.push(id);
		}
		if (this.#engine.decode) return this.#engine.decode(kept);
		const parts = kept.map((id) => this.bytes(id));
		const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
		let offset = 0;
		for (const part of parts) {
			bytes.set(part, offset);
			offset += part.length;
		}
		return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
	}

	tokenId(token: string): number | undefined {
		return this.#spec.tokens.get(token);
	}

	token(id: number): string | undefined {
		return this.#tokens[id];
	}

	isSpecial(id: number): boolean {
		return this.#special.has(id);
	}

	withAddedTokens(tokens: readonly string[]): Tokenizer {
		const fresh = [...new Set(tokens)].filter((token) => {
			const id = this.tokenId(token);
			if (id !== undefined && this.isSpecial(id)) return false;
			if (id === undefined && token !== "") return true;
			throw new UserError("TOKENIZER_TOKEN_TAKEN", `${JSON.stringify(token)} cannot become a special token.`, {
				found: token === "" ? "an empty token" : `an ordinary token with id ${id}, which text may produce`,
				hint: "Choose a spelling that is not in the vocabulary.",
			});
		});
		if (fresh.length === 0) return this;
		const { json, config, chatTemplate } = this.#spec;
		const added = fresh.map((token, i) => newAddedToken(token, this.size + i));
		const spec = checkSpec(
			{ ...json, added_tokens: [...json.added_tokens, ...added] },
			{ config, chatTemplate, where: "tokenizer" },
		);
		return new LoadedTokenizer(spec, this.#engine.decode ? libraryEngine(spec.json, config) : this.#engine);
	}

	bytes(id: number): Uint8Array {
		let bytes = this.#bytes[id];
		if (bytes === undefined) {
			bytes = this.#engine.bytes(this.#tokens[this.#checkId(id)] as string);
			this.#bytes[id] = bytes;
		}
		return bytes;
	}

	stream({ skipSpecial = false }: DecodeOptions = {}): StreamDecoder {
		const skip = (id: number): boolean => skipSpecial && this.#special.has(this.#checkId(id));
		if (this.#engine.decode) return streamByText((ids) => this.decode(ids), skip);
		return streamByBytes((id) => this.bytes(id), skip);
	}

	files(chatTemplate = this.chatTemplate): Record<"tokenizer.json" | "tokenizer_config.json", string> {
		const { json, config, namedTokens } = this.#spec;
		const extra = [...this.#special].map((id) => this.#tokens[id] as string).sort();
		const named = new Set(Object.values(namedTokens));
		// pad_token stays as it was, and unset when it was: padding with the end token would hide that token from the loss.
		const { added_tokens_decoder: _, extra_special_tokens: __, ...kept } = config;
		const written = {
			...kept,
			tokenizer_class: "PreTrainedTokenizerFast",
			eos_token: this.#tokens[this.endOfTextId],
			additional_special_tokens: extra.filter((token) => !named.has(token)),
			clean_up_tokenization_spaces: config.clean_up_tokenization_spaces ?? false,
			...(chatTemplate === undefined ? {} : { chat_template: chatTemplate }),
		};
		return {
			"tokenizer.json": `${JSON.stringify(json, null, 1)}\n`,
			"tokenizer_config.json": `${JSON.stringify(written, null, 2)}\n`,
		};
	}

	#checkId(id: number): number {
		if (this.#tokens[id] !== undefined) return id;
		throw new UserError("TOKENIZER_UNKNOWN_ID", `The tokenizer has no token ${id}.`, {
			expected: `an id from 0 to ${this.size - 1}`,
		});
	}
}

/** Matches the first, and of those the longest, kept by `split`. Undefined when there is nothing to match. */
function anyOf(patterns: readonly string[]): RegExp | undefined {
	if (patterns.length === 0) return undefined;
	return new RegExp(`(${[...patterns].sort((a, b) => b.length - a.length).join("|")})`, "u");
}

/** Some models' special tokens swallow the white space beside them (Phi-3's `<|user|>`). */
function withStrippedSpace({ content, lstrip, rstrip }: AddedTokenJson): string {
	return `${lstrip ? "\\s*" : ""}${escapeRegExp(content)}${rstrip ? "\\s*" : ""}`;
}

function escapeRegExp(text: string): string {
	return text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
}

function streamByBytes(bytes: (id: number) => Uint8Array, skip: (id: number) => boolean): StreamDecoder {
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
	return {
		push: (id) => (skip(id) ? "" : decoder.decode(bytes(id), { stream: true })),
		flush: () => decoder.decode(),
	};
}

/** For kinds whose text depends on the neighbours: a token's text is what it adds behind the tokens emitted before it. */
function streamByText(decode: (ids: number[]) => string, skip: (id: number) => boolean): StreamDecoder {
	let ids: number[] = [];
	let emitted = 0;
	const fresh = (): string => decode(ids).slice(decode(ids.slice(0, emitted)).length);
	return {
		push(id) {
			if (skip(id)) return "";
			ids.push(id);
			const text = fresh();
			if (text === "" || text.endsWith("\uFFFD")) return "";
			ids = ids.slice(emitted);
			emitted = ids.length;
			return text;
		},
		flush() {
			const text = fresh();
			ids = [];
			emitted = 0;
			return text;
		},
	};
}

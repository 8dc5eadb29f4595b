// A tokenizer's files, parsed and checked once. What is wrong with them is an error by name: a vocabulary that is
// silently ignored makes a training run on nothing (TRL 1.13 did six such steps with loss 0).

import { UserError } from "../util/errors.ts";
import type { PreTokenizerJson } from "./pre-tokenizer.ts";

export interface AddedTokenJson {
	id: number;
	content: string;
	single_word: boolean;
	lstrip: boolean;
	rstrip: boolean;
	normalized: boolean;
	special: boolean;
}

export interface ModelJson {
	type?: string;
	vocab: Record<string, number> | [string, number][];
	merges?: (string | [string, string])[];
	unk_token?: string | null;
	[field: string]: unknown;
}

/** tokenizer.json, as Hugging Face `tokenizers` writes it. */
export interface TokenizerJson {
	version: string;
	added_tokens: AddedTokenJson[];
	normalizer: { type: string } | null;
	pre_tokenizer: PreTokenizerJson | null;
	post_processor: { type: string } | null;
	decoder: { type: string } | null;
	model: ModelJson;
	[field: string]: unknown;
}

/** tokenizer_config.json. Tokens are given as text or as an object with `content`. */
export type TokenizerConfigJson = Record<string, unknown>;

/** The contents of the files of a tokenizer directory; those that are missing are left out. */
export interface TokenizerFiles {
	"tokenizer.json"?: string;
	"tokenizer_config.json"?: string;
	"vocab.json"?: string;
	"merges.txt"?: string;
	"added_tokens.json"?: string;
	"special_tokens_map.json"?: string;
	"chat_template.jinja"?: string;
}

export interface TokenizerSpec {
	json: TokenizerJson;
	config: TokenizerConfigJson;
	/** Every token with its id, added ones included. */
	tokens: ReadonlyMap<string, number>;
	/** Text by its part: eos_token, bos_token, ... */
	namedTokens: Readonly<Record<string, string>>;
	chatTemplate: string | undefined;
	endOfTextId: number;
}

/** `where` names the directory in errors. */
export function parseTokenizerFiles(files: TokenizerFiles, { where }: { where: string }): TokenizerSpec {
	const config = {
		...parseObject(files, "special_tokens_map.json", where),
		...parseObject(files, "tokenizer_config.json", where),
	};
	const json =
		files["tokenizer.json"] === undefined
			? fromGpt2Layout(files, { config, where })
			: (parseObject(files, "tokenizer.json", where) as unknown as TokenizerJson);
	checkShape(json, where);
	json.added_tokens = addedTokens(json, { files, config, where });
	return checkSpec(json, { config, chatTemplate: chatTemplateOf(files, config), where });
}

/** Checks that the tokens are ids 0 to size - 1, each once, and that the merges are made of them. */
export function checkSpec(
	json: TokenizerJson,
	{ config, chatTemplate, where }: { config: TokenizerConfigJson; chatTemplate: string | undefined; where: string },
): TokenizerSpec {
	const tokens = new Map<string, number>(vocabularyEntries(json.model));
	for (const { id, content } of json.added_tokens) {
		const taken = tokens.get(content);
		if (taken !== undefined && taken !== id) {
			throw mismatch(`The token ${JSON.stringify(content)} has two ids: ${taken} and ${id}.`, where);
		}
		tokens.set(content, id);
	}
	checkIds(tokens, where);
	const namedTokens = namedTokensOf(config);
	for (const [name, token] of Object.entries(namedTokens)) {
		if (tokens.has(token)) continue;
		throw mismatch(`tokenizer_config.json names ${JSON.stringify(token)} as ${name}; the vocabulary lacks it.`, where);
	}
	const endOfText = endOfTextToken(tokens, { namedTokens, where });
	return {
		json,
		config,
		tokens,
		namedTokens: { ...namedTokens, eos_token: endOfText },
		chatTemplate,
		endOfTextId: tokens.get(endOfText) as number,
	};
}

/** Token and id of the model's own vocabulary, without added tokens. */
export function vocabularyEntries(model: ModelJson): [string, number][] {
	return Array.isArray(model.vocab)
		? model.vocab.map(([token], id): [string, number] => [token, id])
		: Object.entries(model.vocab);
}

/** The merges as pairs, each of which is made of tokens and gives a token. */
export function checkedMerges(
	{ merges = [] }: ModelJson,
	{ vocab, where }: { vocab: ReadonlyMap<string, number>; where: string },
): [string, string][] {
	return merges.map((merge, rank) => {
		const [left, right, ...rest]: unknown[] =
			typeof merge === "string" ? merge.split(" ") : Array.isArray(merge) ? merge : [];
		const isPair = typeof left === "string" && typeof right === "string" && rest.length === 0;
		const unknown = isPair ? [left, right, left + right].find((token) => !vocab.has(token)) : undefined;
		if (!isPair || unknown !== undefined) {
			throw new UserError("TOKENIZER_MERGE_UNKNOWN", `Merge ${rank + 1} is not made of tokens of the vocabulary.`, {
				where,
				found: `${JSON.stringify(merge)}${unknown === undefined ? "" : `; ${JSON.stringify(unknown)} is no token`}`,
				expected: "two tokens that together are a token",
				hint: "Vocabulary and merges must come from the same tokenizer.",
			});
		}
		return [left, right];
	});
}

export function newAddedToken(content: string, id: number): AddedTokenJson {
	return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

function mismatch(message: string, where: string, found?: string): UserError {
	return new UserError("TOKENIZER_INVALID", message, {
		where,
		...(found === undefined ? {} : { found }),
		expected: "a tokenizer whose files belong together, with ids from 0 to size - 1",
		hint: "Copy all tokenizer files again from the model they were published with.",
	});
}

function parseObject(files: TokenizerFiles, name: keyof TokenizerFiles, where: string): Record<string, unknown> {
	const text = files[name];
	if (text === undefined) return {};
	let value: unknown;
	try {
		value = JSON.parse(text.replace(/^\uFEFF/, ""));
	} catch (cause) {
		throw new UserError("TOKENIZER_JSON", `${name} is not JSON: ${(cause as Error).message}`, {
			where: `${where}/${name}`,
			hint: "The file may be cut off, or a Git LFS pointer in place of the file. Download it again.",
			cause,
		});
	}
	if (typeof value !== "object" || value === null || Array.isArray(value)) {
		throw mismatch(`${name} is not a JSON object.`, `${where}/${name}`);
	}
	return value as Record<string, unknown>;
}

/** vocab.json and merges.txt as the tokenizer.json that means the same. */
function fromGpt2Layout(
	files: TokenizerFiles,
	{ config, where }: { config: TokenizerConfigJson; where: string },
): TokenizerJson {
	const mergesText = files["merges.txt"];
	if (files["vocab.json"] === undefined || mergesText === undefined) {
		const found = Object.keys(files).filter((name) => files[name as keyof TokenizerFiles] !== undefined);
		throw new UserError("TOKENIZER_MISSING", "There is no complete tokenizer here.", {
			where,
			expected: "tokenizer.json, or vocab.json together with merges.txt",
			found: found.join(", ") || "none of these files",
			hint: "Copy the tokenizer files of the base model into this directory.",
		});
	}
	const lines = mergesText.split(/\r?\n/).filter((line) => line !== "" && !line.startsWith("#version"));
	const addPrefixSpace = config.add_prefix_space === true;
	return byteLevelJson({
		vocab: parseObject(files, "vocab.json", where) as Record<string, number>,
		merges: lines,
		addedTokens: [],
		addPrefixSpace,
	});
}

/** The tokenizer.json of a byte-level BPE of GPT-2's kind. */
export function byteLevelJson({
	vocab,
	merges,
	addedTokens,
	addPrefixSpace = false,
}: {
	vocab: Record<string, number>;
	merges: (string | [string, string])[];
	addedTokens: AddedTokenJson[];
	addPrefixSpace?: boolean;
}): TokenizerJson {
	return {
		version: "1.0",
		truncation: null,
		padding: null,
		added_tokens: addedTokens,
		normalizer: null,
		pre_tokenizer: { type: "ByteLevel", add_prefix_space: addPrefixSpace, trim_offsets: true, use_regex: true },
		post_processor: null,
		decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true } as { type: string },
		model: {
			type: "BPE",
			dropout: null,
			unk_token: null,
			continuing_subword_prefix: null,
			end_of_word_suffix: null,
			fuse_unk: false,
			byte_fallback: false,
			ignore_merges: false,
			vocab,
			merges,
		},
	};
}

function checkShape(json: TokenizerJson, where: string): void {
	const vocab = json.model?.vocab;
	if (typeof vocab !== "object" || vocab === null) {
		throw mismatch("tokenizer.json has no model with a vocabulary.", where, `model: ${describe(json.model)}`);
	}
	if (Array.isArray(vocab) && !vocab.every(Array.isArray)) {
		throw mismatch("The vocabulary is a list, but not of pieces with their scores.", where, describe(vocab));
	}
	const entries = vocabularyEntries(json.model);
	if (entries.length === 0) throw mismatch("The vocabulary is empty.", where);
	const bad = entries.find(([token, id]) => typeof token !== "string" || !Number.isInteger(id) || id < 0);
	if (bad) throw mismatch("The vocabulary has an entry that is not a token with its id.", where, describe(bad));
	const merges = json.model.merges;
	if (merges !== undefined && !Array.isArray(merges)) throw mismatch("The merges are not a list.", where);
	if (json.added_tokens !== undefined && !Array.isArray(json.added_tokens)) {
		throw mismatch("added_tokens is not a list.", where);
	}
	for (const token of json.added_tokens ?? []) {
		if (typeof token?.content !== "string" || token.content === "" || !Number.isInteger(token.id)) {
			throw mismatch("added_tokens has an entry without content and id.", where, describe(token));
		}
	}
	json.added_tokens ??= [];
	json.normalizer ??= null;
	json.pre_tokenizer ??= null;
	json.post_processor ??= null;
	json.decoder ??= null;
}

function describe(value: unknown): string {
	const text = JSON.stringify(value) ?? "nothing";
	return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

/** Added tokens wherever they are told: tokenizer.json, tokenizer_config.json, added_tokens.json and the named ones. */
function addedTokens(
	json: TokenizerJson,
	{ files, config, where }: { files: TokenizerFiles; config: TokenizerConfigJson; where: string },
): AddedTokenJson[] {
	const added = new Map(json.added_tokens.map((token) => [token.content, token]));
	const named = new Set(Object.values(namedTokensOf(config)));
	const decoder = (config.added_tokens_decoder ?? {}) as Record<string, Partial<AddedTokenJson>>;
	for (const [id, token] of Object.entries(decoder)) {
		if (typeof token?.content !== "string" || added.has(token.content)) continue;
		added.set(token.content, { ...newAddedToken(token.content, Number(id)), ...token, id: Number(id) });
	}
	for (const [content, id] of Object.entries(parseObject(files, "added_tokens.json", where))) {
		if (added.has(content) || typeof id !== "number") continue;
		added.set(content, { ...newAddedToken(content, id), special: named.has(content) });
	}
	// GPT-2's layout has <|endoftext|> in the vocabulary alone: being named is what makes it special.
	const vocab = new Map(vocabularyEntries(json.model));
	if (namedTokensOf(config).eos_token === undefined) {
		const end = endOfTextNames.find((name) => vocab.has(name) || added.has(name));
		if (end !== undefined) named.add(end);
	}
	for (const content of named) {
		const id = vocab.get(content);
		if (id !== undefined && !added.has(content)) added.set(content, newAddedToken(content, id));
	}
	return [...added.values()]
		.map((token) => (named.has(token.content) ? { ...token, special: true } : token))
		.sort((a, b) => a.id - b.id);
}

const tokenParts = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

function namedTokensOf(config: TokenizerConfigJson): Record<string, string> {
	const named: Record<string, string> = {};
	for (const part of tokenParts) {
		const value = config[part];
		const content = typeof value === "object" && value !== null ? (value as { content?: unknown }).content : value;
		if (typeof content === "string" && content !== "") named[part] = content;
	}
	return named;
}

const endOfTextNames = ["<|endoftext|>", "</s>", "<eos>", "<|end_of_text|>", "[SEP]"];

function endOfTextToken(
	tokens: ReadonlyMap<string, number>,
	{ namedTokens, where }: { namedTokens: Record<string, string>; where: string },
): string {
	const token = namedTokens.eos_token ?? endOfTextNames.find((candidate) => tokens.has(candidate));
	if (token !== undefined) return token;
	throw new UserError("TOKENIZER_NO_END", "The tokenizer has no token that ends a text.", {
		where,
		expected: `eos_token in tokenizer_config.json, or one of ${endOfTextNames.join(", ")} in the vocabulary`,
		hint: 'Add "eos_token" to tokenizer_config.json.',
	});
}

function checkIds(tokens: ReadonlyMap<string, number>, where: string): void {
	const byId: (string | undefined)[] = [];
	for (const [token, id] of tokens) {
		const other = byId[id];
		if (other !== undefined) {
			throw mismatch(`Id ${id} belongs to both ${JSON.stringify(other)} and ${JSON.stringify(token)}.`, where);
		}
		if (id >= tokens.size * 2 + 1024) throw mismatch(`The ids have holes: ${tokens.size} tokens, an id ${id}.`, where);
		byId[id] = token;
	}
	if (byId.length === tokens.size) return;
	let hole = 0;
	while (byId[hole] !== undefined) hole++;
	throw mismatch(`The ids have holes: no token has id ${hole}, the last id is ${byId.length - 1}.`, where);
}

/** chat_template is a text, or a list of named ones of which "default" counts; newer files have it beside the rest. */
function chatTemplateOf(files: TokenizerFiles, config: TokenizerConfigJson): string | undefined {
	if (files["chat_template.jinja"] !== undefined) return files["chat_template.jinja"];
	const value = config.chat_template;
	if (typeof value === "string") return value;
	if (!Array.isArray(value)) return undefined;
	const found = value.find((entry) => entry?.name === "default")?.template;
	return typeof found === "string" ? found : undefined;
}

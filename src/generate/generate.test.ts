// The loop over tokens with a decoder that says what it is told to, and a tokenizer whose tokens are single bytes: every
// character beyond ASCII, and every stop string, is split.

import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainBpe } from "../tokenizer/train-bpe.ts";
import { UserError } from "../util/errors.ts";
import { type GenerateEvent, type GenerateOptions, generateText } from "./generate.ts";

let bytes: Tokenizer;
beforeAll(async () => {
	bytes = await trainBpe(["a"], { vocabularySize: 257 });
});

const prompt = [5, 6, 7];

/** Says `script` and then its last token for ever; `flat` leaves every token equally likely instead. */
class ScriptedDecoder {
	readonly fed: number[][] = [];
	readonly context: number;
	readonly #script: readonly number[];
	readonly #flat: boolean;
	#said = 0;

	constructor(script: readonly number[], { context = 1000, flat = false } = {}) {
		this.#script = script;
		this.context = context;
		this.#flat = flat;
	}

	continueFrom(ids: readonly number[], options?: { signal?: AbortSignal }): Promise<Float32Array> {
		return this.feed(ids, options);
	}

	async feed(ids: readonly number[], { signal }: { signal?: AbortSignal } = {}): Promise<Float32Array> {
		signal?.throwIfAborted();
		this.fed.push([...ids]);
		if (this.fed.flat().length > this.context) throw new UserError("CONTEXT_FULL", "too long");
		const logits = new Float32Array(bytes.size);
		if (!this.#flat) logits[this.#script[Math.min(this.#said, this.#script.length - 1)] as number] = 50;
		this.#said++;
		return logits;
	}
}

type Given = Partial<GenerateOptions> & { decoder?: ScriptedDecoder; tokenizer?: Pick<Tokenizer, "stream"> };

/** Events of a generation whose script is this text and the end token. */
async function generated(text: string, { decoder, tokenizer = bytes, ...options }: Given = {}) {
	const events: GenerateEvent[] = [];
	const script = decoder ?? new ScriptedDecoder([...bytes.encode(text), bytes.endOfTextId]);
	const defaults = { ids: prompt, maxTokens: 500, stopIds: [bytes.endOfTextId], temperature: 0, seed: 0 };
	for await (const event of generateText(script, { tokenizer }, { ...defaults, ...options })) events.push(event);
	const pieces = events.flatMap((event) => (event.type === "text-generated" ? [event.text] : []));
	const done = events.at(-1);
	if (done?.type !== "generation-done") throw new Error("the last event must be generation-done");
	expect(pieces.join("")).toBe(done.text);
	expect(pieces).not.toContain("");
	return { ...done, pieces };
}

describe("streaming", () => {
	test("a character is said when its last byte is there, and never in halves", async () => {
		const { pieces, finishReason, tokens } = await generated("é中😀a");
		expect(pieces).toEqual(["é", "中", "😀", "a"]);
		expect({ finishReason, tokens }).toEqual({ finishReason: "stop", tokens: 2 + 3 + 4 + 1 });
	});

	test("an end inside a character gives one replacement character", async () => {
		expect(await generated("a😀", { maxTokens: 3 })).toMatchObject({ text: "a\ufffd", finishReason: "length" });
	});

	test("a stop token ends the text, is not part of it and is not counted", async () => {
		expect(await generated("")).toMatchObject({ text: "", pieces: [], tokens: 0, finishReason: "stop" });
	});

	test("special tokens that are not stop tokens leave no text", async () => {
		const [a, b] = bytes.encode("ab") as [number, number];
		const decoder = new ScriptedDecoder([a, bytes.endOfTextId, b]);
		expect(await generated("", { decoder, stopIds: [], maxTokens: 3 })).toMatchObject({ text: "ab", tokens: 3 });
	});
});

describe("stop strings", () => {
	test.each([
		["Hello.\nUser: what", ["\nUser:"], "Hello."],
		["a, b", [","], "a"],
		["STOP", ["STOP"], ""],
		["ab", ["abc", "b"], "a"],
		["aab done", ["ab"], "a"],
		["早上好。用户：在吗", ["用户："], "早上好。"],
	])("%j until %j is %j", async (said, stop, text) => {
		expect(await generated(said, { stop })).toMatchObject({ text, finishReason: "stop" });
	});

	test("what may be the beginning of one is held back, and said when it was not", async () => {
		const { pieces, text } = await generated("x<e<end", { stop: ["<end>"] });
		expect(pieces).toEqual(["x", "<e", "<end"]);
		expect(text).toBe("x<e<end");
	});

	test("one that comes out only at the end is found, too", async () => {
		const tokenizer = { stream: () => ({ push: () => "", flush: () => "yes STOP no" }) };
		expect(await generated("z", { tokenizer, stop: ["STOP"] })).toMatchObject({ text: "yes ", finishReason: "stop" });
	});

	test("any text, any stop strings: the text ends before the first that is complete, and nothing is taken back", async () => {
		const words = fc.array(fc.constantFrom("a", "b", "ab", "中", "😀", "é", " "), { maxLength: 14 });
		const stops = fc.array(
			fc.array(fc.constantFrom("a", "b", "中", "😀"), { minLength: 1, maxLength: 4 }).map((parts) => parts.join("")),
			{ maxLength: 3 },
		);
		await fc.assert(
			fc.asyncProperty(words, stops, fc.integer({ min: 1, max: 30 }), async (parts, stop, maxTokens) => {
				const said = parts.join("");
				const { text, finishReason, pieces } = await generated(said, { stop, maxTokens });
				// The slow twin decodes everything anew after each byte.
				const all = Buffer.from(said).subarray(0, maxTokens);
				let expected = all.toString("utf8");
				for (let length = 0; length <= all.length; length++) {
					const begun = all.subarray(0, length).toString("utf8");
					const ends = stop.map((word) => begun.indexOf(word)).filter((index) => index >= 0);
					if (ends.length === 0) continue;
					expected = begun.slice(0, Math.min(...ends));
					expect(finishReason).toBe("stop");
					break;
				}
				expect(text).toBe(expected);
				for (const piece of pieces) expect(piece).toBe(Buffer.from(piece).toString("utf8"));
			}),
		);
	});
});

describe("length", () => {
	test.each([1, 2, 7])("at most %i tokens, and no step more is computed", async (maxTokens) => {
		const decoder = new ScriptedDecoder(bytes.encode("abcdefghij"));
		const { text, tokens, finishReason } = await generated("", { decoder, maxTokens });
		expect({ text, tokens, finishReason }).toEqual({
			text: "abcdefghij".slice(0, maxTokens),
			tokens: maxTokens,
			finishReason: "length",
		});
		expect(decoder.fed).toHaveLength(maxTokens);
	});

	test("the context ends the text before it overflows", async () => {
		const decoder = new ScriptedDecoder(bytes.encode("abcdefghij"), { context: 8 });
		expect(await generated("", { decoder })).toMatchObject({ text: "abcde", finishReason: "length" });
		expect(decoder.fed.flat().length).toBeLessThanOrEqual(8);
	});

	test("a prompt that fills the context leaves no room; one beyond it is an error by name", async () => {
		const decoder = () => new ScriptedDecoder([0], { context: prompt.length });
		expect(await generated("", { decoder: decoder() })).toMatchObject({ text: "", tokens: 0, finishReason: "length" });
		const longer = generated("", { decoder: decoder(), ids: [...prompt, 8] });
		await expect(longer).rejects.toMatchObject({ code: "CONTEXT_FULL" });
	});
});

describe("randomness", () => {
	const sampled = (seed: number) =>
		generated("", { decoder: new ScriptedDecoder([], { flat: true }), temperature: 1, seed, maxTokens: 40 });

	test("the same seed gives the same text, another seed another", async () => {
		const [one, again, other] = [await sampled(1), await sampled(1), await sampled(2)];
		expect(one).toEqual(again);
		expect(one.text).not.toBe(other.text);
	});

	test("the repetition penalty sees the prompt and what was said", async () => {
		// Every token is as likely as any other: the penalty takes those that were not there before, from the first.
		const [a, b, c] = [0, 1, 2];
		const decoder = new ScriptedDecoder([a], { flat: true });
		const raised = {
			context: decoder.context,
			continueFrom: (ids: readonly number[]) => raised.feed(ids),
			feed: async (ids: readonly number[]) => (await decoder.feed(ids)).fill(1),
		};
		const said: string[] = [];
		const options = { ids: [a], maxTokens: 2, stopIds: [], temperature: 0, seed: 0, repetitionPenalty: 2 };
		for await (const event of generateText(raised, { tokenizer: bytes }, options)) {
			if (event.type === "text-generated") said.push(event.text);
		}
		expect(said.join("")).toBe(bytes.decode([b as number, c as number]));
	});
});

test("an abort ends the text where it is, and an error that is none stays an error", async () => {
	const controller = new AbortController();
	const decoder = new ScriptedDecoder(bytes.encode("abcdefghij"));
	const feed = decoder.feed.bind(decoder);
	decoder.feed = async (ids, options) => {
		if (decoder.fed.length === 3) controller.abort();
		return feed(ids, options);
	};
	const { text, finishReason } = await generated("", { decoder, signal: controller.signal });
	expect({ text, finishReason }).toEqual({ text: "abc", finishReason: "aborted" });
	decoder.feed = async () => {
		throw new Error("broken");
	};
	await expect(generated("", { decoder })).rejects.toThrow("broken");
});

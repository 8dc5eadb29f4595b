// Text generation: the loop over tokens, streamed as text. Stop strings are held back until it is certain that they are
// not beginning, so what was streamed never has to be taken back.

import type { Model } from "../models/model.ts";
import { Rng } from "../util/rng.ts";
import type { Decoder } from "./decoder.ts";
import { type SamplingOptions, sampleToken } from "./sample-token.ts";

export interface GenerateOptions extends SamplingOptions {
	/** The prompt; at least one id. */
	ids: readonly number[];
	maxTokens: number;
	/** Ids that end the text; they are not part of it. */
	stopIds: readonly number[];
	/** Texts that end the text; they are not part of it. */
	stop?: readonly string[];
	seed: number;
	signal?: AbortSignal;
}

export type FinishReason = "stop" | "length" | "aborted";

export type GenerateEvent =
	| { type: "text-generated"; text: string }
	| { type: "generation-done"; finishReason: FinishReason; tokens: number; text: string };

/** Continues the prompt. The texts of the events, joined, are the text of the last event. */
export async function* generateText(
	decoder: Pick<Decoder, "context" | "continueFrom" | "feed">,
	{ tokenizer }: { tokenizer: Pick<Model["tokenizer"], "stream"> },
	options: GenerateOptions,
): AsyncGenerator<GenerateEvent> {
	const { ids, maxTokens, stopIds, stop = [], seed, signal } = options;
	const rng = new Rng([seed, "generate"]);
	const stream = tokenizer.stream({ skipSpecial: true });
	const generated: number[] = [];
	let text = "";
	let held = "";
	let finishReason: FinishReason = "length";
	let cut = false;
	const room = Math.min(maxTokens, decoder.context - ids.length);
	try {
		let logits = await decoder.continueFrom(ids, signal ? { signal } : {});
		while (generated.length < room) {
			const id = sampleToken(logits, { ...options, history: [...ids, ...generated], rng });
			if (stopIds.includes(id)) {
				finishReason = "stop";
				break;
			}
			generated.push(id);
			held += stream.push(id);
			const end = earliest(held, stop);
			if (end >= 0) {
				held = held.slice(0, end);
				cut = true;
				finishReason = "stop";
				break;
			}
			const certain = held.length - beginning(held, stop);
			if (certain > 0) {
				yield { type: "text-generated", text: held.slice(0, certain) };
				text += held.slice(0, certain);
				held = held.slice(certain);
			}
			if (generated.length < room) logits = await decoder.feed([id], signal ? { signal } : {});
		}
	} catch (error) {
		if (!signal?.aborted) throw error;
		finishReason = "aborted";
	}
	if (!cut) {
		held += stream.flush();
		const end = earliest(held, stop);
		if (end >= 0) {
			held = held.slice(0, end);
			finishReason = "stop";
		}
	}
	if (held.length > 0) yield { type: "text-generated", text: held };
	yield { type: "generation-done", finishReason, tokens: generated.length, text: text + held };
}

/** Where the first of the stop strings begins; -1 when none is there. */
function earliest(text: string, stop: readonly string[]): number {
	const found = stop.map((word) => text.indexOf(word)).filter((index) => index >= 0);
	return found.length > 0 ? Math.min(...found) : -1;
}

/** Length of the end of the text that may be the beginning of a stop string. */
function beginning(text: string, stop: readonly string[]): number {
	let longest = 0;
	for (const word of stop) {
		for (let length = Math.min(word.length - 1, text.length); length > longest; length--) {
			if (text.endsWith(word.slice(0, length))) longest = length;
		}
	}
	return longest;
}

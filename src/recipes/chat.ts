// A conversation with a model: remembers the turns, streams the answers, forgets the oldest exchanges when the context
// is full, and says so.

import type { Decoder } from "../generate/decoder.ts";
import { generateText } from "../generate/generate.ts";
import type { Model } from "../models/model.ts";
import type { Turn } from "../tokenizer/turn.ts";
import { UserError } from "../util/errors.ts";
import { decoderFor } from "./decoder-for.ts";
import { loadReferencedModel } from "./model-reference.ts";
import { chatOptions } from "./options/jobs.ts";
import type { ChatSession, RecipeContext } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";
import type { OptionsInput, OptionsOf } from "./options/table.ts";
import { samplingOf } from "./sampling.ts";

/** Loads the model and opens a conversation. Dispose of it when done. */
export async function chat(
	options: OptionsInput<typeof chatOptions>,
	{ origins, signal }: RecipeContext = {},
): Promise<ChatSession> {
	const { values } = resolveOptions(chatOptions, { options, origins });
	const model = await loadReferencedModel(values.directory, signal ? { signal } : {});
	const decoder = await decoderFor(model, values);
	return new Conversation(model, decoder, values);
}

/** Room that an answer needs at the least, in tokens. */
const leastRoom = 32;

class Conversation implements ChatSession {
	readonly #model: Model;
	readonly #decoder: Decoder;
	readonly #values: OptionsOf<typeof chatOptions>;
	readonly #turns: Turn[] = [];
	#system: string | undefined;
	#prefix: string | undefined;
	#asked = 0;

	constructor(model: Model, decoder: Decoder, values: OptionsOf<typeof chatOptions>) {
		this.#model = model;
		this.#decoder = decoder;
		this.#values = values;
		this.#system = values.system;
		this.#prefix = values.prefix;
	}

	async *ask(
		text: string,
		{ signal, onNotice }: { signal: AbortSignal; onNotice?: (notice: string) => void },
	): AsyncGenerator<string> {
		const question: Turn = { role: "user", content: withPrefix(this.#prefix, text) };
		const { ids, forgotten } = this.#prompt(question);
		if (forgotten > 0) {
			this.#turns.splice(0, forgotten);
			onNotice?.(
				`The conversation no longer fits into the model's context: its first ${forgotten} turns are forgotten.`,
			);
		}
		const { sampling, seed, maxTokens, stop } = samplingOf(this.#values);
		let answer = "";
		const events = generateText(this.#decoder, this.#model, {
			...sampling,
			ids,
			maxTokens,
			stop,
			stopIds: this.#model.template.stopIds,
			seed: seed + this.#asked++,
			signal,
		});
		try {
			for await (const event of events) {
				if (event.type === "generation-done") continue;
				answer += event.text;
				yield event.text;
			}
		} finally {
			// Also when the caller stops listening: what was heard was said.
			if (answer !== "" || signal.aborted) this.#turns.push(question, { role: "assistant", content: answer });
		}
		if (answer === "" && !signal.aborted) this.#turns.push(question, { role: "assistant", content: answer });
	}

	reset(): void {
		this.#turns.length = 0;
	}

	setSystem(text: string | undefined): void {
		this.#system = text;
	}

	setPrefix(text: string | undefined): void {
		this.#prefix = text;
	}

	transcript(): readonly Turn[] {
		return [...this.#systemTurn(), ...this.#turns];
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#decoder.dispose();
	}

	#systemTurn(): Turn[] {
		return this.#system === undefined ? [] : [{ role: "system", content: this.#system }];
	}

	/** The prompt, without as many of the oldest turns as it takes to leave room for an answer. */
	#prompt(question: Turn): { ids: readonly number[]; forgotten: number } {
		const room = Math.min(leastRoom, this.#values.maxTokens, Math.floor(this.#decoder.context / 4));
		for (let forgotten = 0; ; forgotten += 2) {
			const turns = [...this.#systemTurn(), ...this.#turns.slice(forgotten), question];
			const { ids } = this.#model.template.render(turns, { addGenerationPrompt: true });
			if (ids.length + room <= this.#decoder.context) return { ids, forgotten };
			if (forgotten >= this.#turns.length) {
				throw new UserError("CONTEXT_FULL", "The question is too long for the model's context.", {
					expected: `at most ${this.#decoder.context - room} tokens with the system text`,
					found: `${ids.length} tokens`,
					hint: "Ask something shorter.",
				});
			}
		}
	}
}

/** A space between the two, unless the prefix ends with one or in a script that has none. */
function withPrefix(prefix: string | undefined, text: string): string {
	if (prefix === undefined) return text;
	return /[\s\p{Script=Han}，。：；！？、]$/u.test(prefix) ? `${prefix}${text}` : `${prefix} ${text}`;
}

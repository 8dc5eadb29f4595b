// From a conversation to training examples: ids, and which positions are supervised.
// Labels come from the spans that the chat template recorded while rendering, never from a search in the text.
//
//   ids         <user> Hi  <eot> <bot> Hello  !  <eot>
//   position t     0    1    2     3     4    5    6
//   target         Hi  <eot> <bot> Hello !  <eot>        position t predicts ids[t + 1]
//   supervised     0    0    0     1     1    1          the first and the last token of an answer, its end, included
import type { ChatTemplate, RenderedConversation } from "../tokenizer/chat-template.ts";
import type { Turn } from "../tokenizer/turn.ts";

export interface Example {
	/** [T + 1] */
	ids: Int32Array;
	/** [T], 1 where position t is trained to predict ids[t + 1]. At least one is set; the last one always is. */
	supervised: Uint8Array;
}

/**
 * What to do with a conversation longer than the maximum length. An answer is always kept whole, with its end token, or
 * not at all; system turns at the start are always kept.
 * - "split": several examples of whole exchanges. Each answer is supervised in exactly one of them. An example that starts
 *   later in the conversation repeats the exchanges before it, unsupervised, as far as they fill a quarter of the length.
 * - "truncate-left": one example, of as many of the last exchanges as fit. The answers before them are lost.
 * - "drop": none.
 * An exchange is a user's turn and what follows up to the user's next. One that alone is too long is lost.
 */
export type Overflow = "split" | "truncate-left" | "drop";

export interface EncodeOptions {
	template: ChatTemplate;
	/** Greatest number of ids in an example, at least 2. */
	maxLength: number;
	/** Default "split". */
	overflow?: Overflow;
}

export interface EncodedConversation {
	examples: Example[];
	/** "whole" also when nothing in it can be supervised; `examples` is then empty. */
	outcome: "whole" | "split" | "truncated" | "dropped";
	/** Length of the whole conversation in ids, without what follows the last answer. */
	length: number;
	/** Supervised tokens of the whole conversation that are in no example. */
	lostTokens: number;
}

/** The examples of a conversation. Whatever the template throws is passed on. */
export function encodeConversation(turns: readonly Turn[], options: EncodeOptions): EncodedConversation {
	const { template, maxLength, overflow = "split" } = options;
	const rendered = template.render(turns);
	const whole = exampleOf(rendered, { turns, from: 0 });
	if (whole === undefined) return { examples: [], outcome: "whole", length: rendered.ids.length, lostTokens: 0 };
	const length = whole.ids.length;
	if (length <= maxLength) return { examples: [whole], outcome: "whole", length, lostTokens: 0 };

	const cutter = new Cutter(turns, rendered, { template, maxLength });
	const examples = overflow === "split" ? cutter.split() : overflow === "truncate-left" ? cutter.tail() : [];
	const lostTokens = supervisedTokens(whole) - examples.reduce((sum, example) => sum + supervisedTokens(example), 0);
	const outcome = examples.length === 0 ? "dropped" : overflow === "split" && lostTokens === 0 ? "split" : "truncated";
	return { examples, outcome, length, lostTokens };
}

export function supervisedTokens(example: Example): number {
	let count = 0;
	for (const flag of example.supervised) count += flag;
	return count;
}

/**
 * The example of a rendered conversation in which the assistant's turns from `from` on are supervised, cut behind its last
 * supervised token (nothing after it can be learned from). Undefined when there is none.
 */
function exampleOf(
	rendered: RenderedConversation,
	options: { turns: readonly Turn[]; from: number },
): Example | undefined {
	const spans = rendered.spans.filter(
		({ turn, start, end }) => options.turns[turn]?.role === "assistant" && turn >= options.from && end > start,
	);
	const length = spans.reduce((end, span) => Math.max(end, span.end), 0);
	if (length < 2) return undefined;
	const supervised = new Uint8Array(length - 1);
	for (const { start, end } of spans) supervised.fill(1, Math.max(0, start - 1), end - 1);
	return { ids: Int32Array.from(rendered.ids.slice(0, length)), supervised };
}

/** Cuts one conversation, which is too long, along its exchanges. */
class Cutter {
	readonly #turns: readonly Turn[];
	readonly #options: { template: ChatTemplate; maxLength: number };
	/** Number of system turns at the start. */
	readonly #head: number;
	/** Turn at which each exchange starts, and the end of the last. */
	readonly #starts: number[];
	/** Ids up to the end of each exchange in the whole conversation: an estimate of what they take elsewhere. */
	readonly #ends: number[];

	constructor(
		turns: readonly Turn[],
		rendered: RenderedConversation,
		options: { template: ChatTemplate; maxLength: number },
	) {
		this.#turns = turns;
		this.#options = options;
		const first = turns.findIndex((turn) => turn.role !== "system");
		this.#head = first;
		this.#starts = [first];
		for (let i = first + 1; i < turns.length; i++) {
			if (turns[i]?.role === "user" && turns[i - 1]?.role !== "user") this.#starts.push(i);
		}
		this.#starts.push(turns.length);
		this.#ends = [];
		let next = 0;
		for (let exchange = 0; exchange < this.#count; exchange++) {
			let end = this.#ends.at(-1) ?? 0;
			for (; (rendered.spans[next]?.turn ?? Infinity) < (this.#starts[exchange + 1] as number); next++) {
				end = rendered.spans[next]?.end ?? end;
			}
			this.#ends.push(end);
		}
	}

	get #count(): number {
		return this.#starts.length - 1;
	}

	/** Examples that supervise each exchange once; exchanges that do not fit alone are left out. */
	split(): Example[] {
		const { maxLength } = this.#options;
		const examples: Example[] = [];
		let from = 0;
		while (from < this.#count) {
			let context = from;
			while (context > 0 && this.#estimate(context - 1, from) <= maxLength / 4) context--;
			let to = from + 1;
			while (to < this.#count && this.#estimate(context, to + 1) <= maxLength) to++;
			let example = this.#piece({ context, from, to });
			// The estimate leaves out the system turns, and merges may differ: make the piece smaller until it fits.
			while (example === "too-long" && (to > from + 1 || context < from)) {
				if (to > from + 1) to--;
				else context++;
				example = this.#piece({ context, from, to });
			}
			if (typeof example === "object") examples.push(example);
			from = to;
		}
		return examples;
	}

	/** One example of the longest tail that fits, or none. */
	tail(): Example[] {
		let from = this.#count - 1;
		while (from > 0 && this.#estimate(from - 1, this.#count) <= this.#options.maxLength) from--;
		for (; from < this.#count; from++) {
			const example = this.#piece({ context: from, from, to: this.#count });
			if (typeof example === "object") return [example];
		}
		return [];
	}

	#estimate(from: number, to: number): number {
		return (this.#ends[to - 1] as number) - (from === 0 ? 0 : (this.#ends[from - 1] as number));
	}

	/** System turns and the exchanges from `context` to before `to`, supervised from exchange `from` on. */
	#piece({ context, from, to }: Record<"context" | "from" | "to", number>): Example | "too-long" | undefined {
		const start = this.#starts[context] as number;
		const turns = [...this.#turns.slice(0, this.#head), ...this.#turns.slice(start, this.#starts[to])];
		const firstSupervised = this.#head + (this.#starts[from] as number) - start;
		const example = exampleOf(this.#options.template.render(turns), { turns, from: firstSupervised });
		return example !== undefined && example.ids.length > this.#options.maxLength ? "too-long" : example;
	}
}

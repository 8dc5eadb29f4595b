import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Turn } from "../tokenizer/turn.ts";
import { type Example, encodeConversation, supervisedTokens } from "./example.ts";
import { segmentsOf } from "./inspect.ts";
import { byteTemplate as template, byteTokenizer as tokenizer } from "./testing/fake-template.ts";

const END = "<|endoftext|>";
const turn = (role: Turn["role"], content: string): Turn => ({ role, content });
const marked = (example: Example) =>
	segmentsOf(example, tokenizer)
		.map(({ text, supervised }) => (supervised ? `[${text}]` : text))
		.join("");

test("position t is supervised when ids[t + 1] belongs to an answer: its first token and its end token included", () => {
	const { examples } = encodeConversation([turn("user", "ab"), turn("assistant", "xy")], { template, maxLength: 99 });
	// <user> a b <end> <bot> x y <end>
	expect([...(examples[0]?.ids ?? [])]).toEqual([258, 97, 98, 256, 259, 120, 121, 256]);
	expect([...(examples[0]?.supervised ?? [])]).toEqual([0, 0, 0, 0, 1, 1, 1]);
});

test("all answers of a conversation are supervised, nothing else is, and what follows the last is left out", () => {
	const turns = [
		turn("system", "s"),
		turn("user", "q1"),
		turn("assistant", "a1"),
		turn("tool", "t"),
		turn("assistant", "a2"),
		turn("user", "bye"),
	];
	const { examples } = encodeConversation(turns, { template, maxLength: 99 });
	expect(examples.map(marked)).toEqual([`<system>s${END}<user>q1${END}<bot>[a1${END}]<tool>t${END}<bot>[a2${END}]`]);
});

describe("a conversation that is too long", () => {
	// Each exchange takes 12 ids, the system turn 3.
	const exchange = (n: number) => [turn("user", `que${n}`), turn("assistant", `ans${n}`)];
	const conversation = [turn("system", "s"), ...[0, 1, 2, 3, 4].flatMap(exchange)];

	test("is split into whole exchanges, each answer supervised once, the system turn always there", () => {
		const { examples, outcome, lostTokens } = encodeConversation(conversation, { template, maxLength: 30 });
		expect({ outcome, lostTokens }).toEqual({ outcome: "split", lostTokens: 0 });
		const piece = (...n: number[]) =>
			`<system>s${END}${n.map((i) => `<user>que${i}${END}<bot>[ans${i}${END}]`).join("")}`;
		expect(examples.map(marked)).toEqual([piece(0, 1), piece(2, 3), piece(4)]);
	});

	test("repeats earlier exchanges as context, unsupervised, up to a quarter of the length", () => {
		const { examples } = encodeConversation(conversation, { template, maxLength: 50 });
		expect(examples.map(marked)[1]).toBe(
			`<system>s${END}<user>que2${END}<bot>ans2${END}<user>que3${END}<bot>[ans3${END}]<user>que4${END}<bot>[ans4${END}]`,
		);
	});

	test("keeps its end with truncate-left, and says how many tokens are lost", () => {
		const encoded = encodeConversation(conversation, { template, maxLength: 30, overflow: "truncate-left" });
		expect(encoded).toMatchObject({ outcome: "truncated", lostTokens: 3 * 5 });
		expect(encoded.examples.map(marked)).toEqual([
			`<system>s${END}<user>que3${END}<bot>[ans3${END}]<user>que4${END}<bot>[ans4${END}]`,
		]);
	});

	test("is dropped with drop, or when not even one exchange fits", () => {
		const dropped = { examples: [], outcome: "dropped", lostTokens: 25 };
		expect(encodeConversation(conversation, { template, maxLength: 30, overflow: "drop" })).toMatchObject(dropped);
		for (const overflow of ["split", "truncate-left"] as const) {
			expect(encodeConversation(conversation, { template, maxLength: 14, overflow })).toMatchObject(dropped);
		}
	});

	test("loses only the exchange that alone is too long", () => {
		const long = [...exchange(0), turn("user", "q"), turn("assistant", "x".repeat(40)), ...exchange(2)];
		const { examples, outcome, lostTokens } = encodeConversation(long, { template, maxLength: 30 });
		expect({ outcome, lostTokens }).toEqual({ outcome: "truncated", lostTokens: 41 });
		expect(examples.map(marked).join("")).toContain(`[ans2${END}]`);
	});
});

const turns = fc
	.array(
		fc.record({
			role: fc.constantFrom("user", "assistant", "tool", "system") as fc.Arbitrary<Turn["role"]>,
			content: fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }),
		}),
		{ minLength: 1, maxLength: 14 },
	)
	.filter((list) => list.some(({ role }) => role === "assistant"));

test("supervised tokens read back are the assistant's texts with their end tokens, exactly; split loses none twice", () => {
	fc.assert(
		fc.property(turns, fc.integer({ min: 20, max: 200 }), (conversation, maxLength) => {
			const answers = conversation.filter(({ role }) => role === "assistant").map(({ content }) => `${content}${END}`);
			const whole = encodeConversation(conversation, { template, maxLength: 10_000 });
			const read = (example: Example) =>
				segmentsOf(example, tokenizer).flatMap(({ text, supervised }) => (supervised ? [text] : []));
			expect(whole.examples.flatMap(read)).toEqual(answers);

			const split = encodeConversation(conversation, { template, maxLength });
			const kept = split.examples.reduce((sum, example) => sum + supervisedTokens(example), 0);
			expect(kept + split.lostTokens).toBe(supervisedTokens(whole.examples[0] as Example));
			for (const example of split.examples) {
				expect(example.ids.length).toBeLessThanOrEqual(maxLength);
				expect(example.supervised.at(-1)).toBe(1);
			}
			// What is supervised in the pieces, in order, is a subsequence of the answers, each whole.
			let at = 0;
			for (const text of split.examples.flatMap(read)) {
				at = answers.indexOf(text, at) + 1;
				expect(at).toBeGreaterThan(0);
			}
		}),
		{ numRuns: 300, seed: 1 },
	);
});

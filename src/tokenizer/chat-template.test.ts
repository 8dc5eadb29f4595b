import { Template } from "@huggingface/jinja";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chatTemplateFor, defaultJinja, type RenderedConversation, type Turn } from "./chat-template.ts";
import { fixtureCases, fixtureText } from "./testing/fixture.ts";
import { gpt2Tokenizer } from "./testing/gpt2.ts";
import { smallFiles } from "./testing/small.ts";
import { anyText } from "./testing/texts.ts";
import { type Tokenizer, tokenizerFromFiles } from "./tokenizer.ts";
import { trainCharacters } from "./train-characters.ts";
import { wellFormed } from "./well-formed.ts";

const gpt2 = gpt2Tokenizer();
const small = tokenizerFromFiles(smallFiles());

interface Case {
	style?: string;
	messages: Turn[];
	addGenerationPrompt: boolean;
	text: string;
	ids: number[];
}

const turn = fc.record({ role: fc.constantFrom("system", "user", "assistant", "tool"), content: anyText });
const conversation = fc.array(turn, { maxLength: 8 }) as fc.Arbitrary<Turn[]>;

function supervised(tokenizer: Tokenizer, { ids, spans }: RenderedConversation): string[] {
	return spans.map(({ start, end }) => tokenizer.decode(ids.slice(start, end)));
}

describe("attune's own template", () => {
	const { tokenizer, template } = chatTemplateFor(gpt2);

	test("adds its role tokens and stops at the end token", () => {
		expect(template.addedTokens).toEqual(["<system>", "<user>", "<bot>", "<tool>"]);
		expect([tokenizer.size, tokenizer.tokenId("<tool>")]).toEqual([50261, 50260]);
		expect(template.stopIds).toEqual([50256]);
	});

	test("gives the text and ids of transformers' apply_chat_template", () => {
		expect(template.jinja).toBe(fixtureText("default-template.jinja"));
		for (const { messages, text, ids, ...options } of fixtureCases<Case>("default-template.json")) {
			expect(template.render(messages, options)).toMatchObject({ text, ids });
		}
	});

	test("renders as its Jinja does, supervises each assistant's text and end, and lets no text forge a token", () => {
		const jinja = new Template(template.jinja);
		fc.assert(
			fc.property(conversation, fc.boolean(), (turns, addGenerationPrompt) => {
				const rendered = template.render(turns, { addGenerationPrompt });
				expect(rendered.text).toBe(
					wellFormed(jinja.render({ messages: turns, add_generation_prompt: addGenerationPrompt })),
				);
				expect(tokenizer.decode(rendered.ids)).toBe(rendered.text);
				const said = turns.filter(({ role }) => role === "assistant").map(({ content }) => wellFormed(content));
				expect(supervised(tokenizer, rendered)).toEqual(said.map((content) => `${content}<|endoftext|>`));
				expect(rendered.spans.map((span) => span.turn)).toEqual(
					turns.flatMap(({ role }, i) => (role === "assistant" ? [i] : [])),
				);
				const special = rendered.ids.filter((id) => tokenizer.isSpecial(id));
				expect(special).toHaveLength(turns.length * 2 + (addGenerationPrompt ? 1 : 0));
			}),
			{ numRuns: 500 },
		);
	});

	test("ends where the generation prompt goes on: prompt and answer are the conversation", () => {
		fc.assert(
			fc.property(conversation, anyText, (turns, content) => {
				const prompt = template.render(turns, { addGenerationPrompt: true });
				const whole = template.render([...turns, { role: "assistant", content }]);
				expect(whole.ids).toEqual([...prompt.ids, ...tokenizer.encode(content), tokenizer.endOfTextId]);
			}),
			{ numRuns: 100 },
		);
	});

	test("is found again in a tokenizer that was saved with it", () => {
		const { tokenizer, template } = chatTemplateFor(small);
		const saved = tokenizerFromFiles(tokenizer.files(template.jinja));
		const again = chatTemplateFor(saved);
		expect(again.tokenizer.size).toBe(tokenizer.size);
		expect(again.template.addedTokens).toEqual([]);
		const turns: Turn[] = [{ role: "user", content: "<bot>hi" }];
		expect(again.template.render(turns)).toEqual(template.render(turns));
	});

	test("closes turns with the end token of the base, whatever it is called", () => {
		const files = small.withAddedTokens(["</s>'\"\\"]).files();
		const config = { eos_token: "</s>'\"\\" };
		const base = tokenizerFromFiles({ ...files, "tokenizer_config.json": JSON.stringify(config) });
		const own = chatTemplateFor(base);
		const turns: Turn[] = [{ role: "user", content: "hi" }];
		expect(own.template.render(turns).text).toBe(new Template(own.template.jinja).render({ messages: turns }));
		expect(own.template.stopIds).toEqual([small.size]);
	});

	test("works over a character tokenizer", () => {
		const own = chatTemplateFor(trainCharacters(["hello"]));
		const { ids, spans } = own.template.render([
			{ role: "user", content: "he" },
			{ role: "assistant", content: "lo" },
		]);
		expect(own.tokenizer.decode(ids)).toBe("<user>he<|endoftext|><bot>lo<|endoftext|>");
		expect(spans).toEqual([{ start: 5, end: 8, turn: 1 }]);
	});

	test("an unknown role is an error by name, here and in Jinja", () => {
		const turns = [{ role: "narrator", content: "" }] as unknown as Turn[];
		expect(() => template.render(turns)).toThrow(expect.objectContaining({ code: "CHAT_UNKNOWN_ROLE" }));
		expect(() => new Template(defaultJinja("x")).render({ messages: turns })).toThrow(/narrator/);
	});
});

interface Style {
	special: string[];
	end: string;
	jinja: string;
}

describe("a base's own template", () => {
	const styles = (JSON.parse(fixtureText("base-templates.json")) as { styles: Record<string, Style> }).styles;
	const styled = (name: string) => {
		const { special, jinja, end } = styles[name] as Style;
		return { ...chatTemplateFor(gpt2.withAddedTokens(special), jinja), end };
	};

	test.each(Object.keys(styles))("%s: gives the text and ids of transformers' apply_chat_template", (name) => {
		const { tokenizer, template, end } = styled(name);
		expect(template.addedTokens).toEqual([]);
		expect(template.stopIds[0]).toBe(tokenizer.tokenId(end));
		const cases = fixtureCases<Case>("base-templates.json").filter(({ style }) => style === name);
		expect(cases.length).toBeGreaterThan(5);
		for (const { messages, text, ids, ...options } of cases) {
			expect(template.render(messages, options)).toMatchObject({ text, ids });
		}
	});

	const talk = fc.array(fc.tuple(anyText, anyText), { minLength: 1, maxLength: 4 }).map((pairs) =>
		pairs.flatMap(([user, assistant]): Turn[] => [
			{ role: "user", content: user },
			{ role: "assistant", content: assistant },
		]),
	);

	test.each(Object.keys(styles))("%s: supervises each assistant's text and end", (name) => {
		const { tokenizer, template, end } = styled(name);
		const trims = name !== "marked-turns";
		fc.assert(
			fc.property(talk, (turns) => {
				const rendered = template.render(turns);
				const said = turns.filter(({ role }) => role === "assistant").map(({ content }) => wellFormed(content));
				expect(supervised(tokenizer, rendered)).toEqual(said.map((text) => (trims ? text.trim() : text) + end));
				expect(tokenizer.decode(rendered.ids)).toBe(rendered.text);
			}),
			{ numRuns: 200 },
		);
	});

	const refuse = (jinja: string, turns?: Turn[]) => () => {
		const { template } = chatTemplateFor(gpt2, jinja);
		return template.render(turns ?? [{ role: "user", content: 'Is it "<b>bold</b>"?' }]);
	};
	const withCode = (code: string) => expect.objectContaining({ name: "UserError", code });
	const plain = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}";

	test("that changes or looks into what is said is refused", () => {
		for (const content of [
			"m.content | upper",
			"m.content | replace('b', 'c')",
			"m.content.split('<b>')[0]",
			"(m.content if '<b>' not in m.content else '')",
			"m.content[:4]",
			"(m.content | length) ~ m.content",
			"m.content | tojson",
		]) {
			const jinja = plain.replace("m.content", content);
			expect(refuse(jinja), content).toThrow(/CHAT_TEMPLATE|template/);
			expect(refuse(jinja), content).toThrow(expect.objectContaining({ name: "UserError" }));
		}
	});

	test("that leaves a turn out, or has an assistant's twice, is refused", () => {
		const turns: Turn[] = [
			{ role: "system", content: "be brief" },
			{ role: "user", content: "hi" },
		];
		const noSystem = "{% for m in messages if m.role != 'system' %}{{ m.content }}{{ eos_token }}{% endfor %}";
		expect(refuse(noSystem, turns)).toThrow(withCode("CHAT_TEMPLATE_DROPS_TURN"));
		expect(refuse("{% for m in messages %}{{ m.content }}{{ m.content }}{{ eos_token }}{% endfor %}")).toThrow(
			/2 times/,
		);
	});

	test("that does not end the assistant's turn is refused before any conversation", () => {
		expect(() => chatTemplateFor(gpt2, "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")).toThrow(
			withCode("CHAT_TEMPLATE_NO_END"),
		);
	});

	test("that raises is an error with its message", () => {
		const jinja = `{% if messages | length > 2 %}{{ raise_exception('too long') }}{% endif %}${plain}`;
		const turns = Array.from({ length: 3 }, (): Turn => ({ role: "user", content: "x" }));
		expect(refuse(jinja, turns)).toThrow(/too long/);
	});

	test("that contains the marks is refused", () => {
		expect(() => chatTemplateFor(gpt2, `${plain}\ufdd00\ufdd1`)).toThrow(withCode("CHAT_TEMPLATE_INVALID"));
	});

	test("contents that spell the marks are text", () => {
		const { template } = chatTemplateFor(gpt2, plain);
		const turns: Turn[] = [
			{ role: "user", content: "\u2003\ufdd01\ufdd1\u2003" },
			{ role: "assistant", content: "\ufdd00\ufdd1" },
		];
		const { text, spans } = template.render(turns);
		expect(text).toBe("\u2003\ufdd01\ufdd1\u2003<|endoftext|>\ufdd00\ufdd1<|endoftext|>");
		expect(spans).toHaveLength(1);
	});
});

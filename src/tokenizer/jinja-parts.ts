// A base model's own Jinja template, rendered with a mark in place of what was said in each turn and cut at the marks.
// The marks cannot be forged: contents are not in the render, and a template that contains their characters is refused.
// White space inside each mark tells whether the template trims. A second render, of the contents themselves, must give
// the same text: a template that looks into what is said, or changes it, is refused rather than rendered differently
// from Hugging Face Transformers.

import { UserError } from "../util/errors.ts";
import { parseJinja } from "./bounded-jinja.ts";
import type { TemplatePart, TemplateParts } from "./chat-template-parts.ts";
import type { Turn } from "./turn.ts";
import { wellFormed } from "./well-formed.ts";

// Two noncharacters of Unicode, and a space that no template is indented with.
const open = "\uFDD0";
const close = "\uFDD1";
const space = "\u2003";
const mark = new RegExp(`(${space}?)${open}(\\d+)${close}(${space}?)`, "g");

/** `namedTokens`: the variables bos_token, eos_token, ... of the template. */
export function jinjaParts(jinja: string, namedTokens: Readonly<Record<string, string>>): TemplateParts {
	if ([open, close, space].some((char) => jinja.includes(char))) {
		throw new UserError("CHAT_TEMPLATE_INVALID", "The chat template contains characters that mark contents here.", {
			where: "chat_template",
			found: "U+FDD0, U+FDD1 or U+2003",
		});
	}
	const render = parseJinja(jinja);
	return (turns, { addGenerationPrompt }) => {
		const renderWith = (messages: readonly Turn[]): string =>
			render({ ...namedTokens, messages, tools: null, documents: null, add_generation_prompt: addGenerationPrompt });
		const contents = turns.map(({ content }) => wellFormed(content));
		const marked = turns.map(({ role }, i) => ({ role, content: `${space}${open}${i}${close}${space}` }));
		const parts = cut(renderWith(marked), contents);
		checkEachTurn(parts, turns);
		const text = parts.map((part) => ("content" in part ? part.content : part.literal)).join("");
		const plain = renderWith(turns.map(({ role }, i) => ({ role, content: contents[i] as string })));
		if (text !== plain) throw changesContent(text, plain);
		return parts;
	};
}

function cut(rendered: string, contents: readonly string[]): TemplatePart[] {
	const parts: TemplatePart[] = [];
	let from = 0;
	for (const match of rendered.matchAll(mark)) {
		const [whole, before, index, after] = match as unknown as [string, string, string, string];
		const turn = Number(index);
		let content = contents[turn] as string;
		if (before === "") content = content.trimStart();
		if (after === "") content = content.trimEnd();
		parts.push({ literal: rendered.slice(from, match.index) }, { content, turn });
		from = match.index + whole.length;
	}
	parts.push({ literal: rendered.slice(from) });
	return parts.filter((part) => "content" in part || part.literal !== "");
}

function checkEachTurn(parts: readonly TemplatePart[], turns: readonly Turn[]): void {
	const seen = turns.map(() => 0);
	for (const part of parts) if ("content" in part) seen[part.turn] = (seen[part.turn] as number) + 1;
	turns.forEach(({ role, content }, turn) => {
		const times = seen[turn] as number;
		if (times === 1 || (times > 1 && role !== "assistant") || (times === 0 && content === "" && role !== "assistant"))
			return;
		throw new UserError(
			"CHAT_TEMPLATE_DROPS_TURN",
			`The chat template renders turn ${turn + 1} (${role}) ${times === 0 ? "not at all" : `${times} times`}.`,
			{
				where: "chat_template",
				expected: "every turn in the text, an assistant's exactly once",
				hint: "Remove turns with this role from the conversation, or give a template that knows the role.",
			},
		);
	});
}

function changesContent(ours: string, plain: string): UserError {
	let at = 0;
	while (ours[at] === plain[at]) at++;
	const near = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 20), at + 40));
	return new UserError("CHAT_TEMPLATE_CHANGES_CONTENT", "The chat template changes, or depends on, what is said.", {
		where: `chat_template, character ${at + 1} of the text`,
		expected: near(ours),
		found: near(plain),
		hint: "Remove what the template reacts to from the conversation, or give a template that copies contents.",
	});
}

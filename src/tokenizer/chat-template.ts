// How a conversation becomes token ids, the same for training and for serving. Parts that the template writes are
// parsed for special tokens; what people wrote is encoded as plain text, so `<bot>` typed by a user is five characters.
// What is supervised is recorded while the parts are put side by side, never searched for afterwards.

import { UserError } from "../util/errors.ts";
import type { TemplatePart, TemplateParts } from "./chat-template-parts.ts";
import type { Tokenizer } from "./contract.ts";
import { jinjaParts } from "./jinja-parts.ts";
import type { Role, Turn } from "./turn.ts";
import { wellFormed } from "./well-formed.ts";

export type { Role, Turn } from "./turn.ts";

export interface RenderOptions {
	/** End with what opens an assistant's turn, for the model to go on. Default false. */
	addGenerationPrompt?: boolean;
}

export interface Span {
	/** [start, end) in ids: the text of one assistant turn and the token that ends it. */
	start: number;
	end: number;
	/** Index of the turn in the conversation. */
	turn: number;
}

export interface RenderedConversation {
	ids: number[];
	/** What is supervised: one for each assistant turn, in order. */
	spans: Span[];
	/** The same as text, special tokens by name. */
	text: string;
}

export interface ChatTemplate {
	/** What tokenizer_config.json carries. */
	readonly jinja: string;
	/** Special tokens the template needed beyond those of the base: their embedding rows are new. */
	readonly addedTokens: readonly string[];
	/** Generation of a turn ends with any of these. */
	readonly stopIds: readonly number[];
	/**
	 * Throws a UserError when the template refuses the conversation, leaves a turn out or changes what was said in
	 * another way than by trimming it.
	 */
	render(turns: readonly Turn[], options?: RenderOptions): RenderedConversation;
}

const roleTokens = {
	system: "<system>",
	user: "<user>",
	assistant: "<bot>",
	tool: "<tool>",
} as const satisfies Record<Role, string>;

/**
 * The template a base brings along (`jinja`, or the one stored with the tokenizer), else attune's own, whose role tokens
 * are then added to the tokenizer. Use the returned tokenizer with the returned template.
 */
export function chatTemplateFor(
	tokenizer: Tokenizer,
	jinja = tokenizer.chatTemplate,
): { tokenizer: Tokenizer; template: ChatTemplate } {
	const endToken = tokenizer.token(tokenizer.endOfTextId) as string;
	const own = defaultJinja(endToken);
	if (jinja === undefined || jinja === own) {
		const withRoles = tokenizer.withAddedTokens(Object.values(roleTokens));
		const addedTokens = Object.values(roleTokens).filter((token) => tokenizer.tokenId(token) === undefined);
		const stopIds = [tokenizer.endOfTextId];
		const render = renderer(withRoles, defaultParts(endToken));
		return { tokenizer: withRoles, template: { jinja: own, addedTokens, stopIds, render } };
	}
	const render = renderer(tokenizer, jinjaParts(jinja, tokenizer.namedTokens));
	const stopIds = [...new Set([endOfTurnId(render), tokenizer.endOfTextId])];
	return { tokenizer, template: { jinja, addedTokens: [], stopIds, render } };
}

/** attune's template as Jinja; `endToken` closes each turn. */
export function defaultJinja(endToken: string): string {
	const names = Object.entries(roleTokens).map(([role, token]) => `'${role}': '${token}'`);
	return [
		`{%- set opening = {${names.join(", ")}} -%}`,
		"{%- for message in messages -%}",
		"{%- if message['role'] not in opening -%}",
		"{{- raise_exception('Unknown role: ' + message['role']) -}}",
		"{%- endif -%}",
		`{{- opening[message['role']] + message['content'] + ${JSON.stringify(endToken)} -}}`,
		"{%- endfor -%}",
		`{%- if add_generation_prompt -%}{{- '${roleTokens.assistant}' -}}{%- endif -%}`,
	].join("\n");
}

function defaultParts(endToken: string): TemplateParts {
	return (turns, { addGenerationPrompt }) => {
		const parts: TemplatePart[] = [];
		turns.forEach(({ role, content }, turn) => {
			if (!Object.hasOwn(roleTokens, role)) {
				throw new UserError("CHAT_UNKNOWN_ROLE", `Turn ${turn + 1} has the unknown role ${JSON.stringify(role)}.`, {
					expected: Object.keys(roleTokens).join(", "),
				});
			}
			parts.push({ literal: roleTokens[role] }, { content, turn }, { literal: endToken });
		});
		if (addGenerationPrompt) parts.push({ literal: roleTokens.assistant });
		return parts;
	};
}

function renderer(tokenizer: Tokenizer, partsOf: TemplateParts): ChatTemplate["render"] {
	return (turns, { addGenerationPrompt = false } = {}) => {
		const ids: number[] = [];
		const spans: Span[] = [];
		let text = "";
		let open: { start: number; turn: number } | undefined;
		for (const part of partsOf(turns, { addGenerationPrompt })) {
			if ("content" in part) {
				if (open) throw notClosed(open.turn);
				if (turns[part.turn]?.role === "assistant") open = { start: ids.length, turn: part.turn };
				text += wellFormed(part.content);
				for (const id of tokenizer.encode(part.content)) ids.push(id);
				continue;
			}
			text += part.literal;
			for (const id of tokenizer.encodeTrusted(part.literal)) {
				ids.push(id);
				if (!open || !tokenizer.isSpecial(id)) continue;
				spans.push({ start: open.start, end: ids.length, turn: open.turn });
				open = undefined;
			}
		}
		if (open) throw notClosed(open.turn);
		return { ids, spans, text };
	};
}

/** The token that ends an assistant's turn, found by rendering one that is the last of its conversation. */
function endOfTurnId(render: ChatTemplate["render"]): number {
	const { ids, spans } = render([
		{ role: "user", content: "a" },
		{ role: "assistant", content: "b" },
	]);
	return ids[(spans[0] as Span).end - 1] as number;
}

function notClosed(turn: number): UserError {
	return new UserError("CHAT_TEMPLATE_NO_END", `The chat template ends turn ${turn + 1} without a special token.`, {
		where: "chat_template",
		expected: "a special token, such as the end-of-text token, behind what the assistant says",
		hint: "A model trained with this template would never learn to stop: add the end token to the template.",
	});
}

// A tokenizer of bytes and a template over it, for tests: id = byte, then the special tokens.
import type { ChatTemplate } from "../../tokenizer/chat-template.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { Role, Turn } from "../../tokenizer/turn.ts";

export const END = 256;
const roleIds: Record<Role, number> = { system: 257, user: 258, assistant: 259, tool: 260 };
const names = ["<|endoftext|>", "<system>", "<user>", "<bot>", "<tool>"];

const decode = (ids: ArrayLike<number>, options: { skipSpecial?: boolean } = {}) => {
	let text = "";
	let bytes: number[] = [];
	const flush = () => {
		text += Buffer.from(bytes).toString("utf8");
		bytes = [];
	};
	for (const id of Array.from(ids)) {
		if (id < 256) bytes.push(id);
		else {
			flush();
			if (options.skipSpecial !== true) text += names[id - 256];
		}
	}
	flush();
	return text;
};

/** The part of Tokenizer that data uses. */
export const byteTokenizer = {
	size: 261,
	endOfTextId: END,
	encode: (text: string) => [...Buffer.from(text, "utf8")],
	decode,
} as unknown as Tokenizer;

/** Each turn: its role's token, its bytes, the end token. The span of a turn is its bytes and the end token. */
export const byteTemplate = {
	render(turns: readonly Turn[]) {
		const ids: number[] = [];
		const spans: { start: number; end: number; turn: number }[] = [];
		for (const [turn, { role, content }] of turns.entries()) {
			ids.push(roleIds[role]);
			const start = ids.length;
			ids.push(...Buffer.from(content, "utf8"), END);
			spans.push({ start, end: ids.length, turn });
		}
		return { ids, spans, text: decode(ids) };
	},
} as unknown as ChatTemplate;

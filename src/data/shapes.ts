// From a record (the fields of one row) to a conversation. A shape is a way of writing a dialogue down: a pair of
// question and answer, a list of messages, ShareGPT's list of "from" and "value". It is independent of the file format.
import type { Role, Turn } from "../tokenizer/turn.ts";
import { closest } from "../util/errors.ts";
import type { Columns } from "./format.ts";
import type { ConversationRow, Place, Problem, ProblemCode, ProblemRow } from "./row.ts";

export type Fields = Readonly<Record<string, unknown>>;

/** The words that data sets use for our four roles. */
export const roleWords = {
	system: ["system", "developer"],
	user: ["user", "human", "prompter", "customer"],
	assistant: ["assistant", "gpt", "bot", "chatgpt", "model", "agent", "function_call"],
	tool: ["tool", "function", "observation", "function_response", "tool_response"],
} as const satisfies Record<Role, readonly string[]>;

export const inputFields = ["input", "prompt", "instruction", "question", "query"] as const;
export const outputFields = ["output", "completion", "response", "answer"] as const;

interface Reading {
	turns: Turn[];
	/** Fields that were read. */
	used: readonly string[];
}

interface Refusal {
	code: ProblemCode;
	message: string;
}

interface Shape {
	/** For people and error messages. */
	example: string;
	matches(fields: Fields, columns: Columns | undefined): boolean;
	read(fields: Fields, columns: Columns | undefined): Reading | Refusal;
}

/** In the order in which they are tried. */
export const shapes = {
	messages: {
		example: '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}',
		matches: (fields) => Array.isArray(fields.messages),
		read: (fields) => readList(fields, "messages"),
	},
	conversations: {
		example: '{"conversations": [{"from": "human", "value": "..."}, {"from": "gpt", "value": "..."}]}',
		matches: (fields) => Array.isArray(fields.conversations),
		read: (fields) => readList(fields, "conversations"),
	},
	pair: {
		example: '{"input": "...", "output": "..."}',
		matches: (fields, columns) =>
			columns === undefined
				? [...inputFields, ...outputFields].some((name) => name in fields)
				: columns.input in fields || columns.output in fields,
		read: readPair,
	},
} as const satisfies Record<string, Shape>;

export type ShapeName = keyof typeof shapes;

/** The row that `record` stands for. Never throws: whatever is wrong with the record becomes the row's problem. */
export function rowFromRecord(record: unknown, options: Place & { columns?: Columns }): ConversationRow | ProblemRow {
	const { file, line, columns } = options;
	const refuse = ({ code, message }: Refusal): ProblemRow => ({ file, line, problem: { code, message, line } });
	if (typeof record !== "object" || record === null || Array.isArray(record)) {
		return refuse({ code: "not-an-object", message: `the row is ${kindOf(record)}, expected an object of fields` });
	}
	const fields = record as Fields;
	// An explicit mapping says that the row is a pair.
	const shape: Shape | undefined =
		columns === undefined
			? Object.values(shapes).find((candidate: Shape) => candidate.matches(fields, undefined))
			: shapes.pair.matches(fields, columns)
				? shapes.pair
				: undefined;
	if (shape === undefined) return refuse(unknownFields(fields, columns));
	const reading = shape.read(fields, columns);
	if ("code" in reading) return refuse(reading);
	const checked = checkConversation(reading.turns, line);
	if ("code" in checked) return { file, line, problem: checked };
	const unused = Object.keys(fields).filter((name) => !reading.used.includes(name) && !isBlank(fields[name]));
	return {
		file,
		line,
		conversation: checked.turns,
		...(checked.trimmed === undefined ? {} : { trimmed: checked.trimmed }),
		...(unused.length === 0 ? {} : { unused }),
	};
}

/**
 * What every conversation must satisfy. Turns after the last answer teach nothing (nobody answers them), so they are
 * taken off and reported; a conversation without an answer, or with an empty one, is a problem.
 */
export function checkConversation(turns: Turn[], line: number): { turns: Turn[]; trimmed?: Problem } | Problem {
	const last = turns.findLastIndex((turn) => turn.role === "assistant");
	if (last === -1) return { code: "no-output", message: "no turn of the assistant", line };
	const empty = turns.findIndex((turn) => turn.role === "assistant" && turn.content.trim() === "");
	if (empty !== -1) return { code: "empty-output", message: `turn ${empty + 1}, the assistant's, is empty`, line };
	if (last === turns.length - 1) return { turns };
	const rest = turns.slice(last + 1);
	const message = `ends with ${rest.length === 1 ? `a ${rest[0]?.role} turn` : `${rest.length} turns`} without an answer; taken off`;
	return { turns: turns.slice(0, last + 1), trimmed: { code: "ends-without-answer", message, line } };
}

/** Our role for a word of a data set, or undefined. */
export function roleOf(word: string): Role | undefined {
	const key = word.trim().toLowerCase();
	return (Object.keys(roleWords) as Role[]).find((role) => (roleWords[role] as readonly string[]).includes(key));
}

function readList(fields: Fields, key: string): Reading | Refusal {
	const list = fields[key] as unknown[];
	const turns: Turn[] = [];
	const used = [key];
	if (typeof fields.system === "string") {
		used.push("system");
		if (fields.system.trim() !== "") turns.push({ role: "system", content: fields.system });
	}
	for (const [index, entry] of list.entries()) {
		const turn = readTurn(entry, `turn ${index + 1}`);
		if ("code" in turn) return turn;
		turns.push(turn);
	}
	return { turns, used };
}

function readTurn(entry: unknown, name: string): Turn | Refusal {
	if (typeof entry !== "object" || entry === null || Array.isArray(entry)) {
		return { code: "not-an-object", message: `${name} is ${kindOf(entry)}, expected an object with role and content` };
	}
	const fields = entry as Fields;
	const word = fields.role ?? fields.from;
	if (typeof word !== "string") {
		return { code: "unknown-role", message: `${name} has no role; its fields: ${Object.keys(fields).join(", ")}` };
	}
	const role = roleOf(word);
	if (role === undefined) {
		const words = Object.values(roleWords).flat();
		const near = closest(word.toLowerCase(), words);
		const hint = near === undefined ? `known: ${words.join(", ")}` : `did you mean "${near}"?`;
		return { code: "unknown-role", message: `${name} has the role "${word}"; ${hint}` };
	}
	const calls = toolCalls(fields.tool_calls);
	const content = textOf(fields.content ?? fields.value);
	if (content === undefined) {
		if (calls !== "" && isBlank(fields.content)) return { role, content: calls };
		return { code: "not-text", message: `${name} has content that is ${kindOf(fields.content ?? fields.value)}` };
	}
	return { role, content: [content, calls].filter((part) => part !== "").join("\n") };
}

/** OpenAI's `tool_calls` as the text that ShareGPT writes for a function call: one JSON object a line. */
function toolCalls(value: unknown): string {
	if (!Array.isArray(value)) return "";
	return value
		.map((call: { function?: { name?: unknown; arguments?: unknown } }) => {
			const { name, arguments: given } = call?.function ?? {};
			return JSON.stringify({ name, arguments: typeof given === "string" ? parsed(given) : given });
		})
		.join("\n");
}

function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return text;
	}
}

function readPair(fields: Fields, columns: Columns | undefined): Reading | Refusal {
	const names = pairFields(fields, columns);
	if (names.output === undefined) {
		return { code: "no-output", message: `no answer; fields: ${Object.keys(fields).join(", ")}` };
	}
	if (names.inputs.length === 0) {
		return { code: "no-input", message: `no question; fields: ${Object.keys(fields).join(", ")}` };
	}
	const used = [...names.inputs, names.output];
	const turns: Turn[] = [];
	const systemName = columns?.system ?? "system";
	if (typeof fields[systemName] === "string") {
		used.push(systemName);
		if (fields[systemName].trim() !== "") turns.push({ role: "system", content: fields[systemName] });
	}
	const history = columns === undefined ? readHistory(fields.history) : [];
	if ("code" in history) return history;
	if (history.length > 0) used.push("history");
	turns.push(...history);

	const inputs: string[] = [];
	for (const name of names.inputs) {
		// TRL also writes prompt and completion as lists of messages.
		const value = fields[name];
		if (Array.isArray(value) && Array.isArray(fields[names.output])) {
			return readMessages([...value, ...(fields[names.output] as unknown[])], used);
		}
		const text = isBlank(value) ? "" : textOf(value);
		if (text === undefined) return { code: "not-text", message: `"${name}" is ${kindOf(value)}, expected text` };
		if (text.trim() !== "") inputs.push(text);
	}
	if (inputs.length === 0) return { code: "empty-input", message: `"${names.inputs.join('", "')}" is empty` };
	const value = fields[names.output];
	const output = isBlank(value) ? "" : textOf(value);
	if (output === undefined)
		return { code: "not-text", message: `"${names.output}" is ${kindOf(value)}, expected text` };
	if (output.trim() === "") return { code: "empty-output", message: `"${names.output}" is empty` };
	turns.push({ role: "user", content: inputs.join("\n") }, { role: "assistant", content: output });
	return { turns, used };
}

function readMessages(list: unknown[], used: readonly string[]): Reading | Refusal {
	const reading = readList({ list }, "list");
	return "code" in reading ? reading : { turns: reading.turns, used };
}

/** Which fields hold question and answer. `instruction` goes before `input`, as in Alpaca's shape. */
export function pairFields(fields: Fields, columns: Columns | undefined): { inputs: string[]; output?: string } {
	if (columns !== undefined) {
		return {
			inputs: columns.input in fields ? [columns.input] : [],
			...(columns.output in fields ? { output: columns.output } : {}),
		};
	}
	const first = inputFields.find((name) => name in fields);
	const inputs = "instruction" in fields && "input" in fields ? ["instruction", "input"] : first ? [first] : [];
	const output = outputFields.find((name) => name in fields);
	return { inputs, ...(output === undefined ? {} : { output }) };
}

/** `history`: earlier exchanges as a list of [question, answer]. */
function readHistory(value: unknown): Turn[] | Refusal {
	if (isBlank(value)) return [];
	const pairs = Array.isArray(value) ? value : [undefined];
	const turns: Turn[] = [];
	for (const pair of pairs) {
		const [question, answer] = Array.isArray(pair) && pair.length === 2 ? pair : [];
		if (typeof question !== "string" || typeof answer !== "string") {
			return { code: "not-text", message: '"history" is not a list of [question, answer]' };
		}
		turns.push({ role: "user", content: question }, { role: "assistant", content: answer });
	}
	return turns;
}

/** Text of a value: strings, numbers and booleans as they are written, OpenAI's list of text parts joined. */
function textOf(value: unknown): string | undefined {
	if (typeof value === "string") return value;
	if (typeof value === "number" || typeof value === "boolean") return String(value);
	if (!Array.isArray(value)) return undefined;
	const parts = value.map((part) => (part?.type === "text" && typeof part.text === "string" ? part.text : undefined));
	return parts.includes(undefined) ? undefined : parts.join("");
}

function isBlank(value: unknown): boolean {
	return value === undefined || value === null || value === "" || (Array.isArray(value) && value.length === 0);
}

function kindOf(value: unknown): string {
	if (value === undefined) return "missing";
	if (value === null) return "null";
	if (Array.isArray(value)) return "a list";
	if (typeof value === "object") return "an object";
	return typeof value === "string" ? "text" : `a ${typeof value}`;
}

function unknownFields(fields: Fields, columns: Columns | undefined): Refusal {
	const found = Object.keys(fields).join(", ") || "none";
	const expected =
		columns === undefined ? "input and output, messages, or conversations" : `${columns.input} and ${columns.output}`;
	return { code: "unknown-fields", message: `fields found: ${found}; expected ${expected}` };
}

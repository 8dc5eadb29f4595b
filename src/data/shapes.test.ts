import { describe, expect, test } from "vitest";
import type { ConversationRow, ProblemRow } from "./row.ts";
import { rowFromRecord } from "./shapes.ts";

const read = (record: unknown, columns?: { input: string; output: string }) =>
	rowFromRecord(record, { file: "f", line: 7, ...(columns && { columns }) });
const said = (record: unknown, columns?: { input: string; output: string }) => {
	const row = read(record, columns) as ConversationRow;
	return (row.conversation ?? row).map(({ role, content }) => `${role}: ${content}`);
};

describe("pairs", () => {
	test.each([
		[{ input: "q", output: "a" }],
		[{ prompt: "q", completion: "a" }],
		[{ instruction: "q", output: "a" }],
		[{ instruction: "q", response: "a" }],
		[{ instruction: "q", input: "", output: "a" }],
		[{ instruction: "q", input: null, output: "a" }],
		[{ question: "q", answer: "a" }],
		[{ input: "q", history: [], system: "", output: "a" }],
	])("%j", (record) => {
		expect(said(record)).toEqual(["user: q", "assistant: a"]);
		expect(read(record)).not.toHaveProperty("unused");
	});

	test("instruction and input are put together, history and system go before", () => {
		expect(said({ instruction: "Translate", input: "Katze", output: "cat" })).toEqual([
			"user: Translate\nKatze",
			"assistant: cat",
		]);
		expect(said({ system: "Be brief", history: [["q1", "a1"]], input: "q2", output: "a2" })).toEqual([
			"system: Be brief",
			"user: q1",
			"assistant: a1",
			"user: q2",
			"assistant: a2",
		]);
	});

	test("numbers and booleans are taken as they are written", () => {
		expect(said({ input: "2 + 2?", output: 4 })).toEqual(["user: 2 + 2?", "assistant: 4"]);
		expect(said({ input: "2 < 3?", output: true })).toEqual(["user: 2 < 3?", "assistant: true"]);
	});

	test("prompt and completion may be lists of messages", () => {
		const record = { prompt: [{ role: "user", content: "q" }], completion: [{ role: "assistant", content: "a" }] };
		expect(said(record)).toEqual(["user: q", "assistant: a"]);
	});

	test("columns that are named win over known ones", () => {
		expect(said({ input: "x", output: "y", q: "q", a: "a" }, { input: "q", output: "a" })).toEqual([
			"user: q",
			"assistant: a",
		]);
	});
});

describe("lists of turns", () => {
	test("messages, with OpenAI's parts, calls and developer", () => {
		const messages = [
			{ role: "developer", content: "Be brief" },
			{
				role: "user",
				content: [
					{ type: "text", text: "Weather in " },
					{ type: "text", text: "Kyoto?" },
				],
			},
			{
				role: "assistant",
				content: null,
				tool_calls: [{ id: "1", type: "function", function: { name: "weather", arguments: '{"city":"Kyoto"}' } }],
			},
			{ role: "tool", tool_call_id: "1", content: "sunny" },
			{ role: "assistant", content: "Sunny." },
		];
		expect(said({ messages })).toEqual([
			"system: Be brief",
			"user: Weather in Kyoto?",
			'assistant: {"name":"weather","arguments":{"city":"Kyoto"}}',
			"tool: sunny",
			"assistant: Sunny.",
		]);
	});

	test("ShareGPT, with tools; what is not read is named", () => {
		const conversations = [
			{ from: "human", value: "q" },
			{ from: "function_call", value: "{}" },
			{ from: "observation", value: "42" },
			{ from: "gpt", value: "a" },
		];
		const record = { conversations, system: "s", tools: "[{}]", id: 3, note: "" };
		expect(said(record)).toEqual(["system: s", "user: q", "assistant: {}", "tool: 42", "assistant: a"]);
		expect(read(record)).toMatchObject({ unused: ["tools", "id"] });
	});

	test("turns after the last answer are taken off and named", () => {
		const messages = [
			{ role: "user", content: "q" },
			{ role: "assistant", content: "a" },
			{ role: "user", content: "thanks" },
		];
		expect(said({ messages })).toEqual(["user: q", "assistant: a"]);
		expect(read({ messages })).toMatchObject({ trimmed: { code: "ends-without-answer", line: 7 } });
	});
});

describe("problems", () => {
	const user = { role: "user", content: "q" };
	test.each([
		["text", "not-an-object", "text"],
		[null, "not-an-object", "null"],
		[{ foo: 1, bar: 2 }, "unknown-fields", "foo, bar"],
		[{ input: "q" }, "no-output", "no answer"],
		[{ output: "a" }, "no-input", "no question"],
		[{ input: " ", output: "a" }, "empty-input", "input"],
		[{ input: "q", output: "\n" }, "empty-output", "output"],
		[{ input: "q", output: null }, "empty-output", "output"],
		[{ input: "q", output: { text: "a" } }, "not-text", "an object"],
		[{ input: "q", history: ["x"], output: "a" }, "not-text", "history"],
		[{ messages: [] }, "no-output", "no turn"],
		[{ messages: [user] }, "no-output", "no turn"],
		[{ messages: [user, { role: "asistant", content: "a" }] }, "unknown-role", 'did you mean "assistant"?'],
		[{ messages: [user, { role: "narrator", content: "a" }] }, "unknown-role", "known:"],
		[{ messages: [user, { content: "a" }] }, "unknown-role", "no role"],
		[{ messages: ["q", "a"] }, "not-an-object", "turn 1"],
		[{ messages: [user, { role: "assistant", content: "" }] }, "empty-output", "turn 2"],
		[{ messages: [user, { role: "assistant" }] }, "not-text", "missing"],
		[
			{
				messages: [
					{ role: "user", content: [{ type: "image_url" }] },
					{ role: "assistant", content: "a" },
				],
			},
			"not-text",
			"a list",
		],
	])("%j: %s", (record, code, message) => {
		const row = read(record) as ProblemRow;
		expect(row.problem).toMatchObject({ code, line: 7, message: expect.stringContaining(message) });
	});
});

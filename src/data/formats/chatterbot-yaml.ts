// The YAML of ChatterBot's corpora: `conversations:` holds lists of statements, each an answer to the one before.
// So the statements alternate between user and assistant. The file is parsed whole and therefore bounded.
import { UserError } from "../../util/errors.ts";
import type { DatasetFormat } from "../format.ts";
import type { Row } from "../row.ts";
import { checkConversation } from "../shapes.ts";
import type { TextSource } from "../text-source.ts";

/** The syntax tree takes some thirty times the text; ChatterBot's largest file has 100 kB. */
const maxBytes = 16 << 20;

export const chatterbotYaml: DatasetFormat = {
	title: "ChatterBot YAML",
	recognises: ({ text }) => /^conversations:[ \t]*(?:#.*)?$/m.test(text) && !/^\s*[[{]/.test(text),
	read: async function* (source): AsyncIterable<Row> {
		for (const { line, statements } of await conversations(source)) {
			yield rowFromStatements(statements, { file: source.file, line });
		}
	},
};

type Statements = (string | undefined)[] | undefined;

function rowFromStatements(statements: Statements, place: { file: string; line: number }): Row {
	const refuse = (code: "not-an-object" | "not-text", message: string): Row => ({
		...place,
		problem: { code, message, line: place.line },
	});
	if (statements === undefined) return refuse("not-an-object", "expected a list of statements");
	const turns = [];
	for (const [index, content] of statements.entries()) {
		if (content === undefined) return refuse("not-text", `statement ${index + 1} is not text`);
		turns.push({ role: index % 2 === 0 ? ("user" as const) : ("assistant" as const), content });
	}
	const checked = checkConversation(turns, place.line);
	if ("code" in checked) return { ...place, problem: checked };
	const { turns: conversation, ...rest } = checked;
	return { ...place, conversation, ...rest };
}

async function conversations(source: TextSource): Promise<{ line: number; statements: Statements }[]> {
	if (source.bytes > maxBytes) {
		throw new UserError("FILE_TOO_LARGE", `${source.file} is a YAML file of ${Math.ceil(source.bytes / 1e6)} MB.`, {
			where: source.file,
			expected: "at most 16 MB of YAML, which is read whole",
			hint: "write large sets as JSON Lines, which are streamed",
		});
	}
	let text = "";
	for await (const chunk of source.chunks) text += chunk;

	const { LineCounter, isMap, isScalar, isSeq, parseDocument } = await import("yaml");
	const lineCounter = new LineCounter();
	const document = parseDocument(text, { lineCounter });
	const [error] = document.errors;
	if (error !== undefined) {
		const { line, col } = lineCounter.linePos(error.pos[0]);
		throw new UserError("BROKEN_YAML", `${source.file} is not valid YAML: ${error.message.split("\n")[0]}`, {
			where: `${source.file}:${line}:${col}`,
			cause: error,
		});
	}
	const list = isMap(document.contents) ? document.contents.get("conversations", true) : undefined;
	if (!isSeq(list)) {
		throw new UserError("YAML_WITHOUT_CONVERSATIONS", `${source.file} has no list of conversations.`, {
			where: source.file,
			expected: "conversations: a list of lists of statements",
		});
	}
	return list.items.map((item) => {
		const start = (item as { range?: [number, number, number] | null } | null)?.range?.[0] ?? 0;
		const { line } = lineCounter.linePos(start);
		if (!isSeq(item)) return { line, statements: undefined };
		// The source keeps "4" and "no" as they were written; YAML would make them a number and a boolean.
		const statements = item.items.map((node) =>
			isScalar(node) ? (typeof node.value === "string" ? node.value : (node.source ?? "")) : undefined,
		);
		return { line, statements };
	});
}

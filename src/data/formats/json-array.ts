// A JSON array of rows, streamed: finds where each element ends without parsing it, then parses that element alone.
// A mistake inside an element is one bad row. A mistake between elements ends the reading, for what follows is unknown.
import { UserError } from "../../util/errors.ts";
import type { DatasetFormat } from "../format.ts";
import type { Row } from "../row.ts";
import { rowFromRecord } from "../shapes.ts";
import { brokenJson } from "./json-lines.ts";
import { maxRowLength, rowTooLong } from "./lines.ts";

export const jsonArray: DatasetFormat = {
	title: "JSON array",
	recognises: ({ text, suffix }) => {
		const start = text.trimStart();
		return /^\[\s*(?:[[{"\]]|$)/.test(start) || (suffix.startsWith(".json") && start.startsWith("["));
	},
	read: async function* (source, options): AsyncIterable<Row> {
		const scanner = new ArrayScanner(source.file);
		for await (const chunk of source.chunks) {
			for (const element of scanner.feed(chunk)) {
				let record: unknown;
				try {
					record = JSON.parse(element.text);
				} catch {
					yield brokenJson(element.text, { file: source.file, ...element });
					continue;
				}
				yield rowFromRecord(record, { file: source.file, line: element.line, ...options });
			}
		}
		scanner.finish();
	},
};

/** The text of an element and where it starts. */
interface Element {
	text: string;
	line: number;
	column: number;
}

const [QUOTE, BACKSLASH, NEWLINE, COMMA] = [0x22, 0x5c, 0x0a, 0x2c];
const [OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Cuts the text of an array into the texts of its elements. Fed chunk by chunk; holds one element. */
class ArrayScanner {
	readonly #file: string;
	/** "first": after "[", where "]" may follow; "next": after a comma, where it may not. */
	#place: "before" | "first" | "next" | "inside" | "end" = "before";
	#depth = 0;
	#inString = false;
	#escaped = false;
	#line = 1;
	/** Code units of earlier chunks, and where the current line starts among all. */
	#offset = 0;
	#lineStart = 0;
	#parts: string[] = [];
	#length = 0;
	#open = { line: 1, column: 1 };

	constructor(file: string) {
		this.#file = file;
	}

	/** The elements that end in this chunk. */
	*feed(chunk: string): Generator<Element> {
		let from = 0;
		for (let i = 0; i < chunk.length; i++) {
			const char = chunk.charCodeAt(i);
			if (char === NEWLINE) {
				this.#line++;
				this.#lineStart = this.#offset + i + 1;
			}
			if (this.#place === "inside") {
				if (this.#staysInside(char)) continue;
				this.#parts.push(chunk.slice(from, i));
				yield { text: this.#parts.join(""), ...this.#open };
				this.#parts = [];
				this.#length = 0;
				this.#place = char === COMMA ? "next" : "end";
			} else if (char !== 0x20 && char !== NEWLINE && char !== 0x09 && char !== 0x0d) {
				const column = this.#offset + i - this.#lineStart + 1;
				if (this.#opens(char, column)) from = i;
			}
		}
		this.#offset += chunk.length;
		if (this.#place !== "inside") return;
		this.#parts.push(chunk.slice(from));
		this.#length += chunk.length - from;
		if (this.#length > maxRowLength) throw rowTooLong(this.#file, this.#open.line);
	}

	/** Throws when the array is not closed. */
	finish(): void {
		if (this.#place === "end") return;
		const inside = this.#place === "inside";
		throw new UserError("BROKEN_JSON", `${this.#file} is not valid JSON: it ends before its array is closed.`, {
			where: `${this.#file}:${this.#line}`,
			expected: '"]" at the end',
			...(inside ? { hint: `the last row starts on line ${this.#open.line}; the file may be cut off` } : {}),
		});
	}

	/** Whether the element goes on after this character of it. */
	#staysInside(char: number): boolean {
		if (this.#inString) {
			if (this.#escaped) this.#escaped = false;
			else if (char === BACKSLASH) this.#escaped = true;
			else if (char === QUOTE) this.#inString = false;
		} else if (char === QUOTE) this.#inString = true;
		else if (char === OPEN_OBJECT || char === OPEN_LIST) this.#depth++;
		else if (this.#depth > 0) {
			if (char === CLOSE_OBJECT || char === CLOSE_LIST) this.#depth--;
		} else return char !== COMMA && char !== CLOSE_LIST;
		return true;
	}

	/** Whether this character, which is outside of the elements and not white space, opens one. */
	#opens(char: number, column: number): boolean {
		if (this.#place === "end") this.#fail("the end of the file", char, column);
		if (this.#place === "before") {
			if (char !== OPEN_LIST) this.#fail('"["', char, column);
			this.#place = "first";
			return false;
		}
		if (this.#place === "first" && char === CLOSE_LIST) {
			this.#place = "end";
			return false;
		}
		if (char === COMMA || char === CLOSE_LIST || char === CLOSE_OBJECT) this.#fail("a row", char, column);
		this.#place = "inside";
		this.#open = { line: this.#line, column };
		this.#inString = char === QUOTE;
		this.#depth = char === OPEN_OBJECT || char === OPEN_LIST ? 1 : 0;
		return true;
	}

	#fail(expected: string, char: number, column: number): never {
		const found = JSON.stringify(String.fromCharCode(char));
		const message = `${this.#file} is not valid JSON: expected ${expected}, found ${found}.`;
		throw new UserError("BROKEN_JSON", message, {
			where: `${this.#file}:${this.#line}:${column}`,
			expected,
			found,
		});
	}
}

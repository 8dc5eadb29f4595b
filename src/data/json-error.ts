// Finds where a text stops being JSON. JSON.parse is the judge of whether it is; V8's messages often lack the position.
// A scanner over RFC 8259; it builds nothing and is run only on text that JSON.parse refused.

export interface JsonMistake {
	/** UTF-16 code units from the start of the text. */
	offset: number;
	/** What was expected and found there, in words. */
	message: string;
}

/** The first mistake in `text`, or undefined when it is valid JSON. */
export function findJsonMistake(text: string): JsonMistake | undefined {
	const scanner = { text, at: 0, depth: 0 };
	try {
		value(scanner);
		space(scanner);
		if (scanner.at < text.length) fail(scanner, "the end of the row");
		return undefined;
	} catch (error) {
		if (error instanceof Mistake) return error.mistake;
		throw error;
	}
}

interface Scanner {
	text: string;
	at: number;
	depth: number;
}

class Mistake extends Error {
	readonly mistake: JsonMistake;
	constructor(mistake: JsonMistake) {
		super(mistake.message);
		this.mistake = mistake;
	}
}

function fail(scanner: Scanner, expected: string): never {
	const char = scanner.text[scanner.at];
	const found = char === undefined ? "the row ends" : `found ${JSON.stringify(char)}`;
	throw new Mistake({ offset: scanner.at, message: `expected ${expected}, ${found}` });
}

function space(scanner: Scanner): void {
	while (" \t\n\r".includes(scanner.text[scanner.at] ?? "x")) scanner.at++;
}

function value(scanner: Scanner): void {
	space(scanner);
	const char = scanner.text[scanner.at];
	if (char === "{") members(scanner);
	else if (char === "[") elements(scanner);
	else if (char === '"') string(scanner);
	else scalar(scanner);
}

function scalar(scanner: Scanner): void {
	const literal = /(?:-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)/y;
	literal.lastIndex = scanner.at;
	const match = literal.exec(scanner.text);
	if (match === null) fail(scanner, "a value");
	scanner.at += match[0].length;
}

function nest(scanner: Scanner, inside: () => void): void {
	// Deeper than any data set; keeps the scanner's own stack safe.
	if (++scanner.depth > 1000) fail(scanner, "at most 1000 levels of nesting");
	scanner.at++;
	inside();
	scanner.at++;
	scanner.depth--;
}

function members(scanner: Scanner): void {
	nest(scanner, () => {
		space(scanner);
		if (scanner.text[scanner.at] === "}") return;
		for (;;) {
			space(scanner);
			if (scanner.text[scanner.at] !== '"') fail(scanner, "a field name in double quotes");
			string(scanner);
			space(scanner);
			if (scanner.text[scanner.at] !== ":") fail(scanner, '":" after the field name');
			scanner.at++;
			value(scanner);
			space(scanner);
			if (scanner.text[scanner.at] === "}") return;
			if (scanner.text[scanner.at] !== ",") fail(scanner, '"," or "}"');
			scanner.at++;
		}
	});
}

function elements(scanner: Scanner): void {
	nest(scanner, () => {
		space(scanner);
		if (scanner.text[scanner.at] === "]") return;
		for (;;) {
			value(scanner);
			space(scanner);
			if (scanner.text[scanner.at] === "]") return;
			if (scanner.text[scanner.at] !== ",") fail(scanner, '"," or "]"');
			scanner.at++;
		}
	});
}

function string(scanner: Scanner): void {
	for (scanner.at++; ; scanner.at++) {
		const code = scanner.text.charCodeAt(scanner.at);
		if (code === 0x22) break;
		if (Number.isNaN(code)) fail(scanner, "a closing quote");
		if (code < 0x20) fail(scanner, "a closing quote or an escaped control character");
		if (code === 0x5c) escapeSequence(scanner);
	}
	scanner.at++;
}

function escapeSequence(scanner: Scanner): void {
	scanner.at++;
	const char = scanner.text[scanner.at];
	if (char === "u") {
		for (let i = 0; i < 4; i++) {
			scanner.at++;
			if (!/[0-9a-fA-F]/.test(scanner.text[scanner.at] ?? "")) fail(scanner, "four hexadecimal digits");
		}
	} else if (char === undefined || !'"\\/bfnrt'.includes(char)) fail(scanner, "an escape that JSON has");
}

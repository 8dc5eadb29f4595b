// The errors attune raises. A UserError is a mistake that the person at the keyboard can mend: it is printed as a
// sentence, without a stack trace. Anything else that is thrown is a bug of ours and keeps its stack.

export interface UserErrorOptions {
	/** What would have been accepted. */
	expected?: string;
	/** What was there instead. */
	found?: string;
	/** File, line, column, flag or field. */
	where?: string;
	/** The next thing to do. */
	hint?: string;
	cause?: unknown;
}

/** A mistake in input, options or environment. `code` is stable and in SCREAMING_SNAKE_CASE; the message is for people. */
export class UserError extends Error {
	readonly code: string;
	readonly expected: string | undefined;
	readonly found: string | undefined;
	readonly where: string | undefined;
	readonly hint: string | undefined;

	constructor(code: string, message: string, options: UserErrorOptions = {}) {
		super(message, options.cause === undefined ? undefined : { cause: options.cause });
		this.name = "UserError";
		this.code = code;
		this.expected = options.expected;
		this.found = options.found;
		this.where = options.where;
		this.hint = options.hint;
	}
}

/** The error as lines for a terminal: message, then where, expected, found and hint when they are known. */
export function describeError(error: UserError): string {
	const lines = [error.message];
	if (error.where !== undefined) lines.push(`  where:    ${error.where}`);
	if (error.expected !== undefined) lines.push(`  expected: ${error.expected}`);
	if (error.found !== undefined) lines.push(`  found:    ${error.found}`);
	if (error.hint !== undefined) lines.push(`  try:      ${error.hint}`);
	return lines.join("\n");
}

/** The candidate closest to `word` by edit distance, when it is close enough to be what was meant. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
	let best: string | undefined;
	let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1;
	for (const candidate of candidates) {
		const distance = editDistance(word, candidate);
		if (distance < bestDistance) {
			best = candidate;
			bestDistance = distance;
		}
	}
	return best;
}

function editDistance(a: string, b: string): number {
	let row = Array.from({ length: b.length + 1 }, (_, j) => j);
	for (let i = 1; i <= a.length; i++) {
		const next = [i];
		for (let j = 1; j <= b.length; j++) {
			const change = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
			next.push(Math.min((row[j] as number) + 1, (next[j - 1] as number) + 1, change));
		}
		row = next;
	}
	return row[b.length] as number;
}

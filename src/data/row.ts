// What a data file is made of once it is read: rows. A row is a conversation, a piece of plain text, or a problem.
// A row that cannot be used is not an exception and never disappears: it is a value that the ledger counts.
import type { Turn } from "../tokenizer/turn.ts";

/** Every reason for which a row is not trained on exactly as it stands in the file; read after "3 rows: ". */
export const problemCodes = {
	"broken-json": "not valid JSON",
	"not-an-object": "not an object of fields",
	"unknown-fields": "none of the fields that dialogues have",
	"no-input": "an answer but no question",
	"empty-input": "an empty question",
	"no-output": "no answer",
	"empty-output": "an empty answer",
	"unknown-role": "a turn with a role that is not known",
	"not-text": "content that is not text",
	"column-count": "another number of columns than the header",
	"ends-without-answer": "a last turn that nobody answers",
	duplicate: "the same as an earlier row",
	"template-refused": "refused by the chat template",
	"unknown-characters": "characters that the tokenizer lacks",
	"too-long": "longer than the maximum length",
	"no-signal": "no token to learn from",
} as const;

export type ProblemCode = keyof typeof problemCodes;

export interface Problem {
	code: ProblemCode;
	/** A sentence for people, without file and line. */
	message: string;
	/** First line of the row, or the line of the mistake when that is known. From 1. */
	line: number;
	/** From 1, in UTF-16 code units as editors count. */
	column?: number;
}

/** `line`: first line of the row, from 1. */
export interface Place {
	file: string;
	line: number;
}

export interface ConversationRow extends Place {
	/** At least one assistant turn; it ends with one; no assistant turn is empty. */
	conversation: Turn[];
	/** What was taken off the end so that the conversation ends with an answer. */
	trimmed?: Problem;
	/** Fields of the row that are not part of the conversation. */
	unused?: readonly string[];
}

/** A piece of a plain text; the pieces of a document follow each other and join to its text. */
export interface TextRow extends Place {
	text: string;
	endsDocument: boolean;
	/** Shares of the file: what lies before the end of this piece, and the piece itself. About, 0 to 1. */
	progress: number;
	share: number;
}

export interface ProblemRow extends Place {
	problem: Problem;
}

export type Row = ConversationRow | TextRow | ProblemRow;

// A conversation row as examples and as an entry of the ledger. What template or tokenizer refuse becomes the row's problem.
import { UserError } from "../util/errors.ts";
import {
	type EncodedConversation,
	type EncodeOptions,
	type Example,
	encodeConversation,
	supervisedTokens,
} from "./example.ts";
import type { LedgerEntry } from "./ledger.ts";
import type { ConversationRow, Problem, ProblemCode } from "./row.ts";

export interface EncodedRow {
	entry: LedgerEntry;
	examples: Example[];
	/** Ids of the whole conversation; 0 when it cannot be rendered. */
	length: number;
}

export function encodeRow(row: ConversationRow, options: EncodeOptions): EncodedRow {
	let encoded: EncodedConversation;
	try {
		encoded = encodeConversation(row.conversation, options);
	} catch (error) {
		if (!(error instanceof UserError)) throw error;
		const unknown = error.code.startsWith("TOKENIZER_UNKNOWN");
		const problem = problemOf(row, unknown ? "unknown-characters" : "template-refused", error.message);
		return { entry: entryOf(row, { outcome: "dropped", problem }), examples: [], length: 0 };
	}
	const { examples, length, lostTokens } = encoded;
	const sums = {
		examples: examples.length,
		tokens: examples.reduce((sum, example) => sum + example.ids.length, 0),
		supervisedTokens: examples.reduce((sum, example) => sum + supervisedTokens(example), 0),
		lostTokens,
	};
	return { entry: entryOf(row, { ...outcomeOf(row, encoded, options.maxLength), ...sums }), examples, length };
}

function outcomeOf(
	row: ConversationRow,
	{ examples, outcome, length, lostTokens }: EncodedConversation,
	maxLength: number,
): { outcome: LedgerEntry["outcome"]; problem?: Problem } {
	if (outcome === "whole") {
		if (examples.length > 0) return { outcome: row.trimmed === undefined ? "kept" : "trimmed" };
		return { outcome: "no-signal", problem: problemOf(row, "no-signal", "no supervised token") };
	}
	const result = outcome === "split" ? `${examples.length} examples` : `${lostTokens} supervised tokens lost`;
	const message = `${length} tokens, the maximum is ${maxLength}; ${result}`;
	return { outcome, problem: problemOf(row, "too-long", message) };
}

function entryOf(
	row: ConversationRow,
	{ problem, ...entry }: Omit<LedgerEntry, "problems" | "unused"> & { problem?: Problem },
): LedgerEntry {
	const problems = [row.trimmed, problem].filter((item) => item !== undefined);
	return {
		...entry,
		...(problems.length === 0 ? {} : { problems }),
		...(row.unused === undefined ? {} : { unused: row.unused }),
	};
}

const problemOf = ({ line }: ConversationRow, code: ProblemCode, message: string): Problem => ({ code, message, line });

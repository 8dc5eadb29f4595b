// Prepares text for pretraining: plain text files, and dialogues rendered by the chat template, as one long row of tokens
// for training and one for validation. Every document and every conversation ends with the end-of-text token.
import type { ChatTemplate } from "../tokenizer/chat-template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { UserError } from "../util/errors.ts";
import { encodeRow } from "./encode-row.ts";
import { fingerprintOf, sidesOf } from "./fingerprint.ts";
import type { ReadOptions } from "./format.ts";
import { readRows } from "./formats.ts";
import { assertAcceptableLoss, type LedgerReport, RowLedger } from "./ledger.ts";
import type { TextRow } from "./row.ts";
import { ticketOf } from "./split.ts";
import { type ArchiveOptions, TokenArchive } from "./token-archive.ts";

export interface TextOptions extends ReadOptions {
	files: readonly string[];
	tokenizer: Tokenizer;
	/** Needed when there are dialogues among the files. */
	template?: ChatTemplate;
	/** Share that is held out: the last part of each text, and conversations chosen by hash. Default 0. */
	validationFraction?: number;
	seed: number | string;
	/** Greatest share of dialogue rows that may be lost. Default 0.01. */
	maxLossOfRows?: number;
	archive?: ArchiveOptions;
	signal?: AbortSignal;
	onProgress?: (progress: { file: string; bytesRead: number; bytes: number }) => void;
}

/** Dispose of both archives when done. */
export interface TextData {
	train: TokenArchive;
	validation: TokenArchive;
	report: TextReport;
}

/** Plain data. */
export interface TextReport {
	/** Documents of plain text. */
	documents: number;
	/** Rows of dialogues, when there are any. */
	ledger: LedgerReport;
	tokens: { train: number; validation: number };
}

/** Reads and encodes. Errors: those of the files; NOTHING_TO_TRAIN_ON, TOO_MANY_ROWS_LOST, NO_CHAT_TEMPLATE, BAD_FRACTION. */
export async function prepareTexts(options: TextOptions): Promise<TextData> {
	const { files, tokenizer, template, validationFraction = 0, seed, columns, signal, onProgress } = options;
	if (!(validationFraction >= 0 && validationFraction < 1)) {
		throw new UserError("BAD_FRACTION", "The fraction that is held out must be at least 0 and less than 1.", {
			found: String(validationFraction),
		});
	}
	const parts = { train: new TokenArchive(options.archive), validation: new TokenArchive(options.archive) };
	const ledger = new RowLedger();
	let documents = 0;
	const end = Int32Array.of(tokenizer.endOfTextId);
	try {
		for (const file of files) {
			let current: TokenArchive = parts.train;
			const reading = {
				...(columns && { columns }),
				...(signal && { signal }),
				...(onProgress && { onProgress }),
			};
			for await (const row of readRows(file, reading)) {
				if ("problem" in row) ledger.record(file, { outcome: "dropped", problems: [row.problem] });
				else if ("text" in row) {
					// The part that is held out begins at a line, and is a document of its own.
					const [before, after] = current === parts.train ? cutAt(row, 1 - validationFraction) : ["", row.text];
					current.append(Int32Array.from(tokenizer.encode(before)));
					if (after !== "") {
						if (current === parts.train) {
							current.append(end);
							current = parts.validation;
						}
						current.append(Int32Array.from(tokenizer.encode(after)));
					}
					if (!row.endsDocument) continue;
					current.append(end);
					documents++;
				} else {
					if (template === undefined) throw noTemplate(file);
					const { entry, examples } = encodeRow(row, { template, maxLength: Number.POSITIVE_INFINITY });
					ledger.record(file, entry);
					const ticket = ticketOf(fingerprintOf(sidesOf(row.conversation)), seed);
					const part = ticket < validationFraction ? parts.validation : parts.train;
					for (const example of examples) {
						part.append(example.ids);
						if (example.ids.at(-1) !== tokenizer.endOfTextId) part.append(end);
					}
				}
			}
		}
		const report = ledger.report();
		if (report.rows > 0)
			assertAcceptableLoss(report, options.maxLossOfRows === undefined ? {} : { maxLossOfRows: options.maxLossOfRows });
		const tokens = { train: parts.train.length, validation: parts.validation.length };
		return { ...parts, report: { documents, ledger: report, tokens } };
	} catch (error) {
		parts.train.dispose();
		parts.validation.dispose();
		throw error;
	}
}

/** Cuts a piece of text at the first line that starts behind the share `keep` of its file's bytes. */
function cutAt({ text, progress, share, endsDocument }: TextRow, keep: number): [before: string, after: string] {
	if (progress <= keep) return [text, ""];
	const at = Math.floor(text.length * (1 - (progress - keep) / share));
	if (at <= 0) return ["", text];
	const line = text.indexOf("\n", at - 1) + 1;
	// Without a line end the next piece, which starts a line, is the first that is held out; the last piece has no next.
	const cut = line > 0 ? line : endsDocument ? at : text.length;
	return [text.slice(0, cut), text.slice(cut)];
}

function noTemplate(file: string): UserError {
	return new UserError("NO_CHAT_TEMPLATE", `${file} holds dialogues, and there is no chat template to render them.`, {
		where: file,
		hint: "give a tokenizer with a chat template, or plain text",
	});
}

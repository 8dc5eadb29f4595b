// What `attune data check` shows: what is in the files, what becomes of each row, and how rows look when rendered.
// Plain data; nothing is stored or trained on. The rows go through the same functions as in training.
import { stat } from "node:fs/promises";
import type { ChatTemplate } from "../tokenizer/chat-template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { type Role, roles } from "../tokenizer/turn.ts";
import { type EncodedRow, encodeRow } from "./encode-row.ts";
import type { Example, Overflow } from "./example.ts";
import { fingerprintOf, SeenRows, sidesOf } from "./fingerprint.ts";
import type { ReadOptions } from "./format.ts";
import { detectFormat, type FormatName, formats, readRows } from "./formats.ts";
import { GrowingArray } from "./growing-array.ts";
import { type LedgerReport, type Outcome, RowLedger } from "./ledger.ts";
import type { ConversationRow, Place, Problem } from "./row.ts";

export interface InspectOptions extends ReadOptions {
	files: readonly string[];
	tokenizer: Tokenizer;
	template: ChatTemplate;
	/** Greatest number of ids in an example. */
	maxLength: number;
	overflow?: Overflow;
	/** How many rows to render. Default 0. */
	show?: number;
	/** How many lines to name for each kind of problem. Default 20. */
	placesPerCode?: number;
	signal?: AbortSignal;
	onProgress?: (progress: { file: string; bytesRead: number; bytes: number }) => void;
}

export interface DataInspection {
	files: { file: string; format: FormatName; title: string; bytes: number; rows: number }[];
	conversations: number;
	turns: Record<Role, number>;
	/** Ids of a whole conversation before it is cut; supervised tokens of one as they are used. */
	lengths: { conversation: Percentiles; supervised: Percentiles };
	/** Plain text, when there is any: it serves pretraining, not fine-tuning. */
	text: { documents: number; characters: number; tokens: number };
	ledger: LedgerReport;
	/** Rows that repeat an earlier one, but for case, width and punctuation. */
	duplicates: { rows: number; places: (Place & { repeats: Place })[] };
	maxLength: number;
	overflow: Overflow;
	shown: RenderedRow[];
}

/** Of whole numbers; all 0 when there are none. */
export interface Percentiles {
	min: number;
	p50: number;
	p90: number;
	p99: number;
	max: number;
	mean: number;
}

export interface RenderedRow extends Place {
	outcome: Outcome;
	problems: readonly Problem[];
	examples: { tokens: number; supervisedTokens: number; segments: Segment[] }[];
}

/** A run of text that is supervised throughout, or not at all. The segments of an example join to its text. */
export interface Segment {
	text: string;
	supervised: boolean;
}

export async function inspectData(options: InspectOptions): Promise<DataInspection> {
	const {
		files,
		tokenizer,
		columns,
		signal,
		onProgress,
		show = 0,
		placesPerCode = 20,
		maxLength,
		overflow = "split",
	} = options;
	const ledger = new RowLedger({ placesPerCode });
	const seen = new SeenRows();
	const lengths = { conversation: new GrowingArray(Uint32Array), supervised: new GrowingArray(Uint32Array) };
	const result: Omit<DataInspection, "ledger" | "lengths"> = {
		files: [],
		conversations: 0,
		turns: Object.fromEntries(roles.map((role) => [role, 0])) as Record<Role, number>,
		text: { documents: 0, characters: 0, tokens: 0 },
		duplicates: { rows: 0, places: [] },
		maxLength,
		overflow,
		shown: [],
	};
	const addConversation = (row: ConversationRow) => {
		result.conversations++;
		for (const turn of row.conversation) result.turns[turn.role]++;
		const place = { file: row.file, line: row.line };
		const repeats = seen.add(fingerprintOf(sidesOf(row.conversation)), place);
		if (repeats !== undefined) {
			result.duplicates.rows++;
			if (result.duplicates.places.length < placesPerCode) result.duplicates.places.push({ ...place, repeats });
		}
		const { entry, examples, length } = encodeRow(row, { template: options.template, maxLength, overflow });
		ledger.record(row.file, entry);
		lengths.conversation.push(length);
		lengths.supervised.push(entry.supervisedTokens ?? 0);
		if (result.shown.length < show) result.shown.push(rendered(row, { entry, examples, tokenizer }));
	};

	for (const file of files) {
		const format = await detectFormat(file);
		const entry = { file, format, title: formats[format].title, bytes: (await stat(file)).size, rows: 0 };
		result.files.push(entry);
		const reading = {
			format,
			...(columns && { columns }),
			...(signal && { signal }),
			...(onProgress && { onProgress }),
		};
		for await (const row of readRows(file, reading)) {
			entry.rows++;
			if ("conversation" in row) addConversation(row);
			else if ("problem" in row) {
				ledger.record(file, { outcome: "dropped", problems: [row.problem] });
				if (result.shown.length < show) {
					result.shown.push({ file, line: row.line, outcome: "dropped", problems: [row.problem], examples: [] });
				}
			} else {
				result.text.characters += row.text.length;
				result.text.tokens += tokenizer.encode(row.text).length;
				if (row.endsDocument) result.text.documents++;
			}
		}
	}
	return {
		...result,
		ledger: ledger.report(),
		lengths: {
			conversation: percentiles(lengths.conversation.toArray()),
			supervised: percentiles(lengths.supervised.toArray()),
		},
	};
}

/** The example as text, cut where supervision begins and ends. */
export function segmentsOf(example: Example, tokenizer: Tokenizer): Segment[] {
	const segments: Segment[] = [];
	const isSupervised = (i: number) => i > 0 && example.supervised[i - 1] === 1;
	for (let start = 0; start < example.ids.length; ) {
		let end = start + 1;
		while (end < example.ids.length && isSupervised(end) === isSupervised(start)) end++;
		segments.push({ text: tokenizer.decode(example.ids.subarray(start, end)), supervised: isSupervised(start) });
		start = end;
	}
	return segments;
}

/** Nearest-rank percentiles. Sorts the values in place. */
export function percentiles(values: Uint32Array): Percentiles {
	values.sort();
	const rank = (share: number) => values[Math.max(0, Math.ceil(values.length * share) - 1)] ?? 0;
	const sum = values.reduce((total, value) => total + value, 0);
	const mean = values.length === 0 ? 0 : sum / values.length;
	return { min: values[0] ?? 0, p50: rank(0.5), p90: rank(0.9), p99: rank(0.99), max: values.at(-1) ?? 0, mean };
}

function rendered(
	row: ConversationRow,
	{ entry, examples, tokenizer }: Omit<EncodedRow, "length"> & { tokenizer: Tokenizer },
): RenderedRow {
	return {
		file: row.file,
		line: row.line,
		outcome: entry.outcome,
		problems: entry.problems ?? [],
		examples: examples.map((example) => ({
			tokens: example.ids.length,
			supervisedTokens: example.supervised.reduce((sum, flag) => sum + flag, 0),
			segments: segmentsOf(example, tokenizer),
		})),
	};
}

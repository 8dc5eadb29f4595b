// Prepares dialogues for training: reads the files, encodes each conversation, counts what becomes of it, splits off what
// is held out and keeps the two apart. The result is a store of examples and three lists of indices into it.
// Nothing prepared is ever kept on disk between runs: a changed template or tokenizer cannot meet stale examples.
import type { ChatTemplate } from "../tokenizer/chat-template.ts";
import { UserError } from "../util/errors.ts";
import { encodeRow } from "./encode-row.ts";
import type { Overflow } from "./example.ts";
import { ExampleStore } from "./example-store.ts";
import { fingerprintOf, SeenRows, type Sides, sidesOf } from "./fingerprint.ts";
import type { ReadOptions } from "./format.ts";
import { readDialogues } from "./formats.ts";
import { GrowingArray } from "./growing-array.ts";
import { type Leak, LeakageFinder } from "./leakage.ts";
import { assertAcceptableLoss, type LedgerEntry, type LedgerReport, RowLedger } from "./ledger.ts";
import type { ConversationRow, Place } from "./row.ts";
import { chooseBounds, type Side, sideOf, sides, ticketOf } from "./split.ts";
import type { ArchiveOptions } from "./token-archive.ts";

/** Held-out conversations: from files of their own, or a share (0 to 1) of the training files, at most `mostHeldOut`. */
export type HeldOutSource = { files: readonly string[] } | { fraction: number };

export interface DialogueOptions extends ReadOptions {
	files: readonly string[];
	template: ChatTemplate;
	/** Greatest number of ids in an example. */
	maxLength: number;
	/** Default "split". */
	overflow?: Overflow;
	validation?: HeldOutSource;
	/** A third part, for search: neither trained on nor chosen by. */
	test?: HeldOutSource;
	/** Chooses the held-out conversations. */
	seed: number | string;
	/** Greatest share of rows or supervised tokens that may be lost. Default 0.01. */
	maxLossOfRows?: number;
	/** Rows that repeat an earlier row of training, but for case, width and punctuation. Counted in any case. Default "keep". */
	duplicates?: "keep" | "drop";
	/** Held-out rows that nearly repeat a row of training: taken out of the held-out part, or counted only. Default "exclude". */
	leakage?: "exclude" | "report";
	/** Where examples live that do not fit into memory. */
	archive?: ArchiveOptions;
	signal?: AbortSignal;
	onProgress?: (progress: PreparationProgress) => void;
}

export interface PreparationProgress {
	/** "splitting" reads ahead to choose what is held out; "encoding" makes the examples. */
	phase: "splitting" | "encoding";
	file: string;
	bytesRead: number;
	bytes: number;
	/** Rows read in this phase. */
	rows: number;
}

/** Dispose of `store` when done. */
export interface DialogueData {
	store: ExampleStore;
	/** Indices into the store. No conversation is on two sides. */
	train: Uint32Array;
	validation: Uint32Array;
	test: Uint32Array;
	report: DialogueReport;
}

/** Plain data. */
export interface DialogueReport {
	/** The ledger of the training files, and of files of held-out rows. */
	ledger: LedgerReport;
	heldOutLedgers: Partial<Record<Side, LedgerReport>>;
	sides: Record<Side, { conversations: number; examples: number; supervisedTokens: number }>;
	/** Rows of training that repeat an earlier one; the first of them with the row that they repeat. */
	duplicates: { rows: number; places: (Place & { repeats: Place })[] };
	/** Held-out rows that nearly repeat a row of training (or of validation); the first of them. */
	leaks: { rows: number; exact: number; policy: "exclude" | "report"; places: Leak[] };
	overflow: Overflow;
	maxLength: number;
}

const namedPlaces = 100;

/**
 * Reads, encodes and splits. Errors: those of the files; NOTHING_TO_TRAIN_ON, TOO_MANY_ROWS_LOST, NOTHING_HELD_OUT,
 * SAME_FILE_TWICE, BAD_FRACTION. Reads the training files twice more when a fraction is held out.
 */
export async function prepareDialogues(options: DialogueOptions): Promise<DialogueData> {
	checkOptions(options);
	const store = new ExampleStore(options.archive);
	try {
		return await new Preparation(options, store).run();
	} catch (error) {
		store.dispose();
		throw error;
	}
}

class Preparation {
	readonly #options: DialogueOptions;
	readonly #store: ExampleStore;
	readonly #fractions: { validation: number; test: number };
	readonly #leakage: { fraction: LeakageFinder; files: LeakageFinder };
	/** Examples by side, as far as it is certain. */
	readonly #indices = { train: new GrowingArray(Uint32Array), validation: [] as number[], test: [] as number[] };
	readonly #conversations = { train: 0, validation: 0, test: 0 };
	#conversation = 0;
	#rows = 0;

	constructor(options: DialogueOptions, store: ExampleStore) {
		this.#options = options;
		this.#store = store;
		this.#fractions = { validation: fractionOf(options.validation), test: fractionOf(options.test) };
		// A share of the training rows goes back to them when it leaks; a row of a file that was given is left out.
		this.#leakage = { fraction: new LeakageFinder("move"), files: new LeakageFinder("remove") };
	}

	async run(): Promise<DialogueData> {
		const { leakage: policy = "exclude", maxLength, overflow = "split", maxLossOfRows } = this.#options;
		const loss = maxLossOfRows === undefined ? {} : { maxLossOfRows };

		const fileRows = await this.#encodeHeldOutFiles();
		const heldOut = await this.#chooseHeldOut();
		const { ledger, duplicates } = await this.#encodeTraining(heldOut);
		const leaks = [...this.#leakage.fraction.finish(), ...this.#leakage.files.finish()];

		for (const { number, planned, examples } of heldOut.rows.values()) {
			const side = policy === "exclude" ? (this.#leakage.fraction.sideOf(number) as Side) : planned;
			if (examples.length > 0) this.#place(side, examples);
		}
		const heldOutLedgers: Partial<Record<Side, LedgerReport>> = {};
		for (const [side, rows] of fileRows) {
			for (const row of rows.rows) {
				const leaked = policy === "exclude" && this.#leakage.files.sideOf(row.number) === undefined;
				rows.ledger.record(row.file, leaked ? excluded(row) : row.entry);
				if (!leaked && row.examples.length > 0) this.#place(side, row.examples);
			}
			heldOutLedgers[side] = rows.ledger.report();
		}

		const report: DialogueReport = {
			ledger: ledger.report(),
			heldOutLedgers,
			sides: this.#summary(),
			duplicates,
			leaks: {
				rows: leaks.length,
				exact: leaks.filter((leak) => leak.exact).length,
				policy,
				places: leaks.slice(0, namedPlaces),
			},
			overflow,
			maxLength,
		};
		assertAcceptableLoss(report.ledger, { ...loss, what: "training data" });
		for (const [side, part] of Object.entries(heldOutLedgers)) {
			if (part.supervisedTokens > 0) assertAcceptableLoss(part, { ...loss, what: `${side} data` });
		}
		this.#checkSides(report);
		return {
			store: this.#store,
			train: this.#indices.train.toArray(),
			validation: Uint32Array.from(this.#indices.validation),
			test: Uint32Array.from(this.#indices.test),
			report,
		};
	}

	/** Files of held-out rows, encoded at once; their ledger waits until the leaks are known. */
	async #encodeHeldOutFiles() {
		const parts = new Map<Side, { ledger: RowLedger; rows: FileRow[] }>();
		for (const side of ["validation", "test"] as const) {
			const source = this.#options[side];
			if (source === undefined || !("files" in source)) continue;
			const part = { ledger: new RowLedger(), rows: [] as FileRow[] };
			parts.set(side, part);
			for (const file of source.files) {
				for await (const row of this.#read(file, "encoding")) {
					if ("problem" in row) {
						part.ledger.record(file, { outcome: "dropped", problems: [row.problem] });
						continue;
					}
					const { file: name, line } = row;
					const number = this.#leakage.files.holdOut({ file: name, line, side }, sidesOf(row.conversation));
					part.rows.push({ file: name, line, number, ...this.#encode(row) });
				}
			}
		}
		return parts;
	}

	/** Which rows of the training files are held out, told to the leakage finder before any row is trained on. */
	async #chooseHeldOut(): Promise<HeldOutRows> {
		const rows: HeldOutRows["rows"] = new Map();
		if (this.#fractions.validation + this.#fractions.test === 0) return { rows, tickets: undefined };
		const growing = new GrowingArray(Float64Array);
		for await (const row of this.#readTraining("splitting")) {
			if ("conversation" in row) growing.push(ticketOf(fingerprintOf(sidesOf(row.conversation)), this.#options.seed));
		}
		const tickets = growing.toArray();
		const bounds = chooseBounds(tickets, this.#fractions);
		let conversation = 0;
		for await (const row of this.#readTraining("splitting")) {
			if (!("conversation" in row)) continue;
			const planned = sideOf(tickets[conversation++] as number, bounds);
			if (planned === "train") continue;
			const { file, line } = row;
			const number = this.#leakage.fraction.holdOut({ file, line, side: planned }, sidesOf(row.conversation));
			rows.set(conversation - 1, { number, planned, examples: [] });
		}
		return { rows, tickets };
	}

	async #encodeTraining(heldOut: HeldOutRows) {
		const ledger = new RowLedger();
		const seen = new SeenRows();
		const duplicates: DialogueReport["duplicates"] = { rows: 0, places: [] };
		const first = this.#conversation;
		for await (const row of this.#readTraining("encoding")) {
			if ("problem" in row) {
				ledger.record(row.file, { outcome: "dropped", problems: [row.problem] });
				continue;
			}
			const place = { file: row.file, line: row.line };
			const planned = heldOut.rows.get(this.#conversation - first);
			const text = sidesOf(row.conversation);
			const repeats = planned === undefined ? seen.add(fingerprintOf(text), place) : undefined;
			if (repeats !== undefined) {
				duplicates.rows++;
				if (duplicates.places.length < namedPlaces) duplicates.places.push({ ...place, repeats });
				if (this.#options.duplicates === "drop") {
					const message = `repeats ${repeats.file}:${repeats.line}`;
					ledger.record(row.file, { outcome: "excluded", problems: [{ code: "duplicate", message, line: row.line }] });
					this.#conversation++;
					continue;
				}
			}
			const { entry, examples } = this.#encode(row);
			ledger.record(row.file, entry);
			if (planned !== undefined) planned.examples = examples;
			else if (examples.length > 0) {
				this.#place("train", examples);
				if (repeats === undefined) this.#compare(place, text);
			}
		}
		if (heldOut.tickets !== undefined && this.#conversation - first !== heldOut.tickets.length) {
			throw new UserError("DATA_CHANGED", "The training files changed while they were read.");
		}
		return { ledger, duplicates };
	}

	#compare(place: Place, text: Sides): void {
		this.#leakage.fraction.train(place, text);
		this.#leakage.files.train(place, text);
	}

	/** Encodes a conversation into the store and says what became of it. */
	#encode(row: ConversationRow): { entry: LedgerEntry; examples: number[] } {
		const conversation = this.#conversation++;
		const { entry, examples } = encodeRow(row, this.#options);
		return {
			entry,
			examples: examples.map((example) => this.#store.add(example, { conversation, line: row.line })),
		};
	}

	#place(side: Side, examples: readonly number[]): void {
		this.#conversations[side]++;
		for (const index of examples) this.#indices[side].push(index);
	}

	async *#readTraining(phase: PreparationProgress["phase"]) {
		for (const file of this.#options.files) yield* this.#read(file, phase);
	}

	async *#read(file: string, phase: PreparationProgress["phase"]) {
		const { columns, signal, onProgress } = this.#options;
		this.#rows = 0;
		yield* readDialogues(file, {
			...(columns === undefined ? {} : { columns }),
			...(signal === undefined ? {} : { signal }),
			...(onProgress && { onProgress: (at) => onProgress({ phase, rows: ++this.#rows, ...at }) }),
		});
	}

	#summary(): DialogueReport["sides"] {
		const of = (side: Side) => {
			const indices = this.#indices[side];
			let tokens = 0;
			for (let i = 0; i < indices.length; i++) tokens += this.#store.supervisedTokensOf(indices.at(i) as number);
			return { conversations: this.#conversations[side], examples: indices.length, supervisedTokens: tokens };
		};
		return { train: of("train"), validation: of("validation"), test: of("test") };
	}

	#checkSides(report: DialogueReport): void {
		for (const side of sides) {
			if (side !== "train" && this.#options[side] === undefined) continue;
			if (report.sides[side].examples > 0) continue;
			if (side === "train") {
				throw new UserError("NOTHING_TO_TRAIN_ON", "All conversations are held out; none is left to train on.", {
					hint: "hold out a smaller fraction",
				});
			}
			const leaked = report.leaks.places.filter((leak) => leak.side === side);
			throw new UserError("NOTHING_HELD_OUT", `No conversation is left for ${side}.`, {
				found:
					leaked.length === 0
						? "too few conversations that differ, or none that can be used"
						: `${leaked.length} that nearly repeat rows of training`,
				hint: "hold out more (--validation 0.2), name a file of other conversations, or train without: --validation 0",
			});
		}
	}
}

interface HeldOutRows {
	/** By number of the conversation in the training files. */
	rows: Map<number, { number: number; planned: Side; examples: number[] }>;
	/** One for each conversation of the training files. */
	tickets: Float64Array | undefined;
}

interface FileRow extends Place {
	/** In the leakage finder. */
	number: number;
	entry: LedgerEntry;
	examples: number[];
}

function excluded({ line }: FileRow): LedgerEntry {
	return { outcome: "excluded", problems: [{ code: "duplicate", message: "nearly repeats a row of training", line }] };
}

const fractionOf = (source: HeldOutSource | undefined) =>
	source !== undefined && "fraction" in source ? source.fraction : 0;

function checkOptions({ files, validation, test }: DialogueOptions): void {
	const heldOut = [validation, test].flatMap((source) => (source && "files" in source ? source.files : []));
	const all = [...files, ...heldOut];
	const twice = all.find((file, index) => all.indexOf(file) !== index);
	if (twice !== undefined) {
		throw new UserError("SAME_FILE_TWICE", `${twice} is given twice.`, {
			hint: "give each file once; to hold out a part, give a fraction",
		});
	}
	const fractions = [validation, test].map(fractionOf);
	const bad = fractions.find((fraction) => !(fraction >= 0 && fraction < 1));
	if (bad !== undefined || fractions.reduce((a, b) => a + b, 0) >= 1) {
		throw new UserError(
			"BAD_FRACTION",
			"The fractions that are held out must be at least 0 and together less than 1.",
			{
				found: fractions.join(" and "),
			},
		);
	}
}

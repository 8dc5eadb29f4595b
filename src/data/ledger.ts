// The row ledger: what became of every row of the data. Nothing is lost without being counted here, with its line.
// It also judges: a run that would train on nothing, or would lose more than the user allows, does not start.
import { UserError } from "../util/errors.ts";
import { type Place, type Problem, type ProblemCode, problemCodes } from "./row.ts";

/** What can become of a row, and whether it counts as a loss. */
export const outcomes = {
	kept: { meaning: "used as it is", loss: false },
	trimmed: { meaning: "used without the turns after its last answer", loss: false },
	split: { meaning: "too long for one example: cut into several, every answer whole", loss: false },
	truncated: { meaning: "too long: some of its answers are lost", loss: true },
	dropped: { meaning: "not used", loss: true },
	"no-signal": { meaning: "holds nothing to learn from", loss: true },
	excluded: { meaning: "left out on purpose: a duplicate, or a row of the other side of a split", loss: false },
} as const;

export type Outcome = keyof typeof outcomes;

export interface LedgerEntry {
	outcome: Outcome;
	/** Why the row is not used exactly as it stands. */
	problems?: readonly Problem[];
	/** Ids put into examples, supervised tokens among them, and supervised tokens that are in none. */
	tokens?: number;
	supervisedTokens?: number;
	lostTokens?: number;
	examples?: number;
	unused?: readonly string[];
}

/** Plain data, as it goes into a report. Shares are of 1. */
export interface LedgerReport {
	rows: number;
	outcomes: Record<Outcome, number>;
	examples: number;
	tokens: number;
	supervisedTokens: number;
	/** Supervised tokens of encoded rows that are in no example. */
	lostTokens: number;
	lossOfRows: number;
	lossOfTokens: number;
	problems: ProblemCount[];
	/** Fields that were not read, and in how many rows they held something. */
	unusedFields: Record<string, number>;
}

export interface ProblemCount {
	code: ProblemCode;
	meaning: string;
	rows: number;
	/** The first of them. */
	places: (Place & { column?: number; message: string })[];
}

const sumKeys = ["examples", "tokens", "supervisedTokens", "lostTokens"] as const;

export class RowLedger {
	readonly #placesPerCode: number;
	readonly #outcomes = Object.fromEntries(Object.keys(outcomes).map((name) => [name, 0])) as Record<Outcome, number>;
	readonly #problems = new Map<ProblemCode, ProblemCount>();
	readonly #unused = new Map<string, number>();
	readonly #sums = { examples: 0, tokens: 0, supervisedTokens: 0, lostTokens: 0 };

	/** `placesPerCode`: how many lines are named for each kind of problem; the count goes on. Default 100. */
	constructor(options: { placesPerCode?: number } = {}) {
		this.#placesPerCode = options.placesPerCode ?? 100;
	}

	/** Counts one row. Every row is recorded once. */
	record(file: string, entry: LedgerEntry): void {
		this.#outcomes[entry.outcome]++;
		for (const key of sumKeys) this.#sums[key] += entry[key] ?? 0;
		for (const name of entry.unused ?? []) this.#unused.set(name, (this.#unused.get(name) ?? 0) + 1);
		for (const problem of entry.problems ?? []) this.#note(file, problem);
	}

	report(): LedgerReport {
		const rows = Object.values(this.#outcomes).reduce((sum, count) => sum + count, 0);
		const lost = (Object.keys(outcomes) as Outcome[]).filter((name) => outcomes[name].loss);
		const lostRows = lost.reduce((sum, name) => sum + this.#outcomes[name], 0);
		const { lostTokens, supervisedTokens } = this.#sums;
		return {
			rows,
			outcomes: { ...this.#outcomes },
			...this.#sums,
			lossOfRows: rows === 0 ? 0 : lostRows / rows,
			lossOfTokens: lostTokens === 0 ? 0 : lostTokens / (lostTokens + supervisedTokens),
			problems: [...this.#problems.values()].sort((a, b) => b.rows - a.rows),
			unusedFields: Object.fromEntries(this.#unused),
		};
	}

	#note(file: string, { code, message, line, column }: Problem): void {
		const count = this.#problems.get(code) ?? { code, meaning: problemCodes[code], rows: 0, places: [] };
		this.#problems.set(code, count);
		count.rows++;
		if (count.places.length < this.#placesPerCode) {
			count.places.push({ file, line, ...(column === undefined ? {} : { column }), message });
		}
	}
}

/**
 * Throws NOTHING_TO_TRAIN_ON when no token is supervised, and TOO_MANY_ROWS_LOST when more than the share
 * `maxLossOfRows` (default 0.01) of the rows, or of the supervised tokens, would be dropped or cut. Called before step 1.
 */
export function assertAcceptableLoss(
	report: LedgerReport,
	options: { maxLossOfRows?: number; what?: string } = {},
): void {
	const { maxLossOfRows = 0.01, what = "data" } = options;
	const found = report.problems.slice(0, 3).map(describeProblem).join("; ");
	const [first] = report.problems[0]?.places ?? [];
	const where = first && { where: placeOf(first) };
	if (report.supervisedTokens === 0) {
		throw new UserError(
			"NOTHING_TO_TRAIN_ON",
			`The ${what} holds nothing to train on: ${report.rows} ${report.rows === 1 ? "row" : "rows"}, no supervised token.`,
			{
				...where,
				...(found === "" ? {} : { found }),
				hint: "attune data check FILE shows what becomes of each row",
			},
		);
	}
	const share = Math.max(report.lossOfRows, report.lossOfTokens);
	if (share <= maxLossOfRows) return;
	const byRows = report.lossOfRows >= report.lossOfTokens;
	const lost = byRows
		? `${percent(report.lossOfRows)} of the rows of the ${what} would be dropped or cut`
		: `${percent(report.lossOfTokens)} of the supervised tokens of the ${what} would be lost`;
	const tooLong = report.problems.some((problem) => problem.code === "too-long");
	throw new UserError(
		"TOO_MANY_ROWS_LOST",
		`${lost}, more than the ${percent(maxLossOfRows)} that --max-loss-of-rows allows.`,
		{
			...where,
			found,
			hint: `${tooLong ? "raise --max-length, or " : ""}mend these rows, or accept the loss: --max-loss-of-rows ${ceil(share)}`,
		},
	);
}

function describeProblem({ rows, meaning, places }: ProblemCount): string {
	const first = places.slice(0, 3).map(placeOf);
	const where = `${first.join(", ")}${rows > first.length ? ", ..." : ""}`;
	return `${rows} ${rows === 1 ? "row" : "rows"}: ${meaning} (${where}: ${places[0]?.message})`;
}

const placeOf = ({ file, line, column }: ProblemCount["places"][number]) =>
	[file, line, column].filter(Boolean).join(":");

const percent = (share: number) => `${Number((share * 100).toPrecision(3))} %`;
const ceil = (share: number) => Math.ceil(share * 1000) / 1000;

import { expect, test } from "vitest";
import { assertAcceptableLoss, type LedgerEntry, RowLedger } from "./ledger.ts";

const kept: LedgerEntry = { outcome: "kept", examples: 1, tokens: 10, supervisedTokens: 4 };
const broken = (line: number): LedgerEntry => ({
	outcome: "dropped",
	problems: [{ code: "broken-json", message: "expected a value", line, column: 3 }],
});
const ledgerOf = (...entries: LedgerEntry[]) => {
	const ledger = new RowLedger({ placesPerCode: 2 });
	for (const entry of entries) ledger.record("f.jsonl", entry);
	return ledger.report();
};

test("counts every row, names the first lines of each problem and the fields that nobody read", () => {
	const report = ledgerOf(kept, { ...kept, unused: ["id"] }, broken(3), broken(4), broken(5), {
		outcome: "truncated",
		supervisedTokens: 2,
		lostTokens: 10,
		problems: [{ code: "too-long", message: "m", line: 6 }],
	});
	expect(report).toMatchObject({
		rows: 6,
		outcomes: { kept: 2, dropped: 3, truncated: 1, split: 0 },
		supervisedTokens: 10,
		lostTokens: 10,
		lossOfRows: 4 / 6,
		lossOfTokens: 0.5,
		unusedFields: { id: 1 },
	});
	expect(report.problems.map(({ code, rows, places }) => [code, rows, places.map(({ line }) => line)])).toEqual([
		["broken-json", 3, [3, 4]],
		["too-long", 1, [6]],
	]);
	expect(JSON.parse(JSON.stringify(report))).toEqual(report);
});

test("a run that would train on nothing is stopped, with the reason", () => {
	expect(() => assertAcceptableLoss(ledgerOf(broken(1)), { maxLossOfRows: 1 })).toThrow(
		expect.objectContaining({ code: "NOTHING_TO_TRAIN_ON", found: expect.stringContaining("f.jsonl:1") }),
	);
	expect(() => assertAcceptableLoss(ledgerOf())).toThrow(expect.objectContaining({ code: "NOTHING_TO_TRAIN_ON" }));
});

test("more loss than allowed is stopped, by rows and by tokens; the limit itself is allowed", () => {
	const rows = Array.from({ length: 99 }, () => kept);
	expect(() => assertAcceptableLoss(ledgerOf(...rows, broken(100)))).not.toThrow();
	expect(() => assertAcceptableLoss(ledgerOf(...rows, broken(100)), { maxLossOfRows: 0 })).toThrow(
		expect.objectContaining({ code: "TOO_MANY_ROWS_LOST", hint: expect.stringContaining("--max-loss-of-rows 0.01") }),
	);
	const cut: LedgerEntry = { outcome: "truncated", supervisedTokens: 1, lostTokens: 50 };
	expect(() => assertAcceptableLoss(ledgerOf(...rows, cut))).toThrow(/supervised tokens/);
});

test("turns taken off the end, splits and rows left out on purpose are no loss", () => {
	const report = ledgerOf(
		kept,
		{ ...kept, outcome: "trimmed" },
		{ ...kept, outcome: "split" },
		{ outcome: "excluded" },
	);
	expect(report.lossOfRows).toBe(0);
	expect(() => assertAcceptableLoss(report)).not.toThrow();
});

// What `attune data check` tells beside the ledger.
import { expect, test } from "vitest";
import { dialoguesFile, eventsOf, ofType, rows, tinyModelDirectory } from "../../test/support/tiny.ts";
import { dataCheck } from "./data-check.ts";

test("rows that repeat an earlier one are named with it, by file only when there are several", async () => {
	const model = await tinyModelDirectory();
	const again = dialoguesFile([...rows, rows[2]]);
	const messages = async (files: string[]) =>
		ofType(await eventsOf(dataCheck({ model, files })), "warning").map(({ message }) => message);
	expect(await messages([again])).toEqual(["1 row repeats an earlier row (line 13 as line 3)."]);
	const first = dialoguesFile();
	const [message] = await messages([first, again]);
	expect(message).toContain("13 rows repeat");
	expect(message).toContain(`(line ${again}:1 as line ${first}:1, `);
	expect(message).toMatch(/, \.\.\.\)\.$/);
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { type DialogueData, type DialogueOptions, prepareDialogues } from "./dialogues.ts";
import { sidesOf } from "./fingerprint.ts";
import { segmentsOf } from "./inspect.ts";
import { jaccard, nearness, shingles } from "./near-duplicates.ts";
import { chooseBounds, mostHeldOut, sideOf, ticketOf } from "./split.ts";
import { byteTemplate as template, byteTokenizer as tokenizer } from "./testing/fake-template.ts";
import { jsonLinesOf, textFile } from "./testing/text.ts";

const prepare = (options: Partial<DialogueOptions> & { files: string[] }) =>
	prepareDialogues({ template, maxLength: 2000, seed: 1, ...options });
const fileOf = (rows: readonly unknown[]) => textFile(jsonLinesOf(rows), ".jsonl");
const lines = (data: DialogueData, side: "train" | "validation" | "test") =>
	[...data[side]].map((index) => data.store.originOf(index).line);
const rng = new Rng(3);
const random = () => Array.from({ length: 30 }, () => String.fromCharCode(97 + rng.integer(26))).join("");
const rowsOf = (count: number) => Array.from({ length: count }, () => ({ input: random(), output: random() }));

test("every row is an example, in order, or is in the ledger", async () => {
	const rows: unknown[] = rowsOf(6);
	rows[2] = { input: "q" };
	const data = await prepare({ files: [fileOf(rows)], maxLossOfRows: 0.2 });
	expect(lines(data, "train")).toEqual([1, 2, 4, 5, 6]);
	expect(data.report).toMatchObject({
		ledger: { rows: 6, outcomes: { kept: 5, dropped: 1 }, problems: [{ code: "no-output", places: [{ line: 3 }] }] },
		sides: { train: { conversations: 5, examples: 5, supervisedTokens: 5 * 31 }, validation: { examples: 0 } },
	});
	expect(JSON.parse(JSON.stringify(data.report))).toEqual(data.report);
});

test("several files are read one after the other; the same file twice is refused", async () => {
	const [a, b] = [fileOf(rowsOf(2)), fileOf(rowsOf(3))];
	expect((await prepare({ files: [a, b] })).train.length).toBe(5);
	await expect(prepare({ files: [a, a] })).rejects.toMatchObject({ code: "SAME_FILE_TWICE" });
	await expect(prepare({ files: [a], validation: { files: [a] } })).rejects.toMatchObject({ code: "SAME_FILE_TWICE" });
});

test("what a template refuses is that row's problem", async () => {
	const { UserError } = await import("../util/errors.ts");
	const picky = {
		...template,
		render: (turns: Parameters<typeof template.render>[0]) => {
			if (turns[0]?.content.startsWith("x")) throw new UserError("CHAT_TEMPLATE_REFUSED", "no x please");
			if (turns[0]?.content.startsWith("y")) throw new UserError("TOKENIZER_UNKNOWN_CHARACTER", "no y here");
			return template.render(turns);
		},
	};
	const rows = [...rowsOf(2), { input: "x", output: "1" }, { input: "y", output: "1" }];
	const data = await prepare({ files: [fileOf(rows)], template: picky, maxLossOfRows: 0.5 });
	expect(data.report.ledger.problems).toMatchObject([
		{ code: "template-refused", places: [{ line: 3, message: "no x please" }] },
		{ code: "unknown-characters", places: [{ line: 4 }] },
	]);
});

describe("a fraction that is held out", () => {
	test("has the size asked for, is the same each time, and depends on the seed, not on the order of rows", async () => {
		const rows = rowsOf(200);
		const texts = (data: DialogueData) =>
			[...data.validation].map((index) => segmentsOf(data.store.get(index), tokenizer)[0]?.text).sort();
		const validation = { fraction: 0.1 };
		const data = await prepare({ files: [fileOf(rows)], validation });
		expect(data.validation.length).toBe(20);
		expect(data.train.length).toBe(180);
		const reversed = await prepare({ files: [fileOf(rows.toReversed())], validation });
		expect(texts(reversed)).toEqual(texts(data));
		const other = await prepare({ files: [fileOf(rows)], validation, seed: 2 });
		expect(texts(other)).not.toEqual(texts(data));
	});

	test("keeps conversations whole, on exactly one of three sides", async () => {
		const conversation = () => ({
			messages: [0, 1, 2, 3].flatMap(() => [
				{ role: "user", content: random() },
				{ role: "assistant", content: random() },
			]),
		});
		const files = [fileOf(Array.from({ length: 60 }, conversation))];
		const data = await prepare({ files, maxLength: 100, validation: { fraction: 0.2 }, test: { fraction: 0.1 } });
		expect(data.store.count).toBe(60 * 4);
		const sides = {
			train: new Set(lines(data, "train")),
			validation: new Set(lines(data, "validation")),
			test: new Set(lines(data, "test")),
		};
		expect([sides.train.size, sides.validation.size, sides.test.size]).toEqual([42, 12, 6]);
		expect(new Set([...sides.train, ...sides.validation, ...sides.test]).size).toBe(60);
		expect(data.report.sides.test).toMatchObject({ conversations: 6, examples: 24 });
	});

	test("no held-out conversation nearly repeats one of training, over many planted copies", async () => {
		const base = rowsOf(60);
		const copies = base.flatMap((row, i) =>
			i % 2 === 0
				? []
				: [
						{ input: `${row.input.toUpperCase()}!`, output: row.output },
						{ input: row.input, output: `${row.output}s` },
					],
		);
		const rows = new Rng(5).shuffle([...base, ...copies]);
		const data = await prepare({ files: [fileOf(rows)], validation: { fraction: 0.3 }, test: { fraction: 0.2 } });
		const of = (line: number) => {
			const { input, output } = rows[line - 1] as { input: string; output: string };
			return sidesOf([
				{ role: "user", content: input },
				{ role: "assistant", content: output },
			]);
		};
		const near = (a: number, b: number) =>
			jaccard(shingles(of(a).asked), shingles(of(b).asked)) >= nearness &&
			jaccard(shingles(of(a).answered), shingles(of(b).answered)) >= nearness;
		const [train, validation, testing] = [lines(data, "train"), lines(data, "validation"), lines(data, "test")];
		for (const held of validation) expect(train.filter((line) => near(line, held))).toEqual([]);
		for (const held of testing) expect([...train, ...validation].filter((line) => near(line, held))).toEqual([]);
		// Nothing is lost: what leaked went back to training.
		expect(train.length + validation.length + testing.length).toBe(rows.length);
		expect(data.report.leaks.rows).toBeGreaterThan(0);
		for (const leak of data.report.leaks.places) expect(near(leak.line, leak.repeats.line)).toBe(true);

		const reported = await prepare({ files: [fileOf(rows)], validation: { fraction: 0.3 }, leakage: "report" });
		expect(reported.validation.length).toBeGreaterThanOrEqual(36);
		expect(reported.report.leaks.rows).toBeGreaterThan(0);
	});

	test("is refused when nothing would be left on a side", async () => {
		const same = fileOf(Array.from({ length: 9 }, () => ({ input: "hello there", output: "general" })));
		await expect(prepare({ files: [same], validation: { fraction: 0.3 } })).rejects.toMatchObject({
			code: "NOTHING_HELD_OUT",
		});
		for (const fraction of [-0.1, 1, Number.NaN]) {
			await expect(prepare({ files: [same], validation: { fraction } })).rejects.toMatchObject({
				code: "BAD_FRACTION",
			});
		}
	});
});

describe("files that are held out", () => {
	test("lose the rows that training nearly repeats, with both lines named", async () => {
		const rows = rowsOf(5);
		const held = [...rowsOf(3), { input: `${rows[1]?.input}?`, output: rows[1]?.output }];
		const files = [fileOf(rows)];
		const validation = { files: [fileOf(held)] };
		const data = await prepare({ files, validation });
		expect(lines(data, "train")).toEqual([1, 2, 3, 4, 5]);
		expect(lines(data, "validation")).toEqual([1, 2, 3]);
		expect(data.report.leaks).toMatchObject({
			rows: 1,
			exact: 1,
			places: [{ line: 4, side: "validation", repeats: { line: 2, side: "train", file: files[0] } }],
		});
		expect(data.report.heldOutLedgers.validation).toMatchObject({ rows: 4, outcomes: { kept: 3, excluded: 1 } });
		const reported = await prepare({ files, validation, leakage: "report" });
		expect(reported.validation.length).toBe(4);
		await expect(prepare({ files, validation: { files: [fileOf(held.slice(3))] } })).rejects.toMatchObject({
			code: "NOTHING_HELD_OUT",
			found: expect.stringContaining("1 that nearly repeat"),
		});
	});

	test("are held to the same loss of rows", async () => {
		const validation = { files: [fileOf([...rowsOf(3), { input: "q" }])] };
		await expect(prepare({ files: [fileOf(rowsOf(5))], validation })).rejects.toMatchObject({
			code: "TOO_MANY_ROWS_LOST",
		});
	});
});

test("duplicates within training are counted and kept, or left out when asked", async () => {
	const [a, b] = rowsOf(2);
	const files = [fileOf([a, b, a, { input: ` ${a?.input}!`, output: a?.output }])];
	const kept = await prepare({ files });
	expect(kept.train.length).toBe(4);
	expect(kept.report.duplicates).toMatchObject({
		rows: 2,
		places: [
			{ line: 3, repeats: { file: files[0], line: 1 } },
			{ line: 4, repeats: { file: files[0], line: 1 } },
		],
	});
	const dropped = await prepare({ files, duplicates: "drop" });
	expect(lines(dropped, "train")).toEqual([1, 2]);
	expect(dropped.report.ledger).toMatchObject({ outcomes: { kept: 2, excluded: 2 }, lossOfRows: 0 });
});

test("the bounds of a split hold out as many tickets as asked, and never part equal ones", () => {
	fc.assert(
		fc.property(
			fc.array(fc.nat(30), { minLength: 3, maxLength: 80 }),
			fc.constantFrom(0, 0.01, 0.1, 0.3),
			fc.constantFrom(0, 0.1, 0.2),
			(prints, validation, test) => {
				const tickets = Float64Array.from(prints, (print) => ticketOf(print, "seed"));
				const bounds = chooseBounds(tickets, { validation, test });
				const counts = { train: 0, validation: 0, test: 0 };
				for (const ticket of tickets) counts[sideOf(ticket, bounds)]++;
				const most = Math.max(...prints.map((print) => prints.filter((other) => other === print).length));
				const wanted = (fraction: number) => (fraction === 0 ? 0 : Math.max(1, Math.round(prints.length * fraction)));
				expect(counts.test).toBeLessThanOrEqual(wanted(test));
				expect(counts.test).toBeGreaterThan(wanted(test) - most - (test === 0 ? 1 : 0));
				expect(counts.test + counts.validation).toBeLessThanOrEqual(wanted(test) + wanted(validation));
			},
		),
		{ numRuns: 200, seed: 1 },
	);
});

test("a fraction of very many conversations holds out no more than can be evaluated again and again", () => {
	const tickets = Float64Array.from({ length: 50_000 }, (_, i) => ticketOf(i, "seed"));
	const bounds = chooseBounds(tickets, { validation: 0.1, test: 0.001 });
	const counts = { train: 0, validation: 0, test: 0 };
	for (const ticket of tickets) counts[sideOf(ticket, bounds)]++;
	expect(counts).toEqual({ train: 50_000 - mostHeldOut - 50, validation: mostHeldOut, test: 50 });
});

test("examples that do not fit into memory give the same data from a file", async () => {
	const files = [fileOf(rowsOf(5000))];
	const small = await prepare({ files, archive: { maxBytes: 0 } });
	const large = await prepare({ files });
	expect(small.store.spilled).toBe(true);
	expect(large.store.spilled).toBe(false);
	expect(small.store.fingerprint).toBe(large.store.fingerprint);
	expect(small.store.get(4321)).toEqual(large.store.get(4321));
});

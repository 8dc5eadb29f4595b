// Widths, numbers, tables, charts and the progress line: against Node's own readline where it has an opinion.

import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { stripVTControlCharacters } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakeTerminal } from "../testing/fakes.ts";
import { chartLines } from "./chart.ts";
import { formatBytes, formatCount, formatLoss, formatRate, formatSeconds, formatShortCount } from "./format.ts";
import { Progress, progressText } from "./progress.ts";
import { rowLines } from "./rows.ts";
import { paintFor, plain } from "./style.ts";
import { tableLines } from "./table.ts";
import { cutToWidth, displayWidth, padToWidth, printable } from "./width.ts";

/** readline has to know widths to place the cursor, and tells where it is. */
function readlineWidth(text: string): number {
	const output = Object.assign(new PassThrough(), { columns: 1_000_000 });
	const lines = createInterface({ input: new PassThrough(), output });
	lines.setPrompt(text);
	const { cols } = lines.getCursorPos();
	lines.close();
	return cols;
}

describe("width", () => {
	test.each([
		["loss", 4],
		["损失", 4],
		["你好，world。", 13],
		["ｆｕｌｌ", 8],
		["한국어", 6],
		["かな", 4],
		["é", 1],
		["e\u0301", 1],
		["😀", 2],
		["⣿⣀", 2],
		["", 0],
		["𠀀", 2],
		["\u001b[31m红\u001b[39m", 2],
	])("%j takes %i columns, as readline thinks", (text, width) => {
		expect(displayWidth(text)).toBe(width);
		expect(readlineWidth(text)).toBe(width);
	});

	const texts = fc
		.array(fc.constantFrom("a", "Z", " ", "损", "，", "あ", "한", "é", "😀", "。", "1", "⣿", "…"))
		.map((parts) => parts.join(""));

	test("agrees with readline on mixed text", () => {
		fc.assert(
			fc.property(texts, (text) => {
				expect(displayWidth(text)).toBe(readlineWidth(text));
			}),
		);
	});

	test("cutting never exceeds the width and padding fills it", () => {
		fc.assert(
			fc.property(texts, fc.nat(30), (text, width) => {
				const cut = cutToWidth(text, width);
				expect(displayWidth(cut)).toBeLessThanOrEqual(width);
				if (displayWidth(text) <= width) expect(cut).toBe(text);
				expect(displayWidth(padToWidth(cut, { width }))).toBe(width);
			}),
		);
	});

	test("control characters in people's text cannot act", () => {
		expect(printable("a\u001b[2Jb\r\u0007\u009b1m\u202e\n\tc")).toBe("a␛[2Jb␍␇\ufffd1m\ufffd\n\tc");
		fc.assert(
			fc.property(fc.string({ unit: "binary" }), (text) => {
				expect(/[^\P{Cc}\n\t]/u.test(printable(text))).toBe(false);
			}),
		);
	});
});

test("numbers", () => {
	expect([formatCount(1234567), formatCount(0.4)]).toEqual(["1,234,567", "0"]);
	expect([formatShortCount(124439808), formatShortCount(999), formatShortCount(1.5e9)]).toEqual([
		"124.4M",
		"999",
		"1.5B",
	]);
	expect([0, 1023, 1024, 1536, 1024 ** 2 - 1, 12 * 1024 ** 3].map(formatBytes)).toEqual([
		"0 B",
		"1023 B",
		"1.0 KiB",
		"1.5 KiB",
		"1.0 MiB",
		"12.0 GiB",
	]);
	expect([0, 9.94, 9.96, 59.4, 59.6, 3599.9, 3725, 90_000, Number.NaN, Infinity].map(formatSeconds)).toEqual([
		"0.0s",
		"9.9s",
		"10s",
		"59s",
		"1m 0s",
		"1h 0m",
		"1h 2m",
		"1d 1h",
		"?",
		"?",
	]);
	expect([5e-5, 0.1, 0, 1e-3].map(formatRate)).toEqual(["5.0e-5", "0.100", "0", "1.0e-3"]);
	expect([2.34567, 0, 1e-6, 3e7, Number.NaN].map(formatLoss)).toEqual([
		"2.3457",
		"0.0000",
		"1.00e-6",
		"3.00e+7",
		"NaN",
	]);
});

test("colour follows the stream, NO_COLOR and FORCE_COLOR", () => {
	const terminal = { isTTY: true };
	expect(paintFor(terminal, {})("red", "x")).toBe("\u001b[31mx\u001b[39m");
	expect(paintFor({ isTTY: false }, {})("red", "x")).toBe("x");
	expect(paintFor(terminal, { NO_COLOR: "1" })("red", "x")).toBe("x");
	expect(paintFor(terminal, { NO_COLOR: "" })("red", "x")).not.toBe("x");
	expect(paintFor(terminal, { TERM: "dumb" })("red", "x")).toBe("x");
	expect(paintFor({ isTTY: false }, { FORCE_COLOR: "1" })("red", "x")).not.toBe("x");
	expect(paintFor(terminal, { FORCE_COLOR: "0" })("red", "x")).toBe("x");
});

test("tables line up with Chinese and coloured cells, and the widest column gives way", () => {
	const columns = [{ title: "问题" }, { title: "loss", side: "right" }] as const;
	const red = paintFor({ isTTY: true }, {})("red", "2.5");
	const lines = tableLines(columns, {
		rows: [
			["where is it", "1.25"],
			["在哪里", red],
		],
		width: 60,
	});
	expect(lines.map(stripVTControlCharacters)).toEqual(["问题         loss", "where is it  1.25", "在哪里        2.5"]);
	const narrow = tableLines(columns, { rows: [["很长的问题".repeat(20), "1.25"]], width: 40 });
	expect(Math.max(...narrow.map(displayWidth))).toBeLessThanOrEqual(40);
	expect(narrow[1]).toContain("…");
});

describe("chart", () => {
	const options = { width: 60, height: 5, xLabel: "step" };
	const falling = Array.from({ length: 50 }, (_, i) => ({ x: i, y: 5 - i / 12 }));

	test("a falling curve begins at the top left and ends at the bottom right", () => {
		const lines = chartLines([{ name: "loss", look: "cyan", points: falling }], options);
		expect(lines).toHaveLength(7);
		expect(lines.every((line) => displayWidth(line) <= 60)).toBe(true);
		expect(lines[0]).toMatch(/^5\.0000 [^\u2800]/);
		expect(lines[0]?.endsWith("\u2800")).toBe(true);
		expect(lines[4]).toMatch(/^0\.9167 \u2800/);
		expect(lines[4]?.endsWith("\u2800")).toBe(false);
		expect(lines[5]).toMatch(/^ {7}step 0 +49$/);
		expect(lines[6]).toContain("loss");
	});

	test("every column of the plot holds a dot of a connected line", () => {
		const lines = chartLines([{ name: "loss", look: "cyan", points: falling }], options).slice(0, 5);
		const columns = Array.from({ length: 53 }, (_, c) => lines.map((line) => line[7 + c]));
		expect(columns.filter((cells) => cells.every((cell) => cell === "\u2800"))).toEqual([]);
	});

	test("nothing, one point, flat and not finite", () => {
		const of = (ys: number[]) => [{ name: "a", look: "red" as const, points: ys.map((y, x) => ({ x, y })) }];
		expect(chartLines([], options)).toEqual([]);
		expect(chartLines(of([1]), options)).toEqual([]);
		expect(chartLines(of([2, 2, 2]), options)).toHaveLength(7);
		expect(chartLines(of([3, Number.NaN, Infinity, 1]), options)[0]).toContain("3.0000");
	});
});

describe("progress", () => {
	const line = {
		part: 0.5,
		pieces: ["step 60/120", "loss 2.3411", "1m 2s left", "lr 4.8e-5", "1,234 sup. tok/s"],
	};

	test("fits any width, dropping the least important first", () => {
		for (let columns = 0; columns < 140; columns++) {
			const text = progressText(line, { columns });
			expect(displayWidth(text)).toBeLessThanOrEqual(columns);
		}
		expect(progressText(line, { columns: 30 })).toBe("step 60/120  loss 2.3411");
		expect(progressText(line, { columns: 120 })).toMatch(/^step 60\/120 {2}⣿{12}⣀{12} {2}loss/);
	});

	test("a part outside 0 to 1, or not a number of steps, does not break the bar", () => {
		for (const part of [-1, 2, Number.NaN])
			expect(displayWidth(progressText({ ...line, part }, { columns: 120 }))).toBeLessThanOrEqual(120);
	});

	test("the bar does not grow again when the numbers beside it get shorter", () => {
		const terminal = new FakeTerminal({ isTTY: true, columns: 60 });
		const progress = new Progress(terminal.stderr, { nowMs: terminal.nowMs });
		const widths = ["9.9s", "12m 34s", "9.9s"].map((left) => {
			terminal.timeMs += 1000;
			progress.show({ part: 0.5, pieces: ["step 60/120", "loss 2.3411", `${left} left`] });
			return terminal.err.at(-1)?.match(/[⣿⣀]+/)?.[0].length;
		});
		expect(widths).toEqual([22, 19, 19]);
	});

	test("on a terminal it is redrawn at most ten times a second, on one line", () => {
		const terminal = new FakeTerminal({ isTTY: true });
		const progress = new Progress(terminal.stderr, { nowMs: terminal.nowMs });
		for (let ms = 0; ms < 1000; ms++) {
			terminal.timeMs = ms;
			progress.show(line);
		}
		expect(terminal.err).toHaveLength(10);
		expect(terminal.errText).not.toContain("\n");
		progress.finish();
		expect(terminal.errText.endsWith("\n")).toBe(true);
	});

	test("elsewhere it is a plain line now and then, and the last one", () => {
		const terminal = new FakeTerminal();
		const progress = new Progress(terminal.stderr, { nowMs: terminal.nowMs });
		for (let second = 0; second <= 25; second++) {
			terminal.timeMs = second * 1000;
			progress.show({ pieces: [`second ${second}`] });
		}
		progress.finish();
		expect(terminal.errText).toBe("second 0\nsecond 10\nsecond 20\nsecond 25\n");
	});

	test("what only passes is shown, but not left standing", () => {
		const terminal = new FakeTerminal();
		const progress = new Progress(terminal.stderr, { nowMs: terminal.nowMs });
		progress.show({ pieces: ["step 1"] });
		progress.show({ pieces: ["step 2"] });
		terminal.timeMs = 10_000;
		progress.show({ pieces: ["evaluating, 1 of 2"], passing: true });
		progress.show({ pieces: ["evaluating, 2 of 2"], passing: true });
		progress.finish();
		expect(terminal.errText).toBe("step 1\nevaluating, 1 of 2\nstep 2\n");
	});
});

test("supervised text is marked, with and without colour", () => {
	const row = {
		type: "row-rendered",
		line: 3,
		fate: "kept",
		pieces: [
			{ text: "<user>hi\u001b[2J<bot>", supervised: false },
			{ text: "hello<|endoftext|>", supervised: true },
		],
	} as const;
	expect(rowLines(row, { paint: plain })).toEqual(["line 3: kept", "<user>hi␛[2J<bot>⟦hello<|endoftext|>⟧", ""]);
	const coloured = rowLines(row, { paint: paintFor({ isTTY: true }, {}) })[1];
	expect(coloured).toContain("\u001b[32m");
	expect(stripVTControlCharacters(coloured ?? "")).toBe("<user>hi␛[2J<bot>hello<|endoftext|>");
});

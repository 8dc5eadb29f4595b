// How wide text is on a terminal: two columns for East Asian wide characters and emoji, none for marks that combine.
// Width classes after Unicode's EastAsianWidth.txt (W and F); the test compares with Node's readline.
import { stripVTControlCharacters } from "node:util";

let segmenter: Intl.Segmenter | undefined;
/** What a reader takes for one character each. The segmenter is made at its first use: it takes 20 ms. */
function graphemesOf(text: string): Iterable<{ segment: string }> {
	segmenter ??= new Intl.Segmenter("en", { granularity: "grapheme" });
	return segmenter.segment(stripVTControlCharacters(text));
}

const printableAscii = /^[\x20-\x7e]*$/;
const zeroWidth = /^[\p{Mn}\p{Me}\p{Cf}\p{Cc}]/u;
const emoji = /^\p{Emoji_Presentation}/u;

// First and last code points.
const wide: readonly (readonly [number, number])[] = [
	[0x1100, 0x115f],
	[0x2329, 0x232a],
	[0x2e80, 0x303e],
	[0x3041, 0x4dbf],
	[0x4e00, 0xa4cf],
	[0xa960, 0xa97f],
	[0xac00, 0xd7a3],
	[0xf900, 0xfaff],
	[0xfe10, 0xfe19],
	[0xfe30, 0xfe6f],
	[0xff01, 0xff60],
	[0xffe0, 0xffe6],
	[0x16fe0, 0x18d08],
	[0x1aff0, 0x1b2fb],
	[0x1f200, 0x1f265],
	[0x20000, 0x3fffd],
];

/** Columns that `text` takes on one line. Colour codes take none. */
export function displayWidth(text: string): number {
	if (printableAscii.test(text)) return text.length;
	let width = 0;
	for (const { segment } of graphemesOf(text)) width += graphemeWidth(segment);
	return width;
}

/** `text` without colour codes, cut so that it takes at most `width` columns; a cut shows as "…". */
export function cutToWidth(text: string, width: number): string {
	if (displayWidth(text) <= width) return text;
	let used = 0;
	let kept = "";
	for (const { segment } of graphemesOf(text)) {
		used += graphemeWidth(segment);
		if (used > width - 1) break;
		kept += segment;
	}
	return width < 1 ? "" : `${kept}…`;
}

/** Filled with spaces to `width` columns. */
export function padToWidth(
	text: string,
	{ width, side = "right" }: { width: number; side?: "left" | "right" },
): string {
	const filler = " ".repeat(Math.max(0, width - displayWidth(text)));
	return side === "left" ? filler + text : text + filler;
}

const controls = /(?![\n\t])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Text from people or models, safe to print: control characters (which could move the cursor, or turn the reading
 * direction) become visible symbols. Line feeds and tabs stay.
 */
export function printable(text: string): string {
	return text.replace(controls, (char) => {
		const code = char.charCodeAt(0);
		return code < 0x20 ? String.fromCharCode(0x2400 + code) : "\ufffd";
	});
}

function graphemeWidth(grapheme: string): number {
	const code = grapheme.codePointAt(0) as number;
	if (zeroWidth.test(grapheme)) return 0;
	if (emoji.test(grapheme) || grapheme.includes("\ufe0f")) return 2;
	return wide.some(([first, last]) => code >= first && code <= last) ? 2 : 1;
}

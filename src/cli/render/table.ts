// Tables of text, aligned by display width, so that Chinese and coloured cells line up. Rows of cells in, lines out.
import { cutToWidth, displayWidth, padToWidth } from "./width.ts";

export interface Column {
	title: string;
	/** Numbers stand on the right. */
	side?: "left" | "right";
}

/** The widest column is cut when the table would be wider than `width` columns. */
export function tableLines(
	columns: readonly Column[],
	{ rows, width = 100 }: { rows: readonly (readonly string[])[]; width?: number },
): string[] {
	const lines = [columns.map((column) => column.title), ...rows];
	const widths = columns.map((_, c) => Math.max(...lines.map((cells) => displayWidth(cells[c] ?? ""))));
	const gap = 2;
	const excess = widths.reduce((sum, w) => sum + w, gap * (columns.length - 1)) - width;
	const widest = widths.indexOf(Math.max(...widths));
	if (excess > 0) widths[widest] = Math.max(8, (widths[widest] as number) - excess);
	return lines.map((cells) =>
		columns
			.map(({ side = "left" }, c) => {
				const cell = cutToWidth(cells[c] ?? "", widths[c] as number);
				return padToWidth(cell, { width: widths[c] as number, side: side === "left" ? "right" : "left" });
			})
			.join(" ".repeat(gap))
			.trimEnd(),
	);
}

/** `name   value` lines with the names aligned. */
export function pairLines(pairs: readonly (readonly [name: string, value: string])[]): string[] {
	const width = Math.max(0, ...pairs.map(([name]) => displayWidth(name)));
	return pairs.map(([name, value]) => `${padToWidth(name, { width })}  ${value}`);
}

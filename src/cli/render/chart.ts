// A small line chart for a terminal, drawn with braille dots (2 x 4 a character), which are one column wide in every
// terminal, Chinese ones included; box-drawing characters are not. Points that are not finite leave a gap.
import { formatLoss } from "./format.ts";
import { type Look, type Paint, plain } from "./style.ts";
import { displayWidth, padToWidth } from "./width.ts";

export interface Series {
	name: string;
	look: Look;
	/** In order of x. */
	points: readonly { x: number; y: number }[];
}

export interface ChartOptions {
	/** Columns of the whole chart, the labels included. */
	width: number;
	/** Lines of the plot, without the axis and the legend. */
	height: number;
	xLabel: string;
	paint?: Paint;
}

/** The last of two series that share a cell gives its colour. No lines when there is nothing to draw. */
export function chartLines(
	series: readonly Series[],
	{ width, height, xLabel, paint = plain }: ChartOptions,
): string[] {
	const drawn = series
		.map((one) => ({ ...one, points: one.points.filter(({ x, y }) => Number.isFinite(x) && Number.isFinite(y)) }))
		.filter((one) => one.points.length > 0);
	const points = drawn.flatMap((one) => one.points);
	if (points.length < 2) return [];
	const x = extent(points.map((point) => point.x));
	const y = extent(points.map((point) => point.y));
	const labels = [formatLoss(y.max), formatLoss(y.min)];
	const labelWidth = Math.max(...labels.map(displayWidth));
	const columns = Math.max(10, width - labelWidth - 1);
	const canvas = new Canvas({ columns, lines: height });
	for (const { points: path, look } of drawn) {
		const dots = path.map((point) => ({
			column: scale(point.x, { ...x, steps: columns * 2 }),
			line: height * 4 - 1 - scale(point.y, { ...y, steps: height * 4 }),
		}));
		dots.forEach((dot, i) => {
			canvas.line(dots[i - 1] ?? dot, { to: dot, look });
		});
	}
	const plot = canvas.lines(paint).map((line, i, all) => {
		const label = i === 0 ? labels[0] : i === all.length - 1 ? labels[1] : "";
		return `${padToWidth(label ?? "", { width: labelWidth, side: "left" })} ${line}`;
	});
	const margin = " ".repeat(labelWidth + 1);
	const [first, last] = [`${xLabel} ${x.min}`, String(x.max)];
	const axis = `${margin}${padToWidth(first, { width: columns - last.length })}${last}`;
	const legend = drawn.map(({ name, look }) => paint(look, `⣿ ${name}`)).join("   ");
	return [...plot, axis, `${margin}${legend}`];
}

/** Dots of a character by line and column of the dot: the bits of Unicode's braille block from U+2800. */
const dotBits = [
	[0x01, 0x08],
	[0x02, 0x10],
	[0x04, 0x20],
	[0x40, 0x80],
] as const;

interface Dot {
	column: number;
	line: number;
}

class Canvas {
	readonly #cells: { bits: number; look: Look | undefined }[][];

	constructor({ columns, lines }: { columns: number; lines: number }) {
		this.#cells = Array.from({ length: lines }, () =>
			Array.from({ length: columns }, () => ({ bits: 0, look: undefined })),
		);
	}

	line(from: Dot, { to, look }: { to: Dot; look: Look }): void {
		const count = Math.max(Math.abs(to.column - from.column), Math.abs(to.line - from.line), 1);
		for (let i = 0; i <= count; i++) {
			const column = Math.round(from.column + ((to.column - from.column) * i) / count);
			const line = Math.round(from.line + ((to.line - from.line) * i) / count);
			const cell = this.#cells[line >> 2]?.[column >> 1];
			if (cell === undefined) continue;
			cell.bits |= dotBits[line & 3]?.[column & 1] ?? 0;
			cell.look = look;
		}
	}

	lines(paint: Paint): string[] {
		return this.#cells.map((cells) => {
			const chars = cells.map(({ bits, look }) => {
				const char = String.fromCharCode(0x2800 + bits);
				return look === undefined ? char : paint(look, char);
			});
			return chars.join("");
		});
	}
}

function extent(values: readonly number[]): { min: number; max: number } {
	let [min, max] = [Infinity, -Infinity];
	for (const value of values) {
		min = Math.min(min, value);
		max = Math.max(max, value);
	}
	return { min, max };
}

/** min -> 0, max -> steps - 1; everything in the middle when they are equal. */
function scale(value: number, { min, max, steps }: { min: number; max: number; steps: number }): number {
	return max === min ? steps >> 1 : Math.round(((value - min) / (max - min)) * (steps - 1));
}

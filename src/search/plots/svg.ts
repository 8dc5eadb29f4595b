// The little that a plot needs: a frame with a title, labelled axes and ticks, as SVG text. Colours follow the reader's
// light or dark scheme; the background is painted, so the picture is readable on any page.

export const WIDTH = 720;
export const HEIGHT = 420;

/** The drawing area, in pixels. */
export interface Frame {
	readonly left: number;
	readonly right: number;
	readonly top: number;
	readonly bottom: number;
}

export interface Scale {
	/** Pixel of a value. */
	(value: number): number;
	readonly ticks: readonly { readonly at: number; readonly label: string }[];
}

const STYLE = `
svg { font: 13px system-ui, sans-serif }
.paper { fill: #ffffff } text { fill: #1f2430 } .title { font-size: 16px; font-weight: 600 } .quiet { fill: #5b6270 }
.axis { stroke: #8a91a0; fill: none } .grid { stroke: #e4e7ec } .line { fill: none; stroke-width: 2 }
.c0 { stroke: #2563c9; fill: #2563c9 } .c1 { stroke: #c2570c; fill: #c2570c } .c2 { stroke: #8a91a0; fill: #8a91a0 }
.line, .curve { fill: none } .band { stroke: none; opacity: .2 }
.over { stroke: #ffffff; stroke-width: 4px; stroke-linejoin: round; paint-order: stroke }
@media (prefers-color-scheme: dark) {
.paper { fill: #15181e } text { fill: #e6e9ef } .quiet { fill: #a4abb8 } .axis { stroke: #767d8c } .grid { stroke: #2b303a }
.c0 { stroke: #6ea8fe; fill: #6ea8fe } .c1 { stroke: #f59e5b; fill: #f59e5b } .c2 { stroke: #767d8c; fill: #767d8c }
.line, .curve { fill: none } .over { stroke: #15181e } }`;

/** A whole picture. `body`: elements made with the helpers below. */
export function svg({
	title,
	body,
	width = WIDTH,
	height = HEIGHT,
}: {
	title: string;
	body: readonly string[];
	width?: number;
	height?: number;
}): string {
	return [
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-label="${escapeXml(title)}">`,
		`<title>${escapeXml(title)}</title><style>${STYLE}</style><rect class="paper" width="${width}" height="${height}"/>`,
		text({ x: 20, y: 28, className: "title" }, title),
		...body,
		"</svg>",
	].join("\n");
}

interface TextPlace {
	readonly x: number;
	readonly y: number;
	readonly anchor?: "start" | "middle" | "end";
	readonly className?: string;
	readonly turned?: boolean;
}

export function text({ x, y, anchor = "start", className, turned }: TextPlace, content: string): string {
	const turn = turned ? ` transform="rotate(-90 ${round(x)} ${round(y)})"` : "";
	return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"${className ? ` class="${className}"` : ""}${turn}>${escapeXml(content)}</text>`;
}

export function path(points: readonly (readonly [number, number])[], className: string, opacity = 1): string {
	if (points.length === 0) return "";
	const d = points.map(([x, y], i) => `${i === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
	return `<path class="${className}" d="${d}"${opacity === 1 ? "" : ` opacity="${round(opacity)}"`}/>`;
}

export function dot([x, y]: readonly [number, number], className: string, { hint = "", radius = 3.5 } = {}): string {
	return `<circle class="${className}" cx="${round(x)}" cy="${round(y)}" r="${radius}" fill-opacity=".75"><title>${escapeXml(hint)}</title></circle>`;
}

/** Of the font at 13 pixels, about. */
const characterWidth = 7;

/** Axes with ticks and labels; the labels say what the numbers are. */
export function axes(
	frame: Frame,
	{ x, y, xLabel, yLabel }: { x?: Scale; y?: Scale; xLabel?: string; yLabel?: string },
): string {
	const { left, right, top, bottom } = frame;
	const parts: string[] = [];
	for (const { at, label } of y?.ticks ?? []) {
		parts.push(`<line class="grid" x1="${left}" x2="${right}" y1="${round(at)}" y2="${round(at)}"/>`);
		parts.push(text({ x: left - 8, y: at + 4, anchor: "end", className: "quiet" }, label));
	}
	const xTicks = x?.ticks ?? [];
	// Labels that would run into each other take turns on two lines.
	const crowded = xTicks.some(({ at, label }, i) => {
		const next = xTicks[i + 1];
		return next !== undefined && next.at - at < ((label.length + next.label.length) / 2 + 1) * characterWidth;
	});
	xTicks.forEach(({ at, label }, i) => {
		parts.push(`<line class="grid" y1="${top}" y2="${bottom}" x1="${round(at)}" x2="${round(at)}"/>`);
		const y = bottom + (crowded && i % 2 === 1 ? 32 : 18);
		parts.push(text({ x: at, y, anchor: "middle", className: "quiet" }, label));
	});
	parts.push(
		path(
			[
				[left, top],
				[left, bottom],
				[right, bottom],
			],
			"axis",
		),
	);
	if (xLabel !== undefined) {
		parts.push(text({ x: (left + right) / 2, y: bottom + (crowded ? 50 : 40), anchor: "middle" }, xLabel));
	}
	if (yLabel !== undefined)
		parts.push(text({ x: left - 58, y: (top + bottom) / 2, anchor: "middle", turned: true }, yLabel));
	return parts.join("\n");
}

interface ScaleOptions {
	readonly from: number;
	readonly to: number;
	readonly log?: boolean;
	readonly whole?: boolean;
	/** About how many ticks. */
	readonly count?: number;
}

/** A scale for the values, with round ticks; a logarithmic one when every value allows. */
export function scaleFor(
	values: readonly number[],
	{ from, to, log = false, whole = false, count = 5 }: ScaleOptions,
): Scale {
	let low = Math.min(...values);
	let high = Math.max(...values);
	if (!(low < high)) [low, high] = log && low > 0 ? [low / 2, low * 2] : [low - 0.5, high + 0.5];
	if (log && low > 0) {
		const pixel = (value: number) =>
			from + ((Math.log(value) - Math.log(low)) / (Math.log(high) - Math.log(low))) * (to - from);
		const decades: number[] = [];
		const stride = Math.max(1, Math.ceil(Math.log10(high / low) / (count + 1)));
		for (let k = Math.ceil(Math.log10(low) - 1e-9); 10 ** k <= high * (1 + 1e-9); k += stride) decades.push(10 ** k);
		const ticks = decades.length >= 2 ? decades : roundValues({ low, high, count });
		return Object.assign(pixel, { ticks: ticks.map((value) => ({ at: pixel(value), label: label(value) })) });
	}
	const pixel = (value: number) => from + ((value - low) / (high - low)) * (to - from);
	const rough = (high - low) / count;
	const power = 10 ** Math.floor(Math.log10(rough));
	const nice = [1, 2, 5, 10].map((k) => k * power).find((step) => step >= rough) as number;
	const step = whole ? Math.max(1, Math.round(nice)) : nice;
	const ticks: number[] = [];
	for (let value = Math.ceil(low / step - 1e-9) * step; value <= high + 1e-9 * step; value += step) ticks.push(value);
	return Object.assign(pixel, { ticks: ticks.map((value) => ({ at: pixel(value), label: label(value) })) });
}

/** Ones, twos and fives of a logarithmic range too short for powers of ten; its ends when there are none. */
function roundValues({ low, high, count }: { low: number; high: number; count: number }): number[] {
	const values: number[] = [];
	for (let k = Math.floor(Math.log10(low)); 10 ** k <= high; k++) {
		for (const digit of [1, 2, 5]) values.push(Number(`${digit}e${k}`));
	}
	const inside = values.filter((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9));
	if (inside.length < 2) return [low, high];
	const stride = Math.ceil(inside.length / (count + 1));
	return inside.filter((_, i) => i % stride === 0);
}

export function label(value: unknown): string {
	if (typeof value !== "number") return value === null ? "null" : String(value);
	if (value === 0 || Math.abs(value) < 1e-12) return "0";
	const size = Math.abs(value);
	if (size < 1e-3 || size >= 1e6) return value.toExponential(1).replace(".0e", "e").replace("e+", "e");
	return String(Number(value.toPrecision(4)));
}

/** A value of a point for a tooltip: every setting on a line of its own. */
export function describe(params: { readonly [name: string]: unknown }): string {
	return Object.entries(params)
		.map(([name, value]) => `${name}: ${label(value)}`)
		.join("\n");
}

/** A picture that only says why there is nothing to see. */
export function emptyPlot(title: string, why: string): string {
	return svg({ title, body: [text({ x: WIDTH / 2, y: HEIGHT / 2, anchor: "middle", className: "quiet" }, why)] });
}

export function escapeXml(content: string): string {
	return (
		content
			.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
			// biome-ignore lint/suspicious/noControlCharactersInRegex: these characters are not allowed in XML.
			.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "?")
	);
}

function round(value: number): number {
	return Math.round(value * 10) / 10;
}

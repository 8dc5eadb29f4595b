// The little Markdown that reports are made of: lines in, lines out.

import type { Manifest } from "../checkpoint/manifest.ts";

/** A heading and its lines, or nothing when there are no lines. */
export function section(title: string, lines: readonly string[]): string[] {
	return lines.length === 0 ? [] : [`## ${title}`, "", ...lines];
}

export const list = (lines: readonly string[]) => (lines.length === 0 ? [] : [...lines.map((line) => `- ${line}`), ""]);

/** A bar that no backslash escapes: one before which there are none, or two, or four. */
const bareBar = /(?<=(?<!\\)(?:\\\\)*)\|/g;

/** Cells may hold text that `inline` has escaped already. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
	const row = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replace(bareBar, "\\|")).join(" | ")} |`;
	return [row(head), `|${"---|".repeat(head.length)}`, ...rows.map(row)];
}

/** Text of people and models on one line, without meaning to Markdown. */
export function inline(text: string): string {
	return text.replace(/\s+/g, " ").replace(/[\\`*_<>[\]#|]/g, "\\$&");
}

/** Every option of a run, with its value and where the value came from. */
export function optionLines(options: Manifest["options"]): string[] {
	const rows = Object.entries(options).map(([name, { value, origin }]): string[] => [
		name,
		value === null ? "" : `\`${JSON.stringify(value)}\``,
		origin,
	]);
	return [...table(["option", "value", "from"], rows), ""];
}

// The look of help: two columns that fit the terminal; a name too long for its column gets a line of its own. Commander
// finds what to list and in which groups.
import { Help, type HelpConfiguration } from "commander";
import type { Option } from "../recipes/options/option.ts";
import { defaultColumns } from "./terminal.ts";

const columnLimits = { least: 60, most: 100 };
const widestName = 26;
const gap = 2;

/** Columns that help may take on this stream. */
export function helpColumns(stream: { columns?: number | undefined }): number {
	return Math.max(columnLimits.least, Math.min(stream.columns || defaultColumns, columnLimits.most));
}

export const helpLook: HelpConfiguration = {
	padWidth: (command, helper) => Math.min(widestName, Help.prototype.padWidth.call(helper, command, helper)),
	formatItem: (name, nameWidth, description, helper) => {
		const width = (helper.helpWidth ?? defaultColumns) - nameWidth - 2 * gap;
		const lines =
			description === "" ? [] : helper.boxWrap(description, Math.max(width, helper.minWidthToWrap ?? 0)).split("\n");
		const names = name.length > nameWidth ? [name, ...lines.map(() => "")] : [name];
		const texts = name.length > nameWidth ? ["", ...lines] : lines;
		return Array.from({ length: Math.max(1, texts.length) }, (_, i) =>
			`${" ".repeat(gap)}${(names[i] ?? "").padEnd(nameWidth)}${" ".repeat(gap)}${texts[i] ?? ""}`.trimEnd(),
		).join("\n");
	},
};

/** What stands for the value: its unit, where that is one word, says more than NUMBER. */
export function placeholderOf(option: Option): string {
	const isWord = option.unit !== undefined && /^\S+$/.test(option.unit);
	const placeholder = isWord ? (option.unit as string).toUpperCase() : option.placeholder;
	return option.variadic ? `${placeholder}...` : placeholder;
}

/** The help line, with what happens when the option is not given. */
export function descriptionOf(option: Option): string {
	const note = defaultOf(option);
	return note === "" ? option.help : `${option.help} (${note})`;
}

function defaultOf(option: Option): string {
	if (option.presence === "required") return option.positional ? "" : "required";
	if (option.defaultNote !== undefined) return `default: ${option.defaultNote}`;
	const value = option.default;
	if (value === undefined || value === false) return "";
	if (Array.isArray(value)) return `default: ${value.length === 0 ? "none" : value.join(",")}`;
	return `default: ${value}`;
}

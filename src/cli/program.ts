// From option tables to a command line: commander's flags, grouped help, suggestions. Nothing here runs a recipe.
import { Argument, type Command as Commander, Option as CommanderOption, Command as CommanderProgram } from "commander";
import type { Option } from "../recipes/options/option.ts";
import { kebabCase } from "../recipes/options/table.ts";
import { closest } from "../util/errors.ts";
import type { Command, FrameFlags } from "./command.ts";
import { descriptionOf, helpColumns, helpLook, placeholderOf } from "./help.ts";
import type { Terminal } from "./terminal.ts";

export interface ProgramOptions {
	version: string;
	terminal: Terminal;
	onCommand: (command: Command, call: { flags: Record<string, unknown>; frame: FrameFlags }) => Promise<void>;
}

export function buildProgram(
	commands: readonly Command[],
	{ version, terminal, onCommand }: ProgramOptions,
): Commander {
	const program = new CommanderProgram("attune")
		.description("Make a pretrained GPT yours: fine-tune it on dialogues, chat with it, measure it. On your CPU.")
		.version(version, "--version", "print the version")
		.helpOption("-h, --help", "print this help")
		.helpCommand(false)
		// A command may have others below it: what follows their words is theirs, flags of the same name too.
		.enablePositionalOptions()
		.exitOverride()
		.configureOutput({
			writeOut: (text) => terminal.stdout.write(text),
			writeErr: (text) => terminal.stderr.write(text),
			getOutHelpWidth: () => helpColumns(terminal.stdout),
			getErrHelpWidth: () => helpColumns(terminal.stderr),
		})
		.configureHelp(helpLook)
		.showHelpAfterError("(attune --help lists the commands)")
		.addHelpText("after", "\n`attune <command> --help` tells what a command can do.");
	for (const command of commands) {
		const words = command.words.split(" ");
		const parent = words.slice(0, -1).reduce((above, word) => subcommand(above, word), program as Commander);
		addCommand(subcommand(parent, words.at(-1) as string), { command, onCommand });
	}
	return program;
}

const parentSummaries: Readonly<Record<string, string>> = {
	bench: "measure on your own data",
	data: "look at a data set before training on it",
	tokenizer: "make a tokenizer",
};

function subcommand(above: Commander, word: string): Commander {
	return (
		above.commands.find((child) => child.name() === word) ??
		above
			.command(word)
			.description(parentSummaries[word] ?? "")
			.helpCommand(false)
			.enablePositionalOptions()
	);
}

function addCommand(
	target: Commander,
	{ command, onCommand }: { command: Command; onCommand: ProgramOptions["onCommand"] },
): void {
	const options = Object.entries(command.table.options);
	const positional = options.filter(([, option]) => option.positional);
	target
		.description(command.summary)
		.showHelpAfterError(`(attune ${command.words} --help lists what it takes)`)
		.addHelpText("after", `\nFor example:\n${command.examples.map((example) => `  ${example}`).join("\n")}`);
	for (const [, option] of positional) target.addArgument(argumentOf(option));
	// Commander lists the groups of help in the order in which it first meets them.
	for (const { title, options: group } of command.table.groups) {
		for (const [name, option] of Object.entries(group)) {
			if (option.positional) continue;
			for (const flag of flagsOf(name, option)) target.addOption(flag.helpGroup(`${title}:`));
		}
	}
	const frame = [
		new CommanderOption("--config <FILE>", "read options from this YAML file; flags win"),
		new CommanderOption("--json", "print every event as a line of JSON"),
		new CommanderOption("--quiet", "print results only"),
	];
	for (const option of frame) target.addOption(option.helpGroup("Command:"));
	target.addHelpOption(new CommanderOption("-h, --help", "print this help").helpGroup("Command:"));
	// So that a mistyped word of a command that has others below it is called what it is.
	target.allowExcessArguments(true);
	target.action(async (...received: unknown[]) => {
		refuseExcess(target, positional.length);
		const arguments_ = received.slice(0, positional.length);
		const { config, json, quiet, ...flags } = target.opts();
		positional.forEach(([name], i) => {
			flags[name] = arguments_[i];
		});
		await onCommand(command, { flags, frame: { config, json: json ?? false, quiet: quiet ?? false } });
	});
}

/** Words beyond the arguments: a subcommand that there is not, or one argument too many. */
function refuseExcess(target: Commander, expected: number): void {
	const last = target.registeredArguments.at(-1);
	const word = target.args[expected];
	if (word === undefined || last?.variadic) return;
	const names = target.commands.map((child) => child.name());
	if (names.length === 0) {
		target.error(`error: too many arguments, from '${word}' on: ${expected} expected`);
	}
	const meant = closest(word, names);
	const suggestion = meant === undefined ? "" : `\n(Did you mean ${meant}?)`;
	target.error(`error: unknown command '${word}'${suggestion}`);
}

function argumentOf(option: Option): Argument {
	const name = placeholderOf(option);
	return new Argument(option.presence === "required" ? `<${name}>` : `[${name}]`, descriptionOf(option));
}

/** A switch has two spellings, so that a flag can undo what a config file sets; help shows the one that changes something. */
function flagsOf(name: string, option: Option): CommanderOption[] {
	const flag = kebabCase(name);
	if (option.kind !== "boolean") {
		return [new CommanderOption(`--${flag} <${placeholderOf(option)}>`, descriptionOf(option))];
	}
	const on = new CommanderOption(`--${flag}`, descriptionOf(option));
	const off = new CommanderOption(`--no-${flag}`, `not: ${option.help}`);
	return [on.hideHelp(option.default === true), off.hideHelp(option.default !== true)];
}

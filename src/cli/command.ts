// What a command is: words, a table of options, a line of help, examples, and what it does. The files in commands/ each
// define one; program.ts turns them into a command line.

import { readConfig } from "../recipes/options/config.ts";
import type { RecipeContext, RecipeEvent } from "../recipes/options/recipe.ts";
import { gatherOptions, type Origins } from "../recipes/options/resolve.ts";
import type { OptionsInput, OptionTable } from "../recipes/options/table.ts";
import { withInterrupt } from "./interrupt.ts";
import type { RecipeLoaders, Recipes } from "./recipes.ts";
import { Reporter } from "./reporter.ts";
import { exitCodes, type Terminal } from "./terminal.ts";

/** The flags that every command has, beside the options of its job. */
export interface FrameFlags {
	config?: string | undefined;
	json: boolean;
	quiet: boolean;
}

/** One call of a command. */
export interface Invocation {
	/** Values of the job's options by name, as text, booleans or lists of text. */
	flags: Readonly<Record<string, unknown>>;
	frame: FrameFlags;
	recipes: RecipeLoaders;
	terminal: Terminal;
}

export interface Command {
	recipe: keyof Recipes;
	/** As typed: "data check". */
	words: string;
	summary: string;
	table: OptionTable;
	examples: readonly string[];
	/** Gives the exit code. Throws UserErrors. */
	run(invocation: Invocation): Promise<number>;
}

/** A command whose recipe tells events, which are shown as they come. */
export function eventCommand<Name extends Exclude<keyof Recipes, "chat">, T extends OptionTable>(
	definition: Omit<Command, "run" | "recipe" | "table"> & {
		recipe: Name;
		table: T;
		/** Changes the flags before they are checked, as for a prompt that is read from standard input. */
		prepare?: (flags: Invocation["flags"], terminal: Terminal) => Promise<Invocation["flags"]>;
	} & (Recipes[Name] extends (options: OptionsInput<T>, context?: RecipeContext) => unknown ? unknown : never),
): Command {
	const { prepare = async (flags) => flags, ...command } = definition;
	return {
		...command,
		run: async (invocation) => {
			const flags = await prepare(invocation.flags, invocation.terminal);
			const { options, origins } = await gather(command.table, { ...invocation, flags });
			const recipe = (await invocation.recipes[command.recipe]?.()) as EventRecipe;
			return showEvents((context) => recipe(options, { ...context, origins }), invocation);
		},
	};
}

type EventRecipe = (options: unknown, context: RecipeContext) => AsyncIterable<RecipeEvent>;

/** Flags and config file, checked: what is passed to the recipe, and where each value came from. */
export async function gather<T extends OptionTable>(
	table: T,
	{ flags, frame }: Pick<Invocation, "flags" | "frame">,
): Promise<{ options: OptionsInput<T>; origins: Origins }> {
	const config = frame.config === undefined ? undefined : await readConfig(frame.config);
	const { given, origins } = gatherOptions(table, { flags, config });
	// A checked value is acceptable input; only the recipe, which may resume a run, can tell what is missing.
	return { options: given as OptionsInput<T>, origins };
}

/** Shows events until they end. A run that was interrupted and did not come to its end exits with 130. */
async function showEvents(
	start: (context: RecipeContext) => AsyncIterable<RecipeEvent>,
	{ frame, terminal }: Invocation,
): Promise<number> {
	const reporter = new Reporter(terminal, frame);
	const onAbort = () =>
		reporter.note(["Interrupted: stopping at the next safe place. Ctrl-C again leaves at once, without saving."]);
	return withInterrupt(
		async (signal) => {
			let finished = false;
			try {
				for await (const event of start({ signal })) {
					reporter.show(event);
					finished ||= event.type === "run-done" || event.type === "search-done";
				}
			} catch (error) {
				if (!signal.aborted || !isAbort(error, signal)) throw error;
			} finally {
				reporter.finish();
			}
			return signal.aborted && !finished ? exitCodes.interrupted : exitCodes.done;
		},
		{ source: terminal.signals, onAbort },
	);
}

function isAbort(error: unknown, signal: AbortSignal): boolean {
	return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}

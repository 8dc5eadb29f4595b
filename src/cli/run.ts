// One call of the command line, from its arguments to its exit code. Errors end here: a mistake of the user's is printed
// as sentences, a bug of ours with its stack.
import { CommanderError } from "commander";
import { version } from "../../package.json";
import { describeError, UserError } from "../util/errors.ts";
import { commands } from "./commands/index.ts";
import { buildProgram } from "./program.ts";
import type { RecipeLoaders } from "./recipes.ts";
import { paintFor } from "./render/style.ts";
import { exitCodes, type Terminal } from "./terminal.ts";

export interface RunOptions {
	recipes: RecipeLoaders;
	terminal: Terminal;
}

/** `argv` without node and script. Never throws. */
export async function runCommandLine(argv: readonly string[], { recipes, terminal }: RunOptions): Promise<number> {
	let code: number = exitCodes.done;
	let json = false;
	const program = buildProgram(
		commands.filter((command) => recipes[command.recipe] !== undefined),
		{
			version,
			terminal,
			onCommand: async (command, call) => {
				json = call.frame.json;
				code = await command.run({ ...call, recipes, terminal });
			},
		},
	);
	try {
		await program.parseAsync(argv, { from: "user" });
		return code;
	} catch (error) {
		// Commander has printed its message already; help and version end with 0, whatever else it throws is wrong usage.
		if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.wrongUsage;
		return reportError(error, { terminal, json });
	}
}

/** Prints the error and gives its exit code. */
function reportError(error: unknown, { terminal, json }: { terminal: Terminal; json: boolean }): number {
	const { stdout, stderr, env } = terminal;
	const label = paintFor(stderr, env)("red", "error:");
	if (json) stdout.write(`${JSON.stringify({ type: "error", ...errorData(error) })}\n`);
	if (error instanceof UserError) {
		stderr.write(`${label} ${describeError(error)}\n`);
		if (env.ATTUNE_DEBUG === "1") stderr.write(`${error.stack}\n`);
		return isWrongUsage(error) ? exitCodes.wrongUsage : exitCodes.failed;
	}
	stderr.write(`${label} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
	stderr.write("This is a bug in attune, not a mistake of yours. Please report it with the lines above.\n");
	return exitCodes.failed;
}

function isWrongUsage({ code }: UserError): boolean {
	return code.startsWith("OPTION_") || code.startsWith("CONFIG_");
}

function errorData(error: unknown): Record<string, unknown> {
	if (!(error instanceof UserError)) return { code: "BUG", message: String(error) };
	const { code, message, expected, found, where, hint } = error;
	return { code, message, expected, found, where, hint };
}

// A call of the command line that has to be refused: what a person reads, what a program reads, and the exit code.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { recipes } from "../../src/cli/recipes.ts";
import { runCommandLine } from "../../src/cli/run.ts";
import { FakeTerminal } from "../../src/cli/testing/fakes.ts";
import { temporary } from "./tiny.ts";

export interface Refusal {
	exitCode: number;
	code: string;
	message: string;
	expected?: string;
	found?: string;
	where?: string;
	hint?: string;
	/** What stands on the terminal. */
	text: string;
}

/** Calls `attune ARGS --json` in this process. Fails unless it ends with an error that is the user's to mend. */
export async function refusal(args: readonly string[]): Promise<Refusal> {
	const terminal = new FakeTerminal();
	const exitCode = await runCommandLine([...args, "--json"], { recipes, terminal });
	const last = JSON.parse(terminal.outText.trim().split("\n").at(-1) || "{}");
	expect(last, terminal.errText).toMatchObject({ type: "error", code: expect.stringMatching(/^[A-Z0-9_]+$/) });
	expect(last.code).not.toBe("BUG");
	expect(exitCode).not.toBe(0);
	expect(terminal.errText).not.toMatch(/^ +at /m);
	return { exitCode, text: terminal.errText, ...last };
}

/** The same for a fine-tuning of which nothing may be left behind: `--output` is added. */
export async function refusedFinetune(args: readonly string[]): Promise<Refusal> {
	const output = join(temporary(), "run");
	const refused = await refusal(["finetune", "--output", output, ...args]);
	expect(existsSync(output)).toBe(false);
	return refused;
}

// The whole program with stand-ins for the recipes: what the process tests start. FAKE_RECIPE says how they behave.
import { runCommandLine } from "../run.ts";
import { processTerminal } from "../terminal.ts";
import { type FakeBehaviour, fakeRecipes } from "./fakes.ts";

process.exitCode = await runCommandLine(process.argv.slice(2), {
	recipes: fakeRecipes(process.env.FAKE_RECIPE as FakeBehaviour | undefined),
	terminal: processTerminal(),
});

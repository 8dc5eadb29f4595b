#!/usr/bin/env node
// The program `attune`: the command line joined to this process.
import { recipes } from "./recipes.ts";
import { runCommandLine } from "./run.ts";

// `attune data check ... | head` closes our stdout early, which is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
	if (error.code !== "EPIPE") throw error;
	process.exit(0);
});

const { stdout, stderr, stdin, env } = process;
process.exitCode = await runCommandLine(process.argv.slice(2), {
	recipes,
	terminal: { stdout, stderr, stdin, env, signals: process, nowMs: () => performance.now() },
});

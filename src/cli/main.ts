#!/usr/bin/env node
// The program `attune`: the command line joined to this process.
import { recipes } from "./recipes.ts";
import { runCommandLine } from "./run.ts";
import { processTerminal } from "./terminal.ts";

process.exitCode = await runCommandLine(process.argv.slice(2), { recipes, terminal: processTerminal() });

// How long the command line takes to say what it can do: `attune --help`, each time in a fresh process.

import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { median } from "../compare.ts";
import { report } from "../gpt2.ts";

const main = fileURLToPath(new URL("../../../dist/cli/main.js", import.meta.url));
const times = Array.from({ length: 20 }, () => {
	const start = performance.now();
	execFileSync(process.execPath, [main, "--help"]);
	return performance.now() - start;
});
report({ startMs: median(times) });

// The forecast of time: what a run says is left after its first step and three more, against the time that the rest of
// its epoch then took, evaluations and saves aside. Usage: npm run build && node bench/time.mjs [--model DIR] [FILE...]   (dialogues)

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const data = process.env.ATTUNE_DATA ?? "/work/shared/data";
const { values, positionals: files } = parseArgs({
	options: { model: { type: "string", default: "builtin" } },
	allowPositionals: true,
});
const sets =
	files.length > 0
		? files
		: ["chitchat-witty-en.json", "taskmaster-coffee.jsonl", "chitchat-witty-zh.json"].map(
				(name) => `${data}/dialogues/${name}`,
			);
console.log("| data | steps | forecast s | took s | error |\n|---|---|---|---|---|");
for (const file of sets) {
	const output = mkdtempSync(join(tmpdir(), "attune-time-"));
	const program = join(import.meta.dirname, "../dist/cli/main.js");
	const options = ["--epochs", "1", "--validation", "0", "--max-loss-of-rows", "1", "--overwrite", "--json"];
	const args = ["finetune", "--model", values.model, "--data", file, "--output", output, ...options];
	const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
	let [steps, told, began, ended] = [0, 0, 0, 0];
	for await (const line of createInterface(child.stdout)) {
		const event = JSON.parse(line);
		if (event.type !== "step-done") continue;
		steps++;
		ended = performance.now();
		if (steps === 4) [told, began] = [event.secondsLeft, ended];
	}
	const took = (ended - began) / 1000;
	const error = (100 * (told / took - 1)).toFixed(1);
	console.log(`| ${basename(file)} | ${steps} | ${told.toFixed(1)} | ${took.toFixed(1)} | ${error} % |`);
	rmSync(output, { recursive: true, force: true });
}

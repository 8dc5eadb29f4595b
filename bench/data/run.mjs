// A data set that does not fit into memory: how much memory `attune data check` and the start of `attune finetune` take on
// it (VmHWM of fresh processes), against the same on a file of a few rows, and how long. Makes the file itself, of JSON
// Lines that differ. Usage: npm run build && node bench/data/run.mjs [--megabytes 1000] [--folder DIR] [--model builtin]

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
	options: {
		megabytes: { type: "string", default: "1000" },
		folder: { type: "string", default: tmpdir() },
		model: { type: "string", default: "builtin" },
	},
});
const program = join(import.meta.dirname, "../../dist/cli/main.js");
const large = join(values.folder, `attune-${values.megabytes}-mb.jsonl`);
const small = join(values.folder, "attune-1-mb.jsonl");
for (const [file, megabytes] of [
	[small, 1],
	[large, Number(values.megabytes)],
]) {
	if (!existsSync(file) || statSync(file).size < megabytes * 1e6) await generate(file, megabytes * 1e6);
}

const output = mkdtempSync(join(values.folder, "attune-run-"));
const check = (file) => ["data", "check", file, "--model", values.model];
// Killed after its first step; evaluations belong to the start too, but not one of a tenth of a gigabyte.
const start = (file) => [
	"finetune",
	"--model",
	values.model,
	"--data",
	file,
	"--output",
	output,
	"--overwrite",
	"--json",
];
for (const [name, argumentsFor] of [
	["data check", check],
	["finetune to its first step", start],
]) {
	const base = await measure(argumentsFor(small));
	const full = await measure(argumentsFor(large));
	const above = full.peakBytes - base.peakBytes;
	console.log(
		`${name}: ${megabytesOf(full.peakBytes)} MB, ${megabytesOf(above)} above 1 MB of data; ${full.seconds.toFixed(0)} s`,
	);
	console.log(JSON.stringify({ benchmark: "large data", name, megabytes: Number(values.megabytes), above, ...full }));
}
rmSync(output, { recursive: true, force: true });

/** Peak memory when the process ends or has taken its first step, and how long that took. */
function measure(args) {
	return new Promise((resolve, reject) => {
		const began = performance.now();
		const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] });
		let peakBytes = 0;
		const look = () => {
			try {
				const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
				peakBytes = Math.max(peakBytes, 1024 * Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0));
			} catch {}
		};
		const timer = setInterval(look, 200);
		let text = "";
		let done = false;
		child.stdout.on("data", (data) => {
			text += data;
			if (done || !text.includes('"type":"step-done"')) return;
			done = true;
			look();
			child.kill("SIGKILL");
		});
		child.on("close", (code) => {
			clearInterval(timer);
			if (code !== 0 && !done) reject(new Error(`attune ${args.join(" ")} ended with ${code}\n${text.slice(-2000)}`));
			else resolve({ peakBytes, seconds: (performance.now() - began) / 1000 });
		});
	});
}

/** Questions and answers of random words (of the README): as long as those of a shop, and none like another. */
async function generate(file, bytes) {
	let state = 1;
	const random = (below) => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return Math.floor((state / 2 ** 32) * below);
	};
	const text = readFileSync(join(import.meta.dirname, "../../README.md"), "utf8");
	const words = [...new Set(text.match(/\b[A-Za-z]+\b/g))];
	const sentence = (count) => Array.from({ length: count }, () => words[random(words.length)]).join(" ");
	const stream = createWriteStream(file);
	for (let written = 0; written < bytes; ) {
		const rows = Array.from({ length: 1000 }, () =>
			JSON.stringify({ input: `${sentence(4 + random(16))}?`, output: `${sentence(5 + random(50))}.` }),
		);
		const lines = `${rows.join("\n")}\n`;
		written += lines.length;
		if (!stream.write(lines)) await once(stream, "drain");
	}
	stream.end();
	await once(stream, "finish");
}

function megabytesOf(bytes) {
	return Math.round(bytes / 1e6);
}

// How good is the forecast of peak memory? A grid of settings, each in a fresh process (measure.ts), against what Linux
// says it took. Writes results.json and results.md beside it; settings that are in results.json already are kept.
// Usage: node bench/forecast/run.mjs [--again] [--table]   (--table: forecast again, but measure nothing)

import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolldown } from "rolldown";

const here = import.meta.dirname;
const sizes = {
	"14M": { layers: 4, channels: 256, vocabulary: 40000 },
	"30M": { layers: 6, channels: 512, vocabulary: 20000 },
	"124M": { layers: 12, channels: 768, vocabulary: 50257 },
	"355M": { layers: 24, channels: 1024, vocabulary: 50257 },
};
/** [size, batches, lengths, more] */
const grid = [
	["14M", [8], [64], {}],
	["14M", [8], [256], {}],
	["14M", [2], [1024], {}],
	["14M", [8], [256], { recompute: true }],
	["14M", [8, 4], [128, 256], {}],
	["14M", [8], [256], { lora: true }],
	["14M", [2], [1024], { recompute: true }],
	["14M", [16], [128], { optimizer: "sgd" }],
	["30M", [8], [64], {}],
	["30M", [8], [256], {}],
	["30M", [4], [512], {}],
	["30M", [1], [1024], {}],
	["30M", [8], [256], { recompute: true }],
	["30M", [4], [512], { recompute: true }],
	["30M", [8], [256], { lora: true }],
	["30M", [8], [256], { lora: true, recompute: true }],
	["30M", [2], [1024], { lora: true }],
	["30M", [8, 6, 3], [64, 128, 300], {}],
	["30M", [8], [128], { optimizer: "sgd" }],
	["30M", [8], [128], { labelled: 0.2 }],
	["30M", [8], [128], { evaluates: false }],
	["124M", [4], [64], {}],
	["124M", [4], [128], {}],
	["124M", [8], [128], { labelled: 0.3 }],
	["124M", [4], [128], { recompute: true }],
	["124M", [4], [128], { lora: true }],
	["124M", [8], [256], { lora: true }],
	["124M", [8], [256], { lora: true, recompute: true }],
	["124M", [1], [1024], { lora: true, recompute: true }],
	["355M", [2], [64], { lora: true }],
	// Held out: no constant of the forecast was chosen on these.
	["14M", [3], [700], { heldOut: true, lora: true }],
	["30M", [16], [96], { heldOut: true, labelled: 0.8 }],
	["30M", [5, 3], [200, 480], { heldOut: true, recompute: true }],
	["124M", [2], [400], { heldOut: true, recompute: true, lora: true }],
	["124M", [6], [192], { heldOut: true, lora: true, evaluates: false }],
	["355M", [1], [512], { heldOut: true, lora: true, recompute: true }],
].map(([size, batch, time, more]) => ({ size, ...sizes[size], batch, time, labelled: 0.5, ...more }));

const bundle = await rolldown({
	input: join(here, "measure.ts"),
	platform: "node",
	external: [/^node:/, /^[a-z@][^:]*$/],
	logLevel: "silent",
});
const program = join(here, "../../node_modules/.cache/forecast-measure.mjs");
await bundle.write({ file: program, format: "esm", codeSplitting: false });

const resultsPath = join(here, "results.json");
let results = [];
try {
	if (!process.argv.includes("--again")) results = JSON.parse(readFileSync(resultsPath, "utf8"));
} catch {}
const keyOf = (setting) => JSON.stringify(setting);
for (const setting of process.argv.includes("--table") ? [] : grid) {
	if (results.some((one) => keyOf(one.setting) === keyOf(setting))) continue;
	const output = execFileSync(process.execPath, [program, JSON.stringify(setting)], { encoding: "utf8" });
	results.push({ setting, ...JSON.parse(output) });
	save();
	console.log(row(results.at(-1)));
}
if (process.argv.includes("--table")) {
	for (const one of results) {
		const output = execFileSync(process.execPath, [program, JSON.stringify(one.setting), "forecast"], {
			encoding: "utf8",
		});
		Object.assign(one, JSON.parse(output));
	}
	save();
}
results.sort((a, b) => gridIndex(a) - gridIndex(b));
writeFileSync(join(here, "results.md"), report());

function save() {
	writeFileSync(resultsPath, `[\n${results.map((one) => JSON.stringify(one)).join(",\n")}\n]\n`);
}

function gridIndex({ setting }) {
	return grid.findIndex((one) => keyOf(one) === keyOf(setting));
}

function row({ setting, peak, forecast }) {
	const { size, batch, time, labelled, ...rest } = setting;
	const shape = batch.map((one, i) => `${one} x ${time[i]}`).join(", ");
	const error = forecast / peak - 1;
	const verdict = error < -0.05 ? "too low" : Math.abs(error) > 0.1 ? "off" : "";
	const method = [
		rest.lora ? "LoRA" : "full",
		rest.recompute && "recompute",
		rest.evaluates === false && "no evaluation",
		rest.heldOut && "held out",
	];
	const cells = [
		size,
		shape,
		labelled,
		method.filter(Boolean).join(", "),
		rest.optimizer ?? "adamw",
		megabytes(forecast),
		megabytes(peak),
	];
	return `| ${[...cells, `${(100 * error).toFixed(1)} %`, verdict].join(" | ")} |`;
}

function megabytes(bytes) {
	return Math.round(bytes / 1e6);
}

function report() {
	const summary = (part) => {
		const errors = part.map(({ peak, forecast }) => forecast / peak - 1);
		const within = errors.filter((error) => Math.abs(error) <= 0.1).length;
		const low = errors.filter((error) => error < -0.05).length;
		return `${part.length} measured, ${within} within 10 %, ${low} more than 5 % too low`;
	};
	const isHeldOut = ({ setting }) => setting.heldOut === true;
	return [
		"# Forecast of peak memory against processes",
		"",
		`The grid: ${summary(results.filter((one) => !isHeldOut(one)))}. Held-out settings, on which no constant was`,
		`chosen: ${summary(results.filter(isHeldOut))}. MB of 10^6 bytes; VmHWM of a fresh`,
		"process that trains two steps with everything a run has (bench/forecast/measure.ts). Node " +
			`${process.version}, ${process.platform} ${process.arch}.`,
		"",
		"| size | batch x length | labelled | method | optimizer | forecast | measured | error | |",
		"|---|---|---|---|---|---|---|---|---|",
		...results.map(row),
		"",
	].join("\n");
}

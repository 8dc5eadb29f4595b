// Samplers beside Optuna's on five functions: the median over seeds of the best value found.
//
//   npm run build
//   python bench/search/optuna_peer.py tpe 60 20 >> bench/search/optuna.jsonl      (once: also tpe 100, random 60 and 100, gp 30)
//   node bench/search/samplers.mjs [--lib dist/search/index.js] [--only tpe|gp|overhead]
//
// Prints a table and a JSON line a row; --write also replaces results.json. Not a test: nothing fails here.
import { execSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { functions } from "./functions.mjs";

const here = import.meta.dirname;
const { values: flags } = parseArgs({
	options: {
		lib: { type: "string", default: join(here, "../../dist/search/index.js") },
		only: { type: "string" },
		seeds: { type: "string", default: "20" },
		"first-seed": { type: "string", default: "0" },
		write: { type: "boolean", default: false },
	},
});
const { createStudy, gpSampler, randomSampler, tpeSampler } = await import(pathToFileURL(resolve(flags.lib)));
const seeds = Number(flags.seeds);
const firstSeed = Number(flags["first-seed"]);
const peerFile = join(here, "optuna.jsonl");
const peers = existsSync(peerFile)
	? readFileSync(peerFile, "utf8")
			.trim()
			.split("\n")
			.map((line) => JSON.parse(line))
	: [];
const peer = (sampler, name, trials) =>
	peers.find((row) => row.sampler === sampler && row.function === name && row.trials === trials)?.median;

const median = (values) => {
	const sorted = [...values].sort((a, b) => a - b);
	return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
};

/** Best values after each of `marks` trials. */
async function run(make, { space, evaluate }, { seed, marks }) {
	const study = await createStudy({ space, sampler: make(), seed });
	const best = [];
	let lowest = Number.POSITIVE_INFINITY;
	for (let trial = 1; trial <= marks.at(-1); trial++) {
		const active = await study.ask();
		const value = evaluate(active.params);
		await study.tell(active, value);
		lowest = Math.min(lowest, value);
		if (marks.includes(trial)) best.push(lowest);
	}
	return best;
}

async function compare(name, make, marks, peerName) {
	const rows = [];
	for (const [fn, f] of Object.entries(functions)) {
		const ours = [];
		const random = [];
		for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
			ours.push(await run(make, f, { seed, marks }));
			random.push(await run(randomSampler, f, { seed, marks }));
		}
		marks.forEach((trials, i) => {
			const row = {
				sampler: name,
				function: fn,
				trials,
				seeds,
				attune: median(ours.map((best) => best[i])),
				random: median(random.map((best) => best[i])),
				optuna: peer(peerName, fn, trials),
				optunaRandom: peer("random", fn, trials),
			};
			rows.push(row);
			console.log(JSON.stringify(row));
		});
	}
	return rows;
}

async function overhead(finished) {
	const space = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`x${i}`, { type: "float", low: 0, high: 1 }]));
	const sum = (params) => Object.values(params).reduce((total, v) => total + (v - 0.3) ** 2, 0);
	const study = await createStudy({ space, sampler: tpeSampler({ startupTrials: finished }), seed: 0 });
	for (let i = 0; i < finished; i++) {
		const active = await study.ask();
		await study.tell(active, sum(active.params));
	}
	const times = [];
	const cpuTimes = [];
	for (let i = 0; i < 15; i++) {
		const start = performance.now();
		const cpu = process.cpuUsage();
		const active = await study.ask();
		times.push(performance.now() - start);
		cpuTimes.push(process.cpuUsage(cpu).user / 1000);
		await study.tell(active, sum(active.params));
	}
	const optuna = peers.find((row) => row.medianMs !== undefined)?.medianMs;
	const row = {
		measure: "one TPE suggestion",
		finished,
		parameters: 10,
		medianMs: Number(median(times).toFixed(1)),
		medianCpuMs: Number(median(cpuTimes).toFixed(1)),
		optunaMs: optuna,
	};
	console.log(JSON.stringify(row));
	return row;
}

const wants = (part) => flags.only === undefined || flags.only === part;
const results = {
	commit: execSync("git rev-parse --short HEAD", { cwd: here, encoding: "utf8" }).trim(),
	machine: `${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}`,
	command: "node bench/search/samplers.mjs --write",
	overhead: wants("overhead") ? await overhead(1000) : undefined,
	tpe: wants("tpe") ? await compare("tpe", () => tpeSampler(), [60, 100], "tpe") : [],
	gp: wants("gp") ? await compare("gp", () => gpSampler(), [30], "gp") : [],
};
const show = (value) => (value === undefined ? "-" : value.toPrecision(4));
console.log("\n| sampler | function | trials | attune | Optuna | random (ours) |\n|---|---|---|---|---|---|");
for (const row of [...results.tpe, ...results.gp]) {
	console.log(
		`| ${row.sampler} | ${row.function} | ${row.trials} | ${show(row.attune)} | ${show(row.optuna)} | ${show(row.random)} |`,
	);
}
if (flags.write) writeFileSync(join(here, "results.json"), `${JSON.stringify(results, null, "\t")}\n`);

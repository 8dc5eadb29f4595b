// Is the search better than random search, and than the settings that finetune takes by itself? Five studies of the
// built-in model on the example shop's dialogues. Both sides have one thread, on a core of their own, the same space and
// the same budget; random search of twice the budget is two of its runs together, since its trials do not know each other.
//
//     npm run build && node bench/search/studies.mjs --folder DIR [--budget 10m] [--studies 5]
//
// Runs that are in the folder already are kept. A table, then one line of JSON.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
	options: {
		folder: { type: "string", default: "/tmp/attune-studies" },
		budget: { type: "string", default: "10m" },
		studies: { type: "string", default: "5" },
	},
});
const { folder, budget } = values;
const seeds = Array.from({ length: Number(values.studies) }, (_, i) => i + 1);
const root = join(import.meta.dirname, "../..");
const examples = join(root, "examples/customer-service");
const program = join(root, "dist/cli/main.js");
mkdirSync(join(folder, "data"), { recursive: true });
const data = writeData();

await Promise.all([inTurn(0, "search"), inTurn(1, "random")]);
for (const seed of seeds) {
	const output = join(folder, `default-${seed}`);
	const flags = ["finetune", ...data, "--threads", "1", "--seed", String(seed), "--output", output];
	if (!existsSync(join(output, "report.json"))) await run(0, flags);
}

const report = (side, seed) => JSON.parse(readFileSync(join(folder, `${side}-${seed}`, "report.json"), "utf8"));
const rows = seeds.map((seed) => {
	const found = losses(report("search", seed));
	const random = losses(report("random", seed));
	const other = losses(report("random", seeds[seed % seeds.length]));
	const usual = report("default", seed);
	const { trials, seconds, winner } = report("search", seed);
	return {
		seed,
		trials,
		randomTrials: report("random", seed).trials,
		search: found,
		random,
		randomTwice: other.validation < random.validation ? other : random,
		default: { validation: usual.validationLossAfter, test: usual.testLoss },
		wasted: seconds.other / seconds.total,
		winner: winner.settings,
	};
});
const sides = ["search", "random", "randomTwice", "default"];
console.log("validation (test) loss of the winner\n");
console.log(["study", "trials", "search", "random, same budget", "random, twice", "default", "wasted"].join(" | "));
for (const row of rows) {
	const cells = sides.map((side) => `${row[side].validation.toFixed(4)} (${row[side].test.toFixed(4)})`);
	console.log(
		[row.seed, `${row.trials}, ${row.randomTrials}`, ...cells, `${(100 * row.wasted).toFixed(1)} %`].join(" | "),
	);
}
const better = (side, kind) => rows.filter((row) => row.search[kind] <= row[side][kind]).length;
for (const side of sides.slice(1)) {
	const [validation, test] = [better(side, "validation"), better(side, "test")];
	console.log(`at least as good as ${side}: ${validation} of ${rows.length} by validation, ${test} by test`);
}
const git = (...args) => execFileSync("git", args, { cwd: root, encoding: "utf8" }).trim();
console.log(
	JSON.stringify({
		benchmark: "search studies",
		commit: git("rev-parse", "--short", "HEAD"),
		date: new Date().toISOString(),
		budget,
		machine: { cpu: cpus()[0]?.model, cores: cpus().length },
		rows,
	}),
);

/** Every tenth training row is for validation; the held-out file is for the last score. The order of rows is kept. */
function writeData() {
	const rowsOf = (name) => {
		const text = readFileSync(join(examples, name), "utf8");
		return name.endsWith(".json") ? JSON.parse(text) : text.trimEnd().split("\n").map(JSON.parse);
	};
	const turns = ({ input, output }) => ({
		messages: [
			{ role: "user", content: input },
			{ role: "assistant", content: output },
		],
	});
	const pairs = [...rowsOf("train.en.json"), ...rowsOf("train.zh.json")].map(turns);
	const parts = [pairs, rowsOf("train.multi.jsonl")];
	const pick = (held) => parts.flatMap((part) => part.filter((_, i) => (i % 10 === 7) === held));
	const file = (name, content) => {
		const path = join(folder, "data", name);
		writeFileSync(path, content.map((row) => `${JSON.stringify(row)}\n`).join(""));
		return path;
	};
	const [train, validation] = [file("train.jsonl", pick(false)), file("validation.jsonl", pick(true))];
	return ["--data", train, "--validation", validation, "--test", join(examples, "held-out.jsonl")];
}

/** The studies of one side, one after the other on one core. Random search takes the space that the search chose. */
async function inTurn(core, side) {
	for (const seed of seeds) {
		const output = join(folder, `${side}-${seed}`);
		if (existsSync(join(output, "report.json"))) continue;
		const flags = ["search", ...data, "--threads", "1", "--seed", String(seed), "--budget", budget, "--output", output];
		if (side === "random") {
			const { low, high } = await searchedEpochs(seed);
			const space = ["--vary", `epochs=${low}..${high.toFixed(2)}:log`];
			flags.push("--sampler", "random", "--pruner", "none", "--noise-seeds", "0", ...space);
		}
		await run(core, [...flags, "--overwrite"]);
	}
}

/** The only range that depends on a measurement of the machine. Waits until the search of this seed has begun. */
async function searchedEpochs(seed) {
	for (;;) {
		const path = join(folder, `search-${seed}`, "study.jsonl");
		if (existsSync(path)) {
			const [first, rest] = readFileSync(path, "utf8").split("\n", 2);
			if (rest !== undefined) return JSON.parse(first).space.epochs;
		}
		await new Promise((resolve) => setTimeout(resolve, 500));
	}
}

function run(core, flags) {
	return new Promise((resolve, reject) => {
		const command = ["-c", String(core), process.execPath, program, ...flags, "--quiet"];
		const child = spawn("taskset", command, { stdio: ["ignore", "ignore", "inherit"] });
		child.on("error", reject);
		child.on("close", (code) => (code === 0 ? resolve() : reject(new Error(`${flags.join(" ")} ended with ${code}`))));
	});
}

function losses({ validationLoss, testLoss }) {
	return { validation: validationLoss.winner, test: testLoss.winner };
}

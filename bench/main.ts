// `npm run bench -- training`, `-- generation` and `-- memory`: ours against the peers, on this machine, now. Both sides run in fresh
// processes, in turn (A B A B), so that a busy machine is busy for both; a table, then one line of JSON for the records.
// Peers live outside the repository: ATTUNE_PEERS is a Python environment (default /work/peers/venv), ATTUNE_PEER_SCRIPTS
// the folder of their scripts, ATTUNE_DATA that of the data sets, ATTUNE_LLAMA a folder with node-llama-cpp and models/.

import { execFileSync } from "node:child_process";
import { cpus, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { type Case, type CaseResult, compare } from "./compare.ts";
import { type Places, suites } from "./suites.ts";

const { positionals, values } = parseArgs({
	allowPositionals: true,
	options: {
		/** Less of everything: to see that it works. */
		quick: { type: "boolean", default: false },
		/** Processes of each side. */
		rounds: { type: "string", default: "3" },
		/** Cases whose name contains this. */
		only: { type: "string", default: "" },
	},
});
const name = positionals[0] as keyof typeof suites;
if (!(name in suites)) {
	console.error(`Usage: npm run bench -- ${Object.keys(suites).join("|")} [--quick] [--rounds 3] [--only NAME]`);
	process.exit(2);
}
const places: Places = {
	python: `${process.env.ATTUNE_PEERS ?? "/work/peers/venv"}/bin/python`,
	scripts: process.env.ATTUNE_PEER_SCRIPTS ?? "/work/shared/peers",
	data: process.env.ATTUNE_DATA ?? "/work/shared/data",
	llama: process.env.ATTUNE_LLAMA ?? "/work/peers/llama",
	sides: new URL(".", import.meta.url).pathname,
};
const cases: readonly Case[] = suites[name]({ places, quick: values.quick }).filter((c) =>
	c.name.includes(values.only),
);
const results: CaseResult[] = [];
for (const one of cases) results.push(await compare(one, { rounds: Number(values.rounds) }));

for (const { name, ours, peers, notes } of results) {
	console.log(`\n${name}`);
	for (const [measure, { value, unit }] of Object.entries(ours)) {
		const against = peers.flatMap((peer) => {
			const found = peer.measures[measure];
			return found ? [`${peer.name} ${format(found.value)} ${unit}, ratio ${found.advantage.toFixed(2)}`] : [];
		});
		console.log(`  ${measure.padEnd(32)} ${format(value).padStart(9)} ${unit.padEnd(6)}  ${against.join("; ")}`);
	}
	for (const note of notes) console.log(`  (${note})`);
}
console.log("\nRatios above 1: ours is better. Medians.\n");
const git = (...args: string[]) => execFileSync("git", args, { encoding: "utf8" }).trim();
console.log(
	JSON.stringify({
		suite: name,
		commit: git("rev-parse", "--short", "HEAD") + (git("status", "--porcelain", "src") ? " and changes" : ""),
		command: `npm run bench -- ${process.argv.slice(2).join(" ")}`,
		date: new Date().toISOString(),
		machine: { cpu: cpus()[0]?.model, cores: cpus().length, gigabytes: Math.round(totalmem() / 2 ** 30) },
		node: process.version,
		results,
	}),
);

function format(value: number): string {
	return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

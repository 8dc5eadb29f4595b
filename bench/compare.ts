// Runs both sides of a case in turn and compares medians. A side is a command that prints lines of JSON, one for each
// measurement; where it prints several, the first paid for cold memory and is left out.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

export interface Measure {
	unit: string;
	better: "more" | "less";
	/** From a side's field to the unit; default 1. */
	factor?: number;
}

export interface Side {
	name: string;
	command: readonly string[];
	cwd?: string;
	/** Files without which it cannot run. */
	needs?: readonly string[];
	/** Where its lines call a measure otherwise: ours -> theirs. */
	fields?: Readonly<Record<string, string>>;
}

export interface Case {
	name: string;
	measures: Readonly<Record<string, Measure>>;
	ours: Side;
	peers: readonly Side[];
}

export interface CaseResult {
	name: string;
	ours: Record<string, { value: number; unit: string; all: number[] }>;
	/** `advantage`: how many times better ours is. */
	peers: { name: string; measures: Record<string, { value: number; all: number[]; advantage: number }> }[];
	notes: string[];
}

export async function compare(one: Case, { rounds }: { rounds: number }): Promise<CaseResult> {
	const notes: string[] = [];
	const peers = one.peers.filter(({ name, needs = [] }) => {
		const missing = needs.filter((file) => !existsSync(file));
		if (missing.length > 0) notes.push(`${name} was left out: there is no ${missing.join(", no ")}`);
		return missing.length === 0;
	});
	const lines = new Map<Side, Record<string, number>[]>();
	for (let round = 0; round < rounds; round++) {
		for (const side of [one.ours, ...peers]) {
			process.stderr.write(`${one.name}, round ${round + 1}: ${side.name} ...\n`);
			const printed = await run(side);
			lines.set(side, [...(lines.get(side) ?? []), ...(printed.length > 1 ? printed.slice(1) : printed)]);
		}
	}
	const values = (side: Side, measure: string) => {
		const field = side.fields?.[measure] ?? measure;
		const factor = one.measures[measure]?.factor ?? 1;
		return (lines.get(side) ?? []).flatMap((line) => (line[field] === undefined ? [] : [line[field] * factor]));
	};
	const ours: CaseResult["ours"] = {};
	for (const [measure, { unit }] of Object.entries(one.measures)) {
		const all = values(one.ours, measure);
		ours[measure] = { value: median(all), unit, all };
	}
	const theirs = peers.map((peer) => {
		const measures: CaseResult["peers"][number]["measures"] = {};
		for (const [measure, { better }] of Object.entries(one.measures)) {
			const all = values(peer, measure);
			if (all.length === 0) continue;
			const value = median(all);
			const mine = ours[measure]?.value as number;
			measures[measure] = { value, all, advantage: better === "more" ? mine / value : value / mine };
		}
		return { name: peer.name, measures };
	});
	return { name: one.name, ours, peers: theirs, notes };
}

function run({ command, cwd, name }: Side): Promise<Record<string, number>[]> {
	return new Promise((resolve, reject) => {
		const [program, ...args] = command as [string, ...string[]];
		const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...(cwd && { cwd }) });
		let output = "";
		let errors = "";
		child.stdout.on("data", (data) => {
			output += data;
		});
		child.stderr.on("data", (data) => {
			errors += data;
		});
		child.on("error", reject);
		child.on("close", (code) => {
			// A double quote tells JSON from the dictionaries that Python's trainers print.
			const lines = output.split("\n").filter((line) => line.startsWith('{"'));
			if (code === 0 && lines.length > 0) resolve(lines.map((line) => JSON.parse(line)));
			else reject(new Error(`${name} (${command.join(" ")}) ended with ${code}:\n${errors.slice(-2000)}`));
		});
	});
}

export function median(values: readonly number[]): number {
	const sorted = [...values].sort((a, b) => a - b);
	const middle = sorted.length >> 1;
	if (sorted.length % 2 === 1) return sorted[middle] as number;
	return ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}

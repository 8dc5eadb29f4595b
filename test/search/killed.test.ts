// Searches that are killed with SIGKILL at random moments and resumed until they are done end with the journal and the
// model of the search that was never killed; a worker that is killed gives its trial back. A few kills here; more:
//
//     ATTUNE_KILLS=20 npx vitest run test/search/killed.test.ts
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type StudyRecord, withoutTime } from "../../src/search/index.ts";
import { Rng } from "../../src/util/rng.ts";
import { buildProgram, type Program } from "../support/program.ts";
import { dialoguesFile, leftovers, resultHash, temporary, tinyModelDirectory } from "../support/tiny.ts";

const wanted = Number(process.env.ATTUNE_KILLS ?? 3);
const seed = Number(process.env.ATTUNE_KILL_SEED ?? 1);

let program: Program;
let flags: string[];
beforeAll(async () => {
	program = await buildProgram();
	const model = await tinyModelDirectory({ channels: 32 });
	const settings = { model, data: dialoguesFile(), validation: 0.25, test: 0.2, trials: 10, "keep-trials": 3 };
	flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]);
});
afterAll(() => program?.remove());

const records = (directory: string) =>
	readFileSync(join(directory, "study.jsonl"), "utf8")
		.trimEnd()
		.split("\n")
		.map((line) => withoutTime(JSON.parse(line) as StudyRecord));

test(`${wanted} kills: the journal and the model of the search that was never killed`, {
	timeout: 3_600_000,
}, async () => {
	const [whole, killed] = [join(temporary(), "whole"), join(temporary(), "killed")];
	expect((await program.run(["search", ...flags, "--threads", "1", "--output", whole, "--json"])).code).toBe(0);
	const rng = new Rng([seed, "kill"]);
	let kills = 0;
	for (;;) {
		const [events, delayMs] = [rng.integer(12), rng.integer(40)];
		let seen = 0;
		const outcome = await program.run(
			["search", ...flags, "--threads", "1", "--output", killed, "--resume", "auto", "--json"],
			{
				onEvent: (_, child) => {
					if (kills < wanted && seen++ === events) sleep(delayMs).then(() => child.kill("SIGKILL"));
				},
			},
		);
		if (outcome.signal === "SIGKILL") kills++;
		else {
			expect(outcome.code, outcome.err).toBe(0);
			break;
		}
	}
	if (process.env.ATTUNE_KILLS !== undefined) console.log(JSON.stringify({ benchmark: "search kills", kills, seed }));
	expect(records(killed)).toEqual(records(whole));
	expect(resultHash(killed)).toBe(resultHash(whole));
	expect(leftovers(killed)).toEqual([]);
});

test("a second process shares the study; killed, its trial is taken over", { timeout: 3_600_000 }, async () => {
	const directory = join(temporary(), "shared");
	let worker: ReturnType<Program["run"]> | undefined;
	const main = program.run(["search", ...flags, "--workers", "2", "--threads", "1", "--output", directory, "--json"], {
		onEvent: ({ type }) => {
			if (type !== "trial-changed" || worker) return;
			worker = program.run(["search", "worker", "--study", directory, "--json"], {
				onEvent: (event, child) => {
					if (event.type === "trial-advanced") child.kill("SIGKILL");
				},
			});
		},
	});
	const outcome = await main;
	expect(outcome.code, outcome.err).toBe(0);
	await worker;
	const all = records(directory);
	const created = all.filter(({ type }) => type === "trial-created").map(({ trial }) => trial);
	expect(created).toEqual(Array.from({ length: 10 }, (_, number) => number));
	// Every trial came to a result: none was left to a process that is gone.
	const settled = new Set(
		all.filter(({ type }) => type === "rung-done" || type === "trial-failed").map(({ trial }) => trial),
	);
	expect(settled.size).toBe(10);
	expect(existsSync(join(directory, "report.json"))).toBe(true);
});

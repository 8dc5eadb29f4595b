// Processes that are killed with SIGKILL at random moments and resumed with `--resume auto` until they are done end with
// the bytes of the run that was never killed. A few kills here; the whole grid, with its table and one JSON line:
//
//     ATTUNE_KILLS=100 npx vitest run test/resume/killed.test.ts
import { existsSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Rng } from "../../src/util/rng.ts";
import { flags, resumeGrid, start, type Variant } from "../support/grid.ts";
import { buildProgram, type Program } from "../support/program.ts";
import { eventsOf, leftovers, resultHash, temporary } from "../support/tiny.ts";

const wanted = Number(process.env.ATTUNE_KILLS ?? 6);
const seed = Number(process.env.ATTUNE_KILL_SEED ?? 1);
/** In the short test; chosen so that together they have every kind of state. */
const short = ["adam, linear, dropout", "patience, keeping the best", "text, random order"];

let program: Program;
let grid: Variant[];
beforeAll(async () => {
	program = await buildProgram();
	// Larger and longer than elsewhere, so that there is something to hit.
	grid = (await resumeGrid({ channels: 32 })).filter(({ name }) => wanted > 20 || short.includes(name));
});
afterAll(() => program?.remove());

interface Row {
	name: string;
	kills: number;
	/** Where the kills fell: inside a save, or after which event. */
	during: Record<string, number>;
	equal: boolean;
}

/** Kills the run `times` times (less when it is done before), then lets it end. */
async function killAndResume(variant: Variant, output: string, { times, rng }: { times: number; rng: Rng }) {
	const during: Record<string, number> = {};
	let kills = 0;
	for (;;) {
		const killing = kills < times;
		// After some events and up to some milliseconds more: inside a step, a checkpoint, an evaluation, the final model.
		// Every other one is aimed at a save: its event comes when the writing begins.
		const aimsAtSave = rng.integer(2) === 0;
		const events = rng.integer(aimsAtSave ? 3 : 7);
		const delayMs = rng.integer(4) === 0 ? 0 : rng.integer(aimsAtSave ? 6 : 30);
		let seen = 0;
		let last = "start";
		const outcome = await program.run(flags(variant, { output, resume: "auto", json: true }), {
			onEvent: ({ type }, child) => {
				last = type;
				if (!killing || (aimsAtSave && type !== "checkpoint-saved")) return;
				if (seen++ === events) sleep(delayMs).then(() => child.kill("SIGKILL"));
			},
		});
		if (outcome.signal !== "SIGKILL") {
			expect(outcome.code, outcome.err).toBe(0);
			if (!killing) return { kills, during };
			// It was done before it could be killed: what there is is the result of the kills so far.
			if (existsSync(join(output, "report.json"))) return { kills, during };
		} else {
			kills++;
			// What was being written aside tells of a kill inside a save.
			const where = leftovers(output).some((name) => name.includes(".partial")) ? "saving" : last;
			during[where] = (during[where] ?? 0) + 1;
		}
	}
}

test(`${wanted} kills: the results have the same SHA-256 as the uninterrupted runs'`, {
	timeout: 3_600_000,
}, async () => {
	const rows: Row[] = [];
	let kills = 0;
	for (let round = 0; kills < wanted; round++) {
		for (const [i, variant] of grid.entries()) {
			if (kills >= wanted) break;
			const [whole, killed] = [join(temporary(), "whole"), join(temporary(), "killed")];
			await eventsOf(start(variant, { output: whole }));
			const rng = new Rng([seed, "kill", round, i]);
			const hit = await killAndResume(variant, killed, {
				times: Math.min(4, Math.ceil(wanted / grid.length), wanted - kills),
				rng,
			});
			kills += hit.kills;
			const equal = resultHash(killed) === resultHash(whole);
			rows.push({ name: variant.name, ...hit, equal });
			expect(leftovers(killed), variant.name).toEqual([]);
		}
	}
	if (process.env.ATTUNE_KILLS !== undefined) {
		for (const { name, kills, during, equal } of rows)
			console.log(name.padEnd(40), kills, equal ? "equal" : "DIFFERENT", JSON.stringify(during));
		const runs = rows.length;
		console.log(
			JSON.stringify({ benchmark: "kills", kills, runs, equal: rows.filter(({ equal }) => equal).length, seed }),
		);
	}
	expect(rows.filter(({ equal }) => !equal)).toEqual([]);
});

// A run that is interrupted through its signal, at any moment and again and again, ends with the bytes of the run that was
// not: weights, checkpoints that stay, and the curve in the events.
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import { readRunEvents } from "../../src/checkpoint/run-directory.ts";
import { Rng } from "../../src/util/rng.ts";
import { resumeGrid, start, type Variant } from "../support/grid.ts";
import { checkpointSteps, eventsOf, leftovers, ofType, resultHash, temporary } from "../support/tiny.ts";

let grid: Variant[];
beforeAll(async () => {
	grid = await resumeGrid();
});

/** What the log of a run says of its training, without clocks. */
async function curve(run: string) {
	const kept = (await readRunEvents(run)).filter(({ type }) => type === "step-done" || type === "evaluation-done");
	return kept.map(({ type, step, loss, learningRate, batchSize, gradientNorm }) =>
		JSON.stringify({ type, step, loss, learningRate, batchSize, gradientNorm }),
	);
}

/** Runs until it is done; the signal is given at random: some events and up to some milliseconds into the run. */
async function withInterruptions(variant: Variant, output: string, { times, rng }: { times: number; rng: Rng }) {
	let interrupted = 0;
	for (;;) {
		const controller = new AbortController();
		let left = interrupted < times ? 1 + rng.integer(5) : Number.POSITIVE_INFINITY;
		const delayMs = rng.integer(3) === 0 ? 0 : rng.integer(25);
		let done = false;
		try {
			for await (const event of start(variant, { output, resume: "auto", context: { signal: controller.signal } })) {
				done ||= event.type === "run-done";
				if (event.type === "step-done" || event.type === "evaluation-done") left--;
				if (left === 0) delayMs === 0 ? controller.abort() : setTimeout(() => controller.abort(), delayMs);
			}
		} catch (error) {
			// Before its first step a run has nothing to save: it may throw the signal's reason.
			if (!controller.signal.aborted) throw error;
		}
		if (done) return interrupted;
		expect(controller.signal.aborted).toBe(true);
		interrupted++;
	}
}

test("the grid: interrupted runs equal the uninterrupted", async () => {
	let interruptions = 0;
	for (const [i, variant] of grid.entries()) {
		const [whole, broken] = [join(temporary(), "whole"), join(temporary(), "broken")];
		const events = await eventsOf(start(variant, { output: whole }));
		expect(ofType(events, "run-done").length, variant.name).toBe(1);
		interruptions += await withInterruptions(variant, broken, { times: 2, rng: new Rng(["interrupt", i]) });
		expect(resultHash(broken), variant.name).toBe(resultHash(whole));
		expect(await curve(broken), variant.name).toEqual(await curve(whole));
		expect(leftovers(broken), variant.name).toEqual([]);
		const [last] = checkpointSteps(whole).slice(-1);
		expect(checkpointSteps(broken)).toContain(last);
	}
	expect(interruptions).toBeGreaterThan(grid.length);
});

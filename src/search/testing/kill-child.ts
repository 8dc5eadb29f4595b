// The child of the kill test: a study on a cheap, deterministic objective, with rungs, failures, reports and noise. It is
// killed again and again; whoever runs it last must leave the journal that nobody was ever killed on.
import { setTimeout as sleep } from "node:timers/promises";
import { ashaPruner, categorical, createStudy, float, int, journalStorage, tpeSampler } from "../index.ts";

const [path, pauseMs = "0", seed = "1"] = process.argv.slice(2) as [string, string?, string?];
const study = await createStudy({
	space: {
		rate: float({ low: 1e-6, high: 1e-1, log: true }),
		method: categorical(["full", "lora"]),
		rank: int({ low: 1, high: 64, log: true, when: { method: "lora" } }),
	},
	sampler: tpeSampler({ startupTrials: 8 }),
	pruner: ashaPruner({ minStep: 2, maxStep: 18 }),
	storage: journalStorage(path, { survives: "kill" }),
	noiseSeeds: 3,
	seed: Number(seed),
});
const events = study.optimize(
	async ({ params, trial, fromStep, toStep, checkpoint }) => {
		if (params.rate > 0.03) throw new Error(`not finite at rate ${params.rate.toFixed(3)}`);
		// The checkpoint carries the sum of a loss that falls from step to step; a lost or doubled step would change it.
		let sum = (checkpoint as { sum: number } | undefined)?.sum ?? 0;
		for (let step = fromStep + 1; step <= toStep; step++) {
			sum +=
				Math.abs(Math.log10(params.rate / 3e-4)) +
				Math.abs(Math.log2((params.rank ?? 4) / 16)) / step +
				trial.seed / 100;
			if (step % 2 === 1) await trial.report(sum / step, step);
			if (step % 4 === 0) await trial.saveCheckpoint({ sum }, step);
			await sleep(Number(pauseMs));
		}
		return { value: sum / toStep, checkpoint: { sum }, cost: toStep };
	},
	{ maxTrials: 24 },
);
for await (const _ of events);
await study.close();

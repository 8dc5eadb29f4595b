// What every pruner must do, whatever its rule.
import { describe, expect, test } from "vitest";
import type { Pruner } from "../pruners/pruner.ts";
import { randomSampler } from "../samplers/random.ts";
import { float } from "../space.ts";
import { createStudy } from "../study.ts";

export function prunerSuite(name: string, make: () => Pruner): void {
	describe(`${name} is a pruner`, () => {
		test("rungs ascend, and every bracket ends at the same step", () => {
			const pruner = make();
			for (let bracket = 0; bracket < 3; bracket++) {
				const rungs = pruner.rungs(bracket);
				if (rungs === undefined || rungs.length === 0) continue;
				expect([...rungs].sort((a, b) => a - b)).toEqual(rungs);
				expect(rungs.at(-1)).toBe(pruner.rungs(0)?.at(-1));
			}
		});

		test("its options are plain data, and a new object decides the same", async () => {
			const { options } = make();
			expect(JSON.parse(JSON.stringify(options))).toEqual(options);
		});

		for (const direction of ["minimize", "maximize"] as const) {
			test(`a whole study: every trial ends or pauses, the best is not pruned (${direction})`, async () => {
				const sign = direction === "minimize" ? 1 : -1;
				const study = await createStudy({
					space: { x: float({ low: 0, high: 1 }) },
					sampler: randomSampler(),
					pruner: make(),
					maxStep: 9,
					direction,
				});
				const seen = new Map<number, number>();
				const events = study.optimize(
					async ({ params, trial, fromStep, toStep }) => {
						expect(fromStep).toBe(seen.get(trial.number) ?? 0);
						for (let step = fromStep + 1; step <= toStep; step++) {
							await trial.report(sign * (params.x + 1 / step), step);
							if (trial.shouldPrune()) return "pruned";
						}
						seen.set(trial.number, toStep);
						return { value: sign * (params.x + 1 / toStep), checkpoint: toStep };
					},
					{ maxTrials: 40 },
				);
				for await (const event of events) if (event.type === "trial-failed") throw new Error(event.reason);
				expect(study.trials).toHaveLength(40);
				expect(study.trials.some(({ state }) => state === "done")).toBe(true);
				expect(study.trials.every(({ state }) => state !== "running" && state !== "failed")).toBe(true);
				const lowest = Math.min(...study.trials.map(({ params }) => params.x));
				const best = study.trials.find(({ params }) => params.x === lowest);
				expect(best?.state).not.toBe("pruned");
			});
		}
	});
}

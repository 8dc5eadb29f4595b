// A growing batch against a constant one: the same model, data, seeds and number of tokens on both sides. Every run is an
// ordinary fine-tuning in a temporary directory; the validation losses at the end are compared seed by seed.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finetune } from "./finetune.ts";
import { benchRampOptions } from "./options/jobs.ts";
import type { EventOf, Recipe } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";

const defaultRamp = { from: 8, to: 64, over: 0.3 };
const sides = ["ramp", "constant"] as const;

/** A `metric-measured` event a run, then for each side and for their difference with the spread over seeds. */
export const benchRamp: Recipe<typeof benchRampOptions> = async function* (options, { origins, signal } = {}) {
	const { values } = resolveOptions(benchRampOptions, { options, origins });
	const { batchRamp = defaultRamp, rampLearningRate, learningRate, seeds, ...rest } = values;
	const { batchSize = batchRamp.to, ...shared } = rest;
	const losses: Record<(typeof sides)[number], number[]> = { ramp: [], constant: [] };
	const folder = await mkdtemp(join(tmpdir(), "attune-bench-ramp-"));
	try {
		for (let seed = 0; seed < seeds; seed++) {
			for (const side of sides) {
				const own = side === "ramp" ? { batchRamp, rampLearningRate } : { batchSize };
				const { columns, maxLength, threads, ...always } = shared;
				const run = finetune(
					{
						...always,
						...own,
						...(columns && { columns }),
						...(maxLength !== undefined && { maxLength }),
						...(threads !== undefined && { threads }),
						...(learningRate !== undefined && { learningRate }),
						seed,
						keep: "last",
						output: join(folder, `${side}-${seed}`),
					},
					signal ? { signal } : {},
				);
				let done: EventOf<"run-done"> | undefined;
				for await (const event of run) {
					if (event.type === "run-done") done = event;
					else if (event.type === "step-done") yield event;
					// The data are the same in every run: what there is to say about them is said once.
					else if (seed === 0 && side === "ramp" && (event.type === "warning" || event.type === "data-read"))
						yield event;
				}
				// Stopped: there is nothing to compare.
				if (!done) return;
				const { validationLossAfter: loss, supervisedTokens, steps } = done.report;
				await rm(done.directory, { recursive: true, force: true });
				if (loss === undefined) {
					yield {
						type: "warning",
						code: "NO_VALIDATION",
						message: "Nothing is held out: there is nothing to compare.",
					};
					return;
				}
				losses[side].push(loss);
				const what = `${side}, seed ${seed}, ${steps} steps, ${supervisedTokens} supervised tokens`;
				yield { type: "metric-measured", name: `validation loss, ${what}`, value: loss };
			}
		}
		for (const side of sides)
			yield { type: "metric-measured", name: `validation loss, ${side}`, ...spreadOf(losses[side]) };
		const differences = losses.ramp.map((loss, seed) => loss - (losses.constant[seed] as number));
		yield { type: "metric-measured", name: "ramp minus constant", ...spreadOf(differences) };
	} finally {
		await rm(folder, { recursive: true, force: true });
	}
};

/** Mean, and one standard deviation over the seeds to either side. */
export function spreadOf(values: readonly number[]): { value: number; low: number; high: number } {
	const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
	const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
	const deviation = Math.sqrt(squares / (values.length - 1));
	return { value: mean, low: mean - deviation, high: mean + deviation };
}

// The honest baseline, run for real: random search over whole runs, with the same budget, space and data.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { SearchBaseline } from "../options/recipe.ts";
import { bestOf } from "./result.ts";
import { baselineFolder } from "./study-files.ts";
import { type SearchValues, StudyRun, type StudyRunOptions } from "./study-run.ts";
import { workOrder } from "./work-order.ts";

/** In a folder of its own. Close it when done. */
export async function runBaseline(
	options: StudyRunOptions,
	{ budget, values }: { budget: number | undefined; values: SearchValues },
) {
	const startedAt = Date.now();
	const directory = join(options.directory, baselineFolder);
	await mkdir(directory, { recursive: true });
	const study = await StudyRun.open({
		...options,
		directory,
		spent: { training: 0, evaluating: 0 },
		values: { ...values, sampler: "random", pruner: "none", noiseSeeds: 0 },
	});
	const order = workOrder({ budget, values, startedAt, study, resumed: false });
	return {
		started: study.started(order, { baseline: false }),
		work: study.work(order),
		async result(signal: AbortSignal | undefined): Promise<SearchBaseline> {
			const { winner } = study.ranking;
			const seconds = (Date.now() - startedAt) / 1000;
			const trials = study.study.trials.length;
			if (winner === undefined) return { kind: "unknown", reason: "no random trial came to its end" };
			const { setting, best } = await bestOf(study, { trial: winner, bench: options.bench });
			const { test } = setting.parts;
			return {
				kind: "run",
				trials,
				seconds,
				validationLoss: best.loss,
				...(test && { testLoss: await options.bench.evaluate(setting, test, signal) }),
			};
		},
		close: () => study.close(),
	};
}

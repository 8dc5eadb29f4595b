// One more process on a search that is running: the same study, with a share of the threads of its own.

import { join } from "node:path";
import { hashFiles, readManifest } from "../checkpoint/manifest.ts";
import { journalStorage, readStudy } from "../search/index.ts";
import { UserError } from "../util/errors.ts";
import { dataFiles } from "./finetune.ts";
import { resolveModelReference } from "./model-reference.ts";
import { searchOptions, searchWorkerOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import { type OptionRecord, resolveOptions } from "./options/resolve.ts";
import { finetuneValues, spaceOf } from "./search/settings.ts";
import { journalFile, readWorkOrder } from "./search/study-files.ts";
import { StudyRun } from "./search/study-run.ts";
import { type FinetuneValues, Workbench } from "./search/workbench.ts";
import { changedFilesOf } from "./setup.ts";
import { hashModel } from "./training-run.ts";

/** Joins the study of a search that is running, with the threads that it gave each process. Ends when the search does. */
export const searchWorker: Recipe<typeof searchWorkerOptions> = async function* (options, { origins, signal } = {}) {
	const { study: directory } = resolveOptions(searchWorkerOptions, { options, origins }).values;
	const manifest = await readManifest(directory);
	const order = await readWorkOrder(directory);
	const known = readStudy(journalStorage(join(directory, journalFile)));
	if (manifest.recipe !== searchOptions.job || !order || !known) {
		throw new UserError("NOT_A_SEARCH", `${directory} is not a search that has begun.`, {
			where: "--study",
			expected: "the --output of an attune search that is running",
			found: manifest.recipe,
		});
	}
	const { values } = resolveOptions(searchOptions, { options: {}, previous: manifest.options as OptionRecord });
	const abortable = signal ? { signal } : {};
	const modelDirectory = yield* resolveModelReference(values.model, abortable);
	const plain = finetuneValues(values, { output: directory });
	const bench = await Workbench.open(modelDirectory, plain, abortable);
	let run: StudyRun | undefined;
	try {
		const data = await hashFiles(dataFiles(values), abortable);
		changedFilesOf(manifest, { data, base: await hashModel(modelDirectory, values.model), allowed: [] });
		const usual: FinetuneValues = { ...plain, learningRate: await bench.learningRate(plain) };
		const composed = await spaceOf(values, {
			record: manifest.options as OptionRecord,
			usual,
			bench,
			budget: undefined,
			epochSeconds: 0,
		});
		const fixed = finetuneValues({ ...usual, ...composed.fixed }, { output: directory });
		const threads = values.threads ?? 1;
		run = await StudyRun.open({
			directory,
			bench,
			space: known.space,
			fixed,
			values,
			threads,
			spent: { training: 0, evaluating: 0 },
		});
		yield run.started(order, { baseline: false });
		yield* run.work({ ...order, signal });
	} finally {
		await run?.close();
		await bench.dispose();
	}
};

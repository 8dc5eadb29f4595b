// What a person may write where a model is wanted: a directory, a run directory, a hub id, or `builtin`.

import { join } from "node:path";
import { locateModel } from "../checkpoint/model-reference.ts";
import { loadModel } from "../models/load-model.ts";
import type { Model } from "../models/model.ts";
import { packageRoot } from "../util/package-root.ts";
import type { RecipeEvent } from "./options/recipe.ts";

export const builtinModelPath = () => join(packageRoot(), "models", "builtin");

/** The directory that a model reference stands for. A model of the hub is downloaded, with events, when the cache lacks it. */
export async function* resolveModelReference(
	reference: string,
	{ signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<RecipeEvent, string> {
	const arrived: RecipeEvent[] = [];
	let wake = () => {};
	const located = locateModel(reference, {
		builtinPath: builtinModelPath(),
		env: process.env,
		...(signal && { signal }),
		onProgress: ({ file, receivedBytes, totalBytes }) => {
			arrived.push({
				type: "work-advanced",
				what: `download ${file}`,
				done: receivedBytes,
				total: totalBytes,
				unit: "bytes",
			});
			wake();
		},
	});
	let finished = false;
	const settled = located
		.then(
			() => {},
			() => {},
		)
		.then(() => {
			finished = true;
			wake();
		});
	while (!finished) {
		await new Promise<void>((resolve) => {
			wake = resolve;
			if (arrived.length > 0 || finished) resolve();
		});
		// Bytes arrive faster than anyone looks: the last number is enough.
		const last = arrived.splice(0).at(-1);
		if (last) yield last;
	}
	await settled;
	return (await located).path;
}

/** Resolves and loads, without telling about progress. */
export async function loadReferencedModel(
	reference: string,
	{ signal }: { signal?: AbortSignal } = {},
): Promise<Model> {
	const steps = resolveModelReference(reference, signal ? { signal } : {});
	for (;;) {
		const step = await steps.next();
		if (step.done) return loadModel(step.value);
	}
}

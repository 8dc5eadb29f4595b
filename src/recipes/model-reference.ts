// What a person may write where a model is wanted: a directory, a run directory, a hub id, or `builtin`.

import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { configFile, modelFolder } from "../checkpoint/model-directory.ts";
import { locateModel, parseModelReference } from "../checkpoint/model-reference.ts";
import { findAdapter, openAdapter } from "../checkpoint/peft.ts";
import type { BaseReference } from "../models/adapter-files.ts";
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
	const found = locateModel(reference, {
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
	const settled = found
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
	return (await found).path;
}

/** Resolves and loads, without telling about progress. */
export async function loadReferencedModel(reference: string, options: { signal?: AbortSignal } = {}): Promise<Model> {
	return loadWithBase(await located(reference, options), options);
}

/** Loads a directory; an adapter's base is looked up as a reference. `bits`: see LoadOptions. */
export async function loadWithBase(
	path: string,
	{ signal, bits }: { signal?: AbortSignal; bits?: 4 | 8 | undefined } = {},
): Promise<Model> {
	const resolveBase = (reference: string, options: { revision?: string }) =>
		located(baseReference(reference, options), signal ? { signal } : {});
	return loadModel(path, { resolveBase, ...(bits && { bits }) });
}

/** The directories whose files make up a model: its own, and for an adapter those of its base. */
export async function modelDirectories(path: string): Promise<string[]> {
	const adapter = await findAdapter(path);
	if (adapter === undefined) return [(await readdir(path)).includes(configFile) ? path : join(path, modelFolder)];
	const directory = await openAdapter(adapter);
	await directory.close();
	const { base, revision } = directory.config;
	return [adapter, ...(await modelDirectories(await located(baseReference(base, revision ? { revision } : {}))))];
}

/** How an adapter names the model that `reference` stands for, so that it is found again from anywhere. */
export async function nameOfBase(reference: string): Promise<BaseReference> {
	const parsed = await parseModelReference(reference);
	if (parsed.kind === "builtin") return { name: "builtin" };
	if (parsed.kind === "hub")
		return { name: parsed.id, ...(parsed.revision !== "main" && { revision: parsed.revision }) };
	const [directory] = await modelDirectories(parsed.path);
	return { name: resolve(directory as string) };
}

const baseReference = (name: string, { revision }: { revision?: string }) =>
	revision === undefined ? name : `${name}@${revision}`;

async function located(reference: string, options: { signal?: AbortSignal } = {}): Promise<string> {
	const steps = resolveModelReference(reference, options);
	for (;;) {
		const step = await steps.next();
		if (step.done) return step.value;
	}
}

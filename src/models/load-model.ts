// Loading whatever a person calls a model: a model directory, a run directory, or an adapter, which is loaded with its base.

import { findAdapter, openAdapter } from "../checkpoint/peft.ts";
import { UserError } from "../util/errors.ts";
import { mergeAdapter } from "./adapter.ts";
import { readAdapter } from "./adapter-files.ts";
import { roundModel } from "./few-bits.ts";
import { type Model, readModel } from "./model.ts";

export interface LoadOptions {
	/**
	 * Finds the directory of an adapter's base, which the adapter names: a hub id (with a revision), a path or "builtin".
	 * Default: a path.
	 */
	resolveBase?: (reference: string, options: { revision?: string }) => Promise<string>;
	/** Hold the matrices in this many bits, frozen. Default: float32. */
	bits?: 4 | 8;
}

/** Adapters upon adapters that are followed. */
const deepest = 8;

/** An adapter is merged into its base: the result is a model like any other. Throws UserError when something does not fit. */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<Model> {
	return load(path, { ...options, depth: 0 });
}

async function load(path: string, options: LoadOptions & { depth: number }): Promise<Model> {
	const { resolveBase = async (reference) => reference, bits, depth } = options;
	const adapterPath = await findAdapter(path);
	if (adapterPath === undefined) return readModel(path, bits ? { bits } : {});
	const directory = await openAdapter(adapterPath);
	try {
		const { base, revision } = directory.config;
		if (depth === deepest) {
			throw new UserError("ADAPTER_BASE", `More than ${deepest} adapters stand upon each other.`, { where: path });
		}
		const basePath = await resolveBase(base, revision === undefined ? {} : { revision }).catch((cause: unknown) => {
			if (!(cause instanceof UserError)) throw cause;
			throw new UserError("ADAPTER_BASE", `The base of the adapter, ${base}, was not found: ${cause.message}`, {
				where: `${adapterPath}/adapter_config.json, field "base_model_name_or_path"`,
				found: base,
				hint: "Put the base back, or write its new place into that field.",
				cause,
			});
		});
		const model = await load(basePath, { resolveBase, depth: depth + 1 });
		const merged = await mergeAdapter(await readAdapter(directory, model));
		return bits ? roundModel(merged, bits) : merged;
	} finally {
		await directory.close();
	}
}

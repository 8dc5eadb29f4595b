// The weights of a model directory, whether in one file or in several ("shards" with an index). Knows no architecture.
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { checkRelativeName, resolveInside } from "./inside.ts";
import { isPickleName, pickleError } from "./pickle.ts";
import { openSafetensors, type SafetensorsFile, tensorOf, type WeightsReader } from "./safetensors.ts";
import type { TensorInfo } from "./safetensors-header.ts";

export const weightsFile = "model.safetensors";
export const weightsIndexFile = "model.safetensors.index.json";

/**
 * Opens `model.safetensors`, or all that `model.safetensors.index.json` names, of a directory. Throws UserError when
 * neither is there (and says what was looked for), for pickles, and for an index that does not fit its shards.
 */
export async function openWeights(directory: string): Promise<WeightsReader & { path: string }> {
	const names = await namesIn(directory);
	if (names.includes(weightsFile)) return openSafetensors(await resolveInside(directory, weightsFile));
	if (names.includes(weightsIndexFile)) return openShards(directory);
	const pickle = names.find(isPickleName);
	if (pickle !== undefined) throw pickleError(join(directory, pickle));
	throw notAModel(directory, {
		lookedFor: `${weightsFile} or ${weightsIndexFile}`,
		found: names.length === 0 ? "an empty directory" : names.slice(0, 10).join(", "),
	});
}

/** The error for a path that is not a model directory. */
export function notAModel(path: string, { lookedFor, found }: { lookedFor: string; found: string }): UserError {
	return new UserError("NOT_A_MODEL", `${path} is not a model directory.`, {
		where: path,
		expected: lookedFor,
		found,
		hint: "Give a directory in the Hugging Face layout: config.json, model.safetensors and the tokenizer's files.",
	});
}

/** Names of the directory's entries. Throws UserError when it is none. */
export async function namesIn(directory: string): Promise<string[]> {
	try {
		if (!(await stat(directory)).isDirectory()) {
			if (isPickleName(directory)) throw pickleError(directory);
			throw notAModel(directory, { lookedFor: `a directory with ${weightsFile}`, found: "a file" });
		}
		return (await readdir(directory)).sort();
	} catch (error) {
		throw fileError(error, { doing: "read", path: directory });
	}
}

async function openShards(directory: string): Promise<WeightsReader & { path: string }> {
	const path = await resolveInside(directory, weightsIndexFile);
	const wanted = await readWeightsIndex(path);
	const shards: SafetensorsFile[] = [];
	try {
		const owner = new Map<string, SafetensorsFile>();
		const opened = new Map<string, SafetensorsFile>();
		for (const name of [...new Set(wanted.values())].sort()) {
			const shard = await openSafetensors(await resolveInside(directory, name));
			shards.push(shard);
			opened.set(name, shard);
			for (const tensor of shard.tensors.keys()) {
				const other = owner.get(tensor);
				if (other !== undefined) throw badIndex(path, `Tensor ${tensor} stands in ${other.path} and in ${shard.path}.`);
				owner.set(tensor, shard);
			}
		}
		for (const [tensor, name] of wanted) {
			if (owner.get(tensor) !== opened.get(name)) throw badIndex(path, `Tensor ${tensor} is not in ${name}.`);
		}
		return new Shards(shards, { path, owner });
	} catch (error) {
		await Promise.all(shards.map((shard) => shard.close()));
		throw error;
	}
}

/** Tensor name to the name of its file, checked to lead nowhere else. Throws UserError for a malformed index. */
export async function readWeightsIndex(path: string): Promise<Map<string, string>> {
	let index: unknown;
	try {
		index = JSON.parse(await readFile(path, "utf8"));
	} catch (error) {
		if (error instanceof SyntaxError) throw badIndex(path, `It is not JSON: ${error.message}`);
		throw fileError(error, { doing: "read", path });
	}
	const map = (index as { weight_map?: unknown } | null)?.weight_map;
	if (typeof map !== "object" || map === null || Array.isArray(map))
		throw badIndex(path, "It has no object weight_map.");
	const entries = Object.entries(map);
	for (const [tensor, name] of entries) {
		if (typeof name !== "string") throw badIndex(path, `The file of tensor ${tensor} is not a string.`);
		checkRelativeName(name, { where: path });
		if (isPickleName(name)) throw pickleError(name);
	}
	return new Map(entries as [string, string][]);
}

function badIndex(path: string, message: string): UserError {
	return new UserError("WEIGHTS_INDEX", `Malformed index of weights. ${message}`, {
		where: path,
		expected: '{"weight_map": {"tensor": "model-00001-of-00002.safetensors"}}, one file for each tensor',
		hint: "Download or export the model again.",
	});
}

class Shards implements WeightsReader {
	readonly path: string;
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	readonly metadata: Readonly<Record<string, string>>;
	readonly #shards: SafetensorsFile[];
	readonly #owner: Map<string, SafetensorsFile>;

	constructor(shards: SafetensorsFile[], { path, owner }: { path: string; owner: Map<string, SafetensorsFile> }) {
		this.path = path;
		this.#shards = shards;
		this.#owner = owner;
		this.tensors = new Map(shards.flatMap((shard) => [...shard.tensors]));
		this.metadata = Object.assign({}, ...shards.map((shard) => shard.metadata));
	}

	async read(...[name, options]: Parameters<WeightsReader["read"]>) {
		return this.#ownerOf(name).read(name, options);
	}

	async readInto(...[name, target, options]: Parameters<WeightsReader["readInto"]>) {
		return this.#ownerOf(name).readInto(name, target, options);
	}

	async close(): Promise<void> {
		await Promise.all(this.#shards.map((shard) => shard.close()));
	}

	#ownerOf(name: string): SafetensorsFile {
		tensorOf(this, name);
		return this.#owner.get(name) as SafetensorsFile;
	}
}

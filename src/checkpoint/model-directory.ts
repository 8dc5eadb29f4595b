// A model directory in the Hugging Face layout: config.json, weights, tokenizer files. Read and written as files; what a
// config means is the business of the layers above.
import { lstat, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { writeDirectoryAside, writeFileAtomic } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { checkRelativeName, resolveInside } from "./inside.ts";
import { isPickleName, pickleError } from "./pickle.ts";
import type { WeightsReader } from "./safetensors.ts";
import { type TensorEntry, writeSafetensors } from "./safetensors-write.ts";
import { namesIn, notAModel, openWeights, weightsFile } from "./weights.ts";

/** Of a run directory. */
export const modelFolder = "model";
export const configFile = "config.json";

/** Files that a model directory has; attune writes no others there. */
const written = new RegExp(
	`^(${[
		"(config|generation_config|adapter_config)\\.json",
		"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\\.json",
		"(merges|vocab)\\.txt|chat_template\\.jinja|README\\.md",
		"(model|adapter_model)(-\\d+-of-\\d+)?\\.safetensors(\\.index\\.json)?",
	].join("|")})$`,
);

/** An opened model. The caller closes it, once. */
export interface ModelDirectory {
	readonly path: string;
	/** Content of config.json: any JSON. */
	readonly config: unknown;
	readonly weights: WeightsReader;
	/** Names of all entries of the directory. */
	readonly files: readonly string[];
	/** Content of a file; undefined when there is none of this name. */
	readText(name: string): Promise<string | undefined>;
	readJson(name: string): Promise<unknown>;
	close(): Promise<void>;
}

/** Throws UserError for a path that is no model and says what was looked for; also for pickles and malformed files. */
export async function openModelDirectory(path: string): Promise<ModelDirectory> {
	const files = await namesIn(path);
	const found = files.length === 0 ? "an empty directory" : files.slice(0, 10).join(", ");
	if (!files.includes(configFile)) {
		const inside = files.includes(modelFolder) && files.includes("manifest.json");
		if (inside) return openModelDirectory(join(path, modelFolder));
		const pickle = files.find(isPickleName);
		if (pickle !== undefined) throw pickleError(join(path, pickle));
		throw notAModel(path, { lookedFor: `${configFile} and ${weightsFile}`, found });
	}
	const readText = async (name: string) => {
		if (!files.includes(name)) return undefined;
		const file = await resolveInside(path, name);
		return readFile(file, "utf8").catch((error: unknown) => {
			throw fileError(error, { doing: "read", path: file });
		});
	};
	const readJson = async (name: string) => {
		const text = await readText(name);
		return text === undefined ? undefined : parseJson(text, { path: join(path, name) });
	};
	const config = await readJson(configFile);
	const weights = await openWeights(path);
	return { path, config, weights, files, readText, readJson, close: () => weights.close() };
}

export interface ModelContent {
	/** Strings as they are, anything else as JSON. */
	files: Readonly<Record<string, unknown>>;
	weights: Iterable<TensorEntry>;
	/** Name of the file of the weights. Default: model.safetensors. */
	weightsName?: string;
}

/** Writes a model in the place of one that stands there, as a whole: the old one stays until the new one is complete. */
export async function writeModelDirectory(
	path: string,
	{ files, weights, weightsName = weightsFile }: ModelContent,
	{ signal }: { signal?: AbortSignal } = {},
): Promise<void> {
	await writeDirectoryAside(path, async (aside) => {
		for (const [name, content] of Object.entries(files)) {
			checkRelativeName(name, { where: path });
			const text = typeof content === "string" ? content : `${JSON.stringify(content, null, 2)}\n`;
			await writeFileAtomic(join(aside, name), text);
		}
		await writeSafetensors(join(aside, weightsName), weights, signal === undefined ? {} : { signal });
	});
}

/** Names in a directory that are none of a model's; undefined when there is nothing at the path. */
export async function strangersIn(path: string): Promise<string[] | undefined> {
	const there = await lstat(path).catch(() => undefined);
	if (!there) return undefined;
	const names = await namesIn(path);
	return names.length === 0 ? undefined : names.filter((name) => !written.test(name));
}

/** Removes a model that attune wrote. Files that are none of a model's stay, and so does a link. */
export async function removeModelDirectory(path: string): Promise<void> {
	const stat = await lstat(path).catch(() => undefined);
	if (stat?.isSymbolicLink()) await rm(path);
	if (!stat?.isDirectory()) return;
	const names = await namesIn(path);
	for (const name of names.filter((name) => written.test(name))) await rm(join(path, name), { force: true });
	if (names.every((name) => written.test(name))) await rm(path, { recursive: true });
}

function parseJson(text: string, { path }: { path: string }): unknown {
	try {
		return JSON.parse(text);
	} catch (cause) {
		throw new UserError("MODEL_FILE_MALFORMED", `${path} is not JSON: ${(cause as Error).message}`, {
			where: path,
			hint: "Download or export the model again.",
			cause,
		});
	}
}

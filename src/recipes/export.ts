// A model folder for other programs: an adapter merged into its base, or the same tensors in another number format.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import {
	configFile,
	type ModelDirectory,
	openModelDirectory,
	removeModelDirectory,
	strangersIn,
	writeModelDirectory,
} from "../checkpoint/model-directory.ts";
import { adapterWeightsFile, findAdapter, openAdapter } from "../checkpoint/peft.ts";
import type { WeightsReader } from "../checkpoint/safetensors.ts";
import type { TensorEntry } from "../checkpoint/safetensors-write.ts";
import { weightsFile } from "../checkpoint/weights.ts";
import { saveModel, torchTypes } from "../models/model.ts";
import { UserError } from "../util/errors.ts";
import { loadWithBase, resolveModelReference } from "./model-reference.ts";
import { exportOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";

/** Writes the folder, then tells of its weights with `file-written`. */
const exportModel: Recipe<typeof exportOptions> = async function* (options, { origins, signal } = {}) {
	const { values } = resolveOptions(exportOptions, { options, origins });
	const { output, dtype } = values;
	await assertOutput(output, values);
	const path = yield* resolveModelReference(values.directory, signal ? { signal } : {});
	const adapter = await findAdapter(path);
	if (values.merge) {
		if (adapter === undefined) {
			throw new UserError("NOT_AN_ADAPTER", `${values.directory} is no adapter: there is nothing to merge.`, {
				where: "--merge",
				expected: "the directory of a LoRA adapter, or the run that made one",
				found: "a whole model",
				hint: "Without --merge it is written as it is.",
			});
		}
		const model = await loadWithBase(path, signal ? { signal } : {});
		await removeModelDirectory(output);
		await saveModel(output, model, { as: dtype });
	} else {
		const source = await openSource(path, adapter);
		try {
			const weights = await entriesOf(source.weights, dtype);
			const files = await source.files(dtype);
			await removeModelDirectory(output);
			await writeModelDirectory(output, { files, weights, weightsName: source.weightsName }, signal ? { signal } : {});
		} finally {
			await source.close();
		}
	}
	const written = join(output, adapter !== undefined && !values.merge ? adapterWeightsFile : weightsFile);
	yield { type: "file-written", path: written, bytes: (await stat(written)).size };
};

export { exportModel as export };

type Format = keyof typeof torchTypes;

interface Source {
	weights: WeightsReader;
	weightsName: string;
	/** All files but the weights. */
	files(format: Format): Promise<Record<string, unknown>>;
	close(): Promise<void>;
}

async function openSource(path: string, adapter: string | undefined): Promise<Source> {
	if (adapter !== undefined) {
		const { weights, texts, close } = await openAdapter(adapter);
		return { weights, weightsName: adapterWeightsFile, files: texts, close };
	}
	const model = await openModelDirectory(path);
	const files = async (format: Format) => ({
		...(await textsOf(model)),
		[configFile]: { ...(model.config as object), torch_dtype: torchTypes[format] },
	});
	return { weights: model.weights, weightsName: weightsFile, files, close: model.close };
}

async function textsOf({ files, readText }: ModelDirectory): Promise<Record<string, string>> {
	const texts: Record<string, string> = {};
	for (const name of files.filter((name) => /\.(json|txt|jinja|md)$/.test(name) && !name.endsWith(".index.json"))) {
		texts[name] = (await readText(name)) as string;
	}
	return texts;
}

/** All tensors, floating point in the format asked for. */
async function entriesOf(reader: WeightsReader, as: Format): Promise<TensorEntry[]> {
	const entries: TensorEntry[] = [];
	for (const [name, { shape, dtype, elements }] of reader.tensors) {
		if (!["F32", "F16", "BF16", "F64"].includes(dtype)) {
			entries.push({ name, shape, data: await reader.read(name), as: dtype });
			continue;
		}
		const data = new Float32Array(elements);
		await reader.readInto(name, data);
		entries.push({ name, shape, data, as });
	}
	return entries;
}

/** Throws UserError unless a model may be written there; what is there must be a model, and to be replaced. */
async function assertOutput(path: string, { overwrite }: { overwrite: boolean }): Promise<void> {
	const there = await strangersIn(path);
	if (there === undefined) return;
	if (!overwrite) {
		throw new UserError("OUTPUT_EXISTS", `The output directory ${path} is not empty.`, {
			where: "--output",
			expected: "a new or empty directory",
			found: path,
			hint: "Choose another directory, or replace it (--overwrite).",
		});
	}
	if (there.length > 0) {
		throw new UserError("OUTPUT_NOT_A_MODEL", `${path} holds more than a model; nothing was deleted.`, {
			where: "--output",
			expected: "a directory with the files of a model and no others",
			found: there.slice(0, 10).join(", "),
			hint: "Choose another directory; --overwrite replaces nothing but models.",
		});
	}
}

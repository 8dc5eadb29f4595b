// Trains a tokenizer on text or dialogues and writes tokenizer.json and tokenizer_config.json.

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { chatTemplateFor } from "../tokenizer/chat-template.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { trainBpeEvents } from "../tokenizer/train-bpe.ts";
import { trainCharacters } from "../tokenizer/train-characters.ts";
import { writeFileAtomic } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { tokenizerTrainOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";
import { charactersOf, textsOf } from "./texts-of.ts";

/** Ends with a `file-written` event for each file. */
export const tokenizerTrain: Recipe<typeof tokenizerTrainOptions> = async function* (
	options,
	{ origins, signal } = {},
) {
	const { values } = resolveOptions(tokenizerTrainOptions, { options, origins });
	await assertFree(values.output, { overwrite: values.overwrite });
	const texts = textsOf(values.files, {});
	let tokenizer: Tokenizer | undefined;
	if (values.kind === "characters") tokenizer = trainCharacters([await charactersOf(texts)]);
	else {
		const settings = { vocabularySize: values.vocabularySize, ...(signal && { signal }) };
		for await (const event of trainBpeEvents(texts, settings)) {
			if (event.type === "tokenizer-done") tokenizer = event.tokenizer;
			else if (event.type === "texts-counted")
				yield { type: "work-advanced", what: "reading", done: event.texts, unit: "items" };
			else yield { type: "work-advanced", what: "merges", done: event.merges, total: event.wanted, unit: "items" };
		}
	}
	const { tokenizer: complete, template } = chatTemplateFor(tokenizer as Tokenizer);
	try {
		await mkdir(values.output, { recursive: true });
	} catch (error) {
		throw fileError(error, { doing: "write", path: values.output });
	}
	for (const [name, content] of Object.entries(complete.files(template.jinja))) {
		const path = join(values.output, name);
		await writeFileAtomic(path, content);
		yield { type: "file-written", path, bytes: Buffer.byteLength(content) };
	}
};

async function assertFree(directory: string, { overwrite }: { overwrite: boolean }): Promise<void> {
	const names = await readdir(directory).catch(() => [] as string[]);
	if (names.includes("tokenizer.json") && !overwrite) {
		throw new UserError("OUTPUT_EXISTS", `${directory} already holds a tokenizer.`, {
			where: directory,
			hint: "Choose another folder, or replace it with --overwrite.",
		});
	}
}

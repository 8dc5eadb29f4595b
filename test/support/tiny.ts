// What tests of whole runs stand on: a GPT-2 of two layers with a tokenizer of characters, a dozen dialogues, and runs of
// a second. Everything lies in a new temporary directory.
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { architectureFor } from "../../src/models/architectures.ts";
import { createModel, type Model, saveModel } from "../../src/models/model.ts";
import type { EventOf, RecipeEvent } from "../../src/recipes/options/recipe.ts";
import { trainCharacters } from "../../src/tokenizer/train-characters.ts";
import { Rng } from "../../src/util/rng.ts";

/** In memory where the system offers that: what is tested here is not the disk, and a sync of it takes long. */
const base = existsSync("/dev/shm")
	? mkdtempSync("/dev/shm/attune-test-")
	: mkdtempSync(join(tmpdir(), "attune-test-"));
afterAll(() => rmSync(base, { recursive: true, force: true }));

/** A new directory, which is removed when the test file is done. */
export const temporary = () => mkdtempSync(join(base, "t-"));

export interface TinySizes {
	layers?: number;
	heads?: number;
	channels?: number;
	context?: number;
	seed?: number;
}

/** Printable ASCII and line breaks are its characters. */
export function tinyModel({ layers = 2, heads = 2, channels = 16, context = 64, seed = 0 }: TinySizes = {}): Model {
	const tokenizer = trainCharacters([String.fromCharCode(10, ...Array.from({ length: 95 }, (_, i) => 32 + i))]);
	const architecture = architectureFor({ model_type: "gpt2" });
	const config = architecture.parseConfig({
		model_type: "gpt2",
		vocab_size: tokenizer.size,
		n_positions: context,
		n_embd: channels,
		n_layer: layers,
		n_head: heads,
	});
	return createModel(architecture, { config, tokenizer, rng: new Rng(seed) });
}

/** A new directory with a tiny model in it. */
export async function tinyModelDirectory(sizes: TinySizes = {}): Promise<string> {
	const directory = join(temporary(), "tiny");
	await saveModel(directory, tinyModel(sizes));
	return directory;
}

const things = ["tea", "bread", "a lamp", "milk", "rice", "a chair", "soap", "jam", "a kite", "salt", "ink", "a drum"];

/** Question and answer, of different lengths and none like another. */
export const rows = things.map((thing, i) => ({
	input: `${["Do you sell", "Where is", "What costs"][i % 3]} ${thing}?`,
	output: ["Yes, by the door.", "Ask Ann for it.", "No."][i % 3] + thing.repeat(i % 4),
}));

export function write(name: string, content: string | Uint8Array): string {
	const path = join(temporary(), name);
	writeFileSync(path, content);
	return path;
}

export const dialoguesFile = (content: readonly unknown[] = rows) =>
	write("rows.jsonl", content.map((row) => `${JSON.stringify(row)}\n`).join(""));

export const textFile = () =>
	write(
		"text.txt",
		Array.from({ length: 60 }, (_, i) => `${i} green ${things[i % 12]} hanging on the wall.\n`).join(""),
	);

/** Settings under which a run takes a second: `model` and `data` are to be added. */
export const quick = {
	steps: 6,
	batchSize: 4,
	learningRate: 1e-2,
	threads: 1,
	validation: 0.25,
	seed: 7,
} as const;

/** All events of a run, to its end. */
export async function eventsOf(run: AsyncIterable<RecipeEvent>): Promise<RecipeEvent[]> {
	const events: RecipeEvent[] = [];
	for await (const event of run) events.push(event);
	return events;
}

export function ofType<Type extends RecipeEvent["type"]>(events: readonly RecipeEvent[], type: Type): EventOf<Type>[] {
	return events.filter((event): event is EventOf<Type> => event.type === type);
}

/** SHA-256 of the weights, or of the adapter, that a run ended with. */
export function resultHash(run: string): string {
	const adapter = join(run, "model", "adapter_model.safetensors");
	return sha256(existsSync(adapter) ? adapter : join(run, "model", "model.safetensors"));
}
export const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

/** Names of the checkpoints, by step. */
export const checkpointSteps = (run: string) =>
	existsSync(join(run, "checkpoints"))
		? readdirSync(join(run, "checkpoints"))
				.filter((name) => name.startsWith("step-"))
				.map((name) => Number(name.slice(5)))
				.sort((a, b) => a - b)
		: [];

/** Names of everything below a directory that a killed or failed writer left behind. */
export const leftovers = (directory: string) =>
	existsSync(directory)
		? readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) =>
				/\.partial|\.replaced|run\.lock/.test(name),
			)
		: [];

// Checkpoints of a run: checkpoints/step-000200/ with tensors, text files and state.json. One is written aside and
// renamed, so it exists completely or not at all; what a kill leaves behind never has a checkpoint's name.
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import * as z from "zod";
import { asideOf, syncDirectory, writeDirectoryAside, writeFileAtomic } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { fileError, isNotFound } from "../util/file-errors.ts";
import { tagNonFinite, untagNonFinite } from "../util/json-numbers.ts";
import { resolveInside } from "./inside.ts";
import { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
import { type TensorEntry, writeSafetensors } from "./safetensors-write.ts";

export const checkpointsFolder = "checkpoints";
const stateFile = "state.json";

/** What is saved. The arrays are read while writing. */
export interface CheckpointContent {
	step: number;
	/** By file name: "model.safetensors" (or "adapter_model.safetensors"), "optimizer.safetensors". */
	tensors: Readonly<Record<string, readonly TensorEntry[]>>;
	/** Further files by name, such as "adapter_config.json". */
	texts?: Readonly<Record<string, string>>;
	/** What JSON can hold, and any number: states of random streams, position in the data, best loss so far. */
	state: unknown;
}

/** A checkpoint that is there by name. `checkpointState` tells whether it is whole. */
export interface CheckpointReference {
	readonly step: number;
	readonly path: string;
}

const stateSchema = z.object({
	format: z.literal(1),
	step: z.int().min(0),
	/** Bytes of every other file. */
	files: z.record(z.string(), z.int().min(0)),
	state: z.json(),
});

/** Writes a checkpoint in the place of one of the same step, if there is one. Returns its path. */
export async function writeCheckpoint(
	runDirectory: string,
	{ step, tensors, texts = {}, state }: CheckpointContent,
	{ signal }: { signal?: AbortSignal } = {},
): Promise<string> {
	const path = join(runDirectory, checkpointsFolder, checkpointName(step));
	const written = stateSchema.omit({ files: true }).parse({ format: 1, step, state: tagNonFinite(state) });
	const created = await mkdir(join(runDirectory, checkpointsFolder), { recursive: true });
	if (created !== undefined) await syncDirectory(runDirectory);
	await writeDirectoryAside(path, async (aside) => {
		const files: Record<string, number> = {};
		for (const [name, entries] of Object.entries(tensors)) {
			await writeSafetensors(join(aside, name), entries, signal === undefined ? {} : { signal });
			files[name] = (await stat(join(aside, name))).size;
		}
		for (const [name, text] of Object.entries(texts)) {
			await writeFileAtomic(join(aside, name), text);
			files[name] = Buffer.byteLength(text);
		}
		await writeFileAtomic(join(aside, stateFile), `${JSON.stringify({ ...written, files }, null, "\t")}\n`);
	});
	return path;
}

/** All checkpoints of a run by rising step; none when there is no such folder. */
export async function listCheckpoints(runDirectory: string): Promise<CheckpointReference[]> {
	const folder = join(runDirectory, checkpointsFolder);
	let names: string[];
	try {
		names = await readdir(folder);
	} catch (error) {
		if (isNotFound(error)) return [];
		throw fileError(error, { doing: "read", path: folder });
	}
	return names
		.map((name) => ({ step: Number(/^step-(\d{6,})$/.exec(name)?.[1]), path: join(folder, name) }))
		.filter(({ step }) => Number.isSafeInteger(step))
		.sort((a, b) => a.step - b.step);
}

/**
 * The whole checkpoint of the highest step, and the reasons why higher ones were passed over: they were damaged after
 * they were written, since an unfinished one has no such name.
 */
export async function latestCheckpoint(
	runDirectory: string,
): Promise<{ latest: CheckpointReference | undefined; damaged: UserError[] }> {
	const damaged: UserError[] = [];
	for (const checkpoint of (await listCheckpoints(runDirectory)).reverse()) {
		try {
			await (await openCheckpoint(checkpoint.path)).close();
			return { latest: checkpoint, damaged };
		} catch (error) {
			if (!(error instanceof UserError)) throw error;
			damaged.push(error);
		}
	}
	return { latest: undefined, damaged };
}

/** A checkpoint that was found whole. The caller closes it, once. */
export interface OpenCheckpoint extends CheckpointReference {
	readonly state: unknown;
	/** The open tensor files by name. */
	readonly tensors: ReadonlyMap<string, SafetensorsFile>;
	/** The text of another file. */
	readText(name: string): Promise<string>;
	close(): Promise<void>;
}

/** Throws UserError unless everything that state.json names is there, of the right size and with a sound header. */
export async function openCheckpoint(path: string): Promise<OpenCheckpoint> {
	const { step, files, state } = await readState(path);
	const tensors = new Map<string, SafetensorsFile>();
	const close = async () => {
		for (const file of tensors.values()) await file.close();
	};
	try {
		for (const [name, bytes] of Object.entries(files)) {
			const file = await resolveInside(path, name);
			const { size } = await stat(file);
			if (size !== bytes) throw incomplete(path, `${name} has ${size} bytes instead of ${bytes}`);
			if (name.endsWith(".safetensors")) tensors.set(name, await openSafetensors(file));
		}
	} catch (error) {
		await close();
		if (error instanceof UserError && error.code !== "CHECKPOINT_INCOMPLETE")
			throw incomplete(path, error.message, error);
		throw error;
	}
	const readText = async (name: string) => readFile(await resolveInside(path, name), "utf8");
	return { step, path, state: untagNonFinite(state), tensors, readText, close };
}

export interface PruneOptions {
	/** How many checkpoints to keep; at least 1. */
	saveTotalLimit: number;
	/** Step of the best checkpoint so far, which stays. */
	best?: number | undefined;
}

/** Removes the oldest checkpoints, never the last nor the best, even if that is one more than the limit. */
export async function pruneCheckpoints(
	runDirectory: string,
	{ saveTotalLimit, best }: PruneOptions,
): Promise<CheckpointReference[]> {
	const all = await listCheckpoints(runDirectory);
	const last = all.at(-1)?.step;
	const free = all.filter(({ step }) => step !== last && step !== best);
	const removed = free.slice(0, Math.max(0, all.length - saveTotalLimit));
	for (const checkpoint of removed) await removeCheckpoint(checkpoint);
	return removed;
}

/** Removes the checkpoints after a step, for a run that goes on from there. */
export async function removeCheckpointsAfter(runDirectory: string, { step }: { step: number }): Promise<void> {
	for (const checkpoint of await listCheckpoints(runDirectory)) {
		if (checkpoint.step > step) await removeCheckpoint(checkpoint);
	}
}

/** step-000200: names sort like steps up to a million, and go on to sort as numbers here. */
export function checkpointName(step: number): string {
	return `step-${String(step).padStart(6, "0")}`;
}

/** Renamed first: killed half-way, what is left has no checkpoint's name and is cleaned up at the next start. */
async function removeCheckpoint({ path }: CheckpointReference): Promise<void> {
	const aside = asideOf(path);
	try {
		await rename(path, aside);
		await syncDirectory(dirname(path));
		await rm(aside, { recursive: true, force: true });
	} catch (error) {
		throw fileError(error, { doing: "remove", path });
	}
}

async function readState(path: string): Promise<z.infer<typeof stateSchema>> {
	let value: unknown;
	try {
		value = JSON.parse(await readFile(join(path, stateFile), "utf8"));
	} catch (cause) {
		throw incomplete(path, `${stateFile}: ${(cause as Error).message}`, cause);
	}
	const parsed = stateSchema.safeParse(value);
	if (!parsed.success) throw incomplete(path, `${stateFile}: ${z.prettifyError(parsed.error)}`, parsed.error);
	return parsed.data;
}

function incomplete(path: string, found: string, cause?: unknown): UserError {
	return new UserError("CHECKPOINT_INCOMPLETE", `The checkpoint ${path} is not whole: ${found}.`, {
		where: path,
		found,
		hint: "Resume from an earlier checkpoint of the same run.",
		cause,
	});
}

// A run directory: created, opened to go on, locked while one process writes it. What stands in it is in design.md,
// "Files"; the manifest, the events and the checkpoints have files of their own beside this one.
import { lstat, mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { recoverDirectory, removePartials, writeFileAtomic } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { fileError, isNotFound } from "../util/file-errors.ts";
import { type ReleaseLock, takeLock } from "../util/process-lock.ts";
import { checkpointsFolder, listCheckpoints, removeCheckpointsAfter } from "./checkpoints.ts";
import { EventLog, type RunEvent, readEvents, repairEvents, truncateEvents } from "./events.ts";
import { formatManifest, type Manifest, manifestFile, readManifest } from "./manifest.ts";
import { modelFolder, removeModelDirectory } from "./model-directory.ts";

const eventsFile = "events.jsonl";
const lockFile = "run.lock";

export interface CreateRunOptions {
	manifest: Manifest;
	/** Replace a run that stands there. */
	overwrite?: boolean;
	/** Names of files and folders that this recipe writes besides the usual ones: overwriting removes them too. */
	alsoWrites?: readonly string[];
}

/**
 * Makes a run directory with its manifest and locks it. A directory with content is a UserError, unless `overwrite` is
 * set and it is a run of attune: then everything that a run writes is removed, and nothing else.
 */
export async function createRun(
	path: string,
	{ manifest, overwrite = false, alsoWrites = [] }: CreateRunOptions,
): Promise<RunDirectory> {
	try {
		await assertOutputFree(path, { overwrite });
		await mkdir(path, { recursive: true });
	} catch (error) {
		throw fileError(error, { doing: "write", path });
	}
	const release = await takeLock(join(path, lockFile), { what: `The run ${path}` });
	try {
		// Again, now that nobody else can make a run there.
		await assertOutputFree(path, { overwrite });
		await clean(path);
		await removeRun(path, alsoWrites);
		await writeFileAtomic(join(path, manifestFile), formatManifest(manifest));
		return new RunDirectory(path, { manifest, release });
	} catch (error) {
		release();
		throw error;
	}
}

/** Opens a run to go on with it: locks it, removes what a killed process left, repairs the events. */
export async function openRun(path: string): Promise<RunDirectory> {
	const manifest = await readManifest(path);
	const release = await takeLock(join(path, lockFile), { what: `The run ${path}` });
	try {
		await clean(path);
		await repairEvents(join(path, eventsFile));
		return new RunDirectory(path, { manifest, release });
	} catch (error) {
		release();
		throw error;
	}
}

/** Events of a run, without opening it: another process may be writing them. */
export function readRunEvents(path: string): Promise<RunEvent[]> {
	return readEvents(join(path, eventsFile));
}

/** A run that this process alone may write. The caller closes it, once. */
export class RunDirectory {
	readonly path: string;
	readonly #release: ReleaseLock;
	#manifest: Manifest;
	#events: EventLog | undefined;

	constructor(path: string, { manifest, release }: { manifest: Manifest; release: ReleaseLock }) {
		this.path = path;
		this.#manifest = manifest;
		this.#release = release;
	}

	get manifest(): Manifest {
		return this.#manifest;
	}

	/** Where the result goes. */
	get modelPath(): string {
		return join(this.path, modelFolder);
	}

	/** Replaces the manifest: a resumed run was allowed to change something. */
	async writeManifest(manifest: Manifest): Promise<void> {
		await writeFileAtomic(join(this.path, manifestFile), formatManifest(manifest));
		this.#manifest = manifest;
	}

	/** Writes a further file of the run, such as report.json. */
	async writeFile(name: string, content: string): Promise<void> {
		await writeFileAtomic(join(this.path, name), content);
	}

	/** Events stand in the order of the calls; see EventLog for what survives. */
	appendEvent(event: RunEvent): void {
		this.#events ??= new EventLog(join(this.path, eventsFile));
		this.#events.append(event);
	}

	/** Goes back to a checkpoint: events and checkpoints of later steps are removed. Returns how many events were. */
	async rewindTo({ step }: { step: number }): Promise<number> {
		this.#events?.close();
		this.#events = undefined;
		const dropped = await truncateEvents(join(this.path, eventsFile), { step });
		await removeCheckpointsAfter(this.path, { step });
		return dropped;
	}

	close(): void {
		this.#events?.close();
		this.#events = undefined;
		this.#release();
	}
}

/** Names that count as content: not what a process leaves that was killed before it wrote the manifest. */
async function existingNames(path: string): Promise<string[]> {
	try {
		return (await readdir(path)).filter((name) => name !== lockFile && !name.endsWith(".partial")).sort();
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
		throw fileError(error, { doing: "write", path });
	}
}

/** Throws UserError unless a run may be created at the path: for finding out before hours of work. */
export async function assertOutputFree(path: string, { overwrite }: { overwrite: boolean }): Promise<void> {
	const names = await existingNames(path);
	if (names.length === 0) return;
	if (!overwrite) {
		throw new UserError("OUTPUT_EXISTS", `The output directory ${path} is not empty.`, {
			where: path,
			expected: "a new or empty directory",
			found: names.slice(0, 10).join(", "),
			hint: "Choose another directory, go on with the run (--resume), or replace it (--overwrite).",
		});
	}
	try {
		await readManifest(path);
	} catch (cause) {
		if (!(cause instanceof UserError)) throw cause;
		throw new UserError("OUTPUT_NOT_A_RUN", `${path} has content but is no run of attune; nothing was deleted.`, {
			where: path,
			expected: `a run directory with ${manifestFile}`,
			found: names.slice(0, 10).join(", "),
			hint: "Choose another directory; --overwrite replaces nothing but runs.",
			cause,
		});
	}
}

async function clean(path: string): Promise<void> {
	await recoverDirectory(join(path, modelFolder));
	await removePartials(path);
	const checkpoints = join(path, checkpointsFolder);
	const names = await readdir(checkpoints).catch(() => []);
	for (const name of names) {
		const step = /^\.(step-\d{6,})\.replaced$/.exec(name)?.[1];
		if (step !== undefined) await recoverDirectory(join(checkpoints, step));
	}
	if (names.length > 0) await removePartials(checkpoints);
}

/** The manifest stays until the new one replaces it: killed half-way, the directory still looks like the run it was. */
async function removeRun(path: string, alsoWrites: readonly string[]): Promise<void> {
	for (const checkpoint of await listCheckpoints(path)) await rm(checkpoint.path, { recursive: true, force: true });
	await removeIfEmpty(join(path, checkpointsFolder));
	await removeModelDirectory(join(path, modelFolder));
	for (const name of [eventsFile, "report.json", "report.md", ...alsoWrites]) {
		await rm(join(path, name), { recursive: true, force: true });
	}
}

/** Removes a directory that has nothing in it; a link is left alone. */
async function removeIfEmpty(path: string): Promise<void> {
	try {
		if ((await lstat(path)).isDirectory()) await rmdir(path);
	} catch (error) {
		const code = error instanceof Error && "code" in error ? error.code : undefined;
		if (!isNotFound(error) && code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
	}
}

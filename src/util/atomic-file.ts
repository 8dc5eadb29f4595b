// Files and directories that exist completely or not at all: written aside, synced, renamed, and the rename synced.
// Not a transaction over several files: that is what writing a whole directory aside is for.
// The order of the syncs follows Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014).
import { existsSync } from "node:fs";
import { type FileHandle, mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { UserError } from "./errors.ts";
import { fileError } from "./file-errors.ts";

/** .NAME.PID-COUNT.partial */
const partial = /^\.(.+)\.(\d+)-\d+\.partial$/;
let asides = 0;

/**
 * Calls `write` with a new file beside `path`, then puts that file in the place of `path`. When anything fails (a full
 * disk, an abort, `write` itself), `path` keeps its old content and the new file is removed.
 */
export async function writeFileAside(path: string, write: (file: FileHandle) => Promise<void>): Promise<void> {
	const aside = asideOf(path);
	try {
		const file = await open(aside, "wx");
		try {
			await write(file);
			await file.sync();
		} finally {
			await file.close();
		}
		await rename(aside, path);
		await syncDirectory(dirname(path));
	} catch (error) {
		await rm(aside, { force: true }).catch(() => {});
		throw fileError(error, { doing: "write", path });
	}
}

/** Writes text or bytes with writeFileAside. */
export async function writeFileAtomic(path: string, content: string | Uint8Array): Promise<void> {
	await writeFileAside(path, (file) => file.writeFile(content));
}

/**
 * Calls `write` with the path of a new, empty directory beside `path`, then puts it in the place of `path`; what stood
 * there is removed. `write` syncs the files it writes (writeFileAside does). When it fails the old directory stays.
 *
 * Two renames cannot be one: killed exactly between them, neither stands at `path`. recoverDirectory mends that.
 */
export async function writeDirectoryAside(path: string, write: (directory: string) => Promise<void>): Promise<void> {
	const aside = asideOf(path);
	try {
		await removeAbandoned(path);
		await mkdir(aside);
		await write(aside);
		await syncDirectory(aside);
		if (existsSync(path)) {
			await rm(replacedOf(path), { recursive: true, force: true });
			await rename(path, replacedOf(path));
		}
		await rename(aside, path);
		await syncDirectory(dirname(path));
		await rm(replacedOf(path), { recursive: true, force: true });
	} catch (error) {
		if (!existsSync(path) && existsSync(replacedOf(path))) await rename(replacedOf(path), path).catch(() => {});
		await rm(aside, { recursive: true, force: true }).catch(() => {});
		// What failed inside speaks of a path that is gone now.
		const inside = error instanceof UserError && error.where?.startsWith(aside) && error.cause !== undefined;
		throw fileError(inside ? error.cause : error, { doing: "write", path });
	}
}

/** After a kill: puts back what writeDirectoryAside had set aside when nothing took its place, and removes it otherwise. */
export async function recoverDirectory(path: string): Promise<void> {
	const replaced = replacedOf(path);
	if (!existsSync(replaced)) return;
	if (existsSync(path)) await rm(replaced, { recursive: true, force: true });
	else await rename(replaced, path);
}

/** Removes what killed writers left in a directory; only when no writer is at work there. Returns the names removed. */
export async function removePartials(directory: string): Promise<string[]> {
	const left = (await readdir(directory)).filter((name) => partial.test(name));
	for (const name of left) await rm(join(directory, name), { recursive: true, force: true });
	return left;
}

/** Makes renames and removals inside the directory durable. Windows has no such call, and needs none. */
export async function syncDirectory(path: string): Promise<void> {
	if (process.platform === "win32") return;
	const directory = await open(path, "r");
	try {
		await directory.sync();
	} finally {
		await directory.close();
	}
}

/** A path for what is being written, or removed, under another name than `path`; removePartials knows it. */
export function asideOf(path: string): string {
	return join(dirname(path), `.${basename(path)}.${process.pid}-${asides++}.partial`);
}

/** What killed processes had written aside for this path: it may be gigabytes, and nobody else knows of it. */
async function removeAbandoned(path: string): Promise<void> {
	for (const name of await readdir(dirname(path))) {
		const [, base, pid] = partial.exec(name) ?? [];
		if (base !== basename(path) || isAlive(Number(pid))) continue;
		await rm(join(dirname(path), name), { recursive: true, force: true });
	}
}

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return !(error instanceof Error && "code" in error && error.code === "ESRCH");
	}
}

function replacedOf(path: string): string {
	return join(dirname(path), `.${basename(path)}.replaced`);
}

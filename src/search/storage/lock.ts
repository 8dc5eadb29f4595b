// A lock file that survives kills. Holding the lock is owning the file; the file names its owner, so whoever finds the
// owner dead may remove it. Two that find it dead at once must not both remove (the second would remove the first one's
// new lock), so the right to remove lock L of token T is itself a lock, the file `L.T`, taken in the same way.
// One machine only: a network drive is not supported.
import { linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { UserError } from "../../util/errors.ts";
import type { IsAlive, Owner } from "./owner.ts";

export interface LockOptions {
	readonly owner: Owner;
	readonly isAlive: IsAlive;
	/** How long to wait for a living owner before giving up, milliseconds. */
	readonly timeoutMs?: number;
}

/** Takes the lock, waiting for a living owner and removing a dead one's. Release it with `unlock`. */
export async function lock(path: string, options: LockOptions): Promise<void> {
	const { owner, isAlive, timeoutMs = 60_000 } = options;
	for (let waitedMs = 0, pauseMs = 1; ; ) {
		if (create(path, owner)) return;
		const holder = readOwner(path);
		if (holder === undefined) continue;
		if (!isAlive(holder)) {
			await removeStale(path, holder, options);
			continue;
		}
		if (waitedMs >= timeoutMs) {
			throw new UserError("STUDY_LOCKED", "Another process has held the study's lock for too long.", {
				where: path,
				found: `process ${holder.pid}, alive`,
				hint: "End that process if it hangs; its lock is then taken over.",
			});
		}
		await new Promise((done) => setTimeout(done, pauseMs));
		waitedMs += pauseMs;
		pauseMs = Math.min(pauseMs * 2, 20);
	}
}

export function unlock(path: string): void {
	remove(path);
}

async function removeStale(path: string, dead: Owner, options: LockOptions): Promise<void> {
	const right = `${path}.${dead.token}`;
	await lock(right, options);
	try {
		// Only the owner of `right` may remove a lock of this token; if the token is gone, somebody did before us.
		if (readOwner(path)?.token === dead.token) remove(path);
		remove(`${path}.new.${dead.token}`);
	} finally {
		unlock(right);
	}
}

/** Creates the lock file with its content in one step (write aside, then link), or finds it taken. */
function create(path: string, owner: Owner): boolean {
	const aside = `${path}.new.${owner.token}`;
	writeFileSync(aside, JSON.stringify(owner));
	try {
		linkSync(aside, path);
		return true;
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
		throw error;
	} finally {
		remove(aside);
	}
}

function readOwner(path: string): Owner | undefined {
	try {
		const { pid, started, token } = JSON.parse(readFileSync(path, "utf8")) as Partial<Owner>;
		if (Number.isInteger(pid) && typeof started === "string" && typeof token === "string" && /^[\w-]+$/.test(token)) {
			return { pid: pid as number, started, token };
		}
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		if (!(error instanceof SyntaxError)) throw error;
	}
	// Not written by us: a lock is linked into place whole. After a power loss its content may be gone: nobody owns it.
	return { pid: 0, started: "", token: "unreadable" };
}

function remove(path: string): void {
	try {
		unlinkSync(path);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
	}
}

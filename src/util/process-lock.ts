// A lock file for a directory that one process at a time may write. It survives kills: the file names its process, and a
// lock whose process is gone is taken over. Where processes cannot be looked up (another machine, or another container on
// a shared drive) the lock's heartbeat decides: the owner counts up in the file, and a lock that stands still is dead.
import { closeSync, openSync, readFileSync, readlinkSync, renameSync, rmSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { asideOf } from "./atomic-file.ts";
import { UserError } from "./errors.ts";
import { fileError, isNotFound } from "./file-errors.ts";

interface Owner {
	pid: number;
	/** Machine and, where there are such, container: pids mean something only among equals. */
	host: string;
	/** Tells processes apart that got the same pid one after the other; empty where the system does not tell. */
	started: string;
}

/** Releases the lock. Harmless when called again. */
export type ReleaseLock = () => void;

export interface LockOptions {
	/** What is locked, in words. */
	what: string;
	/** How often the owner counts up. A lock from elsewhere is watched for three times as long before it counts as dead. */
	heartbeatMs?: number;
}

/** Takes the lock, or throws UserError LOCKED that names the process which holds it. */
export async function takeLock(path: string, { what, heartbeatMs = 5000 }: LockOptions): Promise<ReleaseLock> {
	const self: Owner = { pid: process.pid, host: hostOfPids(), started: startOf(process.pid)?.started ?? "" };
	for (let attempt = 0; attempt < 10; attempt++) {
		if (create(path, self)) {
			let held = true;
			let beats = 0;
			const heart = setInterval(() => {
				if (read(path) !== format(self, beats)) return;
				beats++;
				overwrite(path, format(self, beats));
			}, heartbeatMs).unref();
			return () => {
				clearInterval(heart);
				if (held && read(path) === format(self, beats)) rmSync(path, { force: true });
				held = false;
			};
		}
		let found = read(path);
		if (found === "") {
			// Created a moment ago and not yet written, or by a process killed right there.
			await sleep(50);
			found = read(path);
		}
		if (found === undefined) continue;
		const owner = parse(found);
		if (owner !== undefined && owner.host === self.host && lives(owner)) throw locked(path, { what, owner });
		if (owner !== undefined && owner.host !== self.host) {
			await sleep(3 * heartbeatMs);
			if (read(path) !== found) throw locked(path, { what, owner });
		}
		removeStale(path, found);
	}
	throw locked(path, { what, owner: undefined });
}

function create(path: string, owner: Owner): boolean {
	try {
		const file = openSync(path, "wx");
		try {
			writeSync(file, format(owner, 0));
		} catch (error) {
			// A full disk: a lock that names nobody must not stay.
			rmSync(path, { force: true });
			throw error;
		} finally {
			closeSync(file);
		}
		return true;
	} catch (error) {
		if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
		throw fileError(error, { doing: "write", path });
	}
}

/** Two may find the same dead owner: what is moved away must still be what was judged, else it is put back. */
function removeStale(path: string, judged: string): void {
	// Killed here, it leaves what the next owner of the directory removes.
	const aside = asideOf(path);
	try {
		renameSync(path, aside);
	} catch (error) {
		if (isNotFound(error)) return;
		throw fileError(error, { doing: "remove", path });
	}
	const moved = read(aside);
	if (moved === undefined || moved === judged) rmSync(aside, { force: true });
	else renameSync(aside, path);
}

function read(path: string): string | undefined {
	try {
		return readFileSync(path, "utf8");
	} catch (error) {
		if (isNotFound(error)) return undefined;
		throw fileError(error, { doing: "read", path });
	}
}

/** Always of the same length for the same owner, so that it can be written over in place. */
function format(owner: Owner, beats: number): string {
	return JSON.stringify({ ...owner, beats: String(beats).padStart(12, "0") });
}

function overwrite(path: string, text: string): void {
	try {
		const file = openSync(path, "r+");
		try {
			writeSync(file, text, 0);
		} finally {
			closeSync(file);
		}
	} catch {
		// A beat that is missed is made up for by the next; a full disk shows where it matters.
	}
}

function parse(text: string): Owner | undefined {
	try {
		const { pid, host, started } = JSON.parse(text) as Partial<Owner>;
		const whole = Number.isInteger(pid) && typeof host === "string" && typeof started === "string";
		return whole ? { pid: pid as number, host, started } : undefined;
	} catch {
		return undefined;
	}
}

function lives({ pid, started }: Owner): boolean {
	try {
		process.kill(pid, 0);
	} catch (error) {
		// EPERM: it lives, as somebody else's.
		if (!(error instanceof Error && "code" in error && error.code === "EPERM")) return false;
	}
	const now = startOf(pid);
	if (now === undefined || started === "") return true;
	return now.started === started && now.state !== "Z";
}

function hostOfPids(): string {
	try {
		return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
	} catch {
		return hostname();
	}
}

/** Linux: boot and start time of a process. A killed process that nobody has waited for is a zombie, state Z. */
function startOf(pid: number): { started: string; state: string } | undefined {
	try {
		const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
		// The name in parentheses may hold spaces; state is the first field behind it, the start time the twentieth.
		const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
		const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
		return { started: `${boot} ${fields[19]}`, state: fields[0] as string };
	} catch {
		return undefined;
	}
}

function locked(path: string, { what, owner }: { what: string; owner: Owner | undefined }): UserError {
	const by = owner === undefined ? "another process" : `process ${owner.pid} on ${owner.host.split(" ")[0]}`;
	return new UserError("LOCKED", `${what} is being written by ${by}.`, {
		where: path,
		hint: "Wait for it or stop it; when it is certain that nothing runs there any more, delete this file.",
	});
}

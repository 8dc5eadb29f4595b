// Study storage in a file: JSON Lines, one record a line, only ever appended to. Readable with any tool, safe to kill at
// any moment, shared by several processes of one machine.
//
//     study.jsonl          the records: the study itself
//     study.jsonl.lock     present while a worker is inside `exclusive` (lock.ts)
//     study.jsonl.leases   which worker runs which trial now; of no worth once the workers are gone
//
// A line counts once its newline is there. What a kill or a full disk leaves after the last newline was never
// acknowledged to anyone: readers pass over it and the next writer cuts it off.
import {
	closeSync,
	fstatSync,
	fsyncSync,
	ftruncateSync,
	openSync,
	readFileSync,
	readSync,
	renameSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { UserError } from "../../util/errors.ts";
import { type Clock, systemClock } from "../clock.ts";
import type { StudyRecord } from "../records.ts";
import { lock, unlock } from "./lock.ts";
import { type IsAlive, newOwner, type Owner, processLives } from "./owner.ts";
import type { StorageTransaction, StudyStorage } from "./storage.ts";

export interface JournalOptions {
	readonly clock?: Clock;
	/** A lease that was not renewed for so long is void even if a process with its pid lives, milliseconds. */
	readonly leaseMs?: number;
	/** "power-loss" waits for the disk at each record; "kill" leaves that to the operating system, and is quicker. */
	readonly survives?: "power-loss" | "kill";
	/** Whether the process of a lease or lock still lives. */
	readonly isAlive?: IsAlive;
}

interface Lease extends Owner {
	readonly at: number;
}

/** A study in the file at `path`, which is made when the first record is appended. */
export function journalStorage(path: string, options: JournalOptions = {}): StudyStorage {
	const { clock = systemClock, leaseMs = 600_000, survives = "power-loss", isAlive = processLives } = options;
	const owner = newOwner(clock());
	const lockPath = `${path}.lock`;
	const leasePath = `${path}.leases`;

	/** Whole lines read so far, and where the next one starts in the file. */
	const records: unknown[] = [];
	let offset = 0;

	const readNew = (): void => {
		const fd = openIfThere(path, "r");
		if (fd === undefined) return;
		try {
			const size = fstatSync(fd).size;
			if (size < offset) throw replaced(path);
			const bytes = Buffer.alloc(size - offset);
			for (let at = 0; at < bytes.length; ) {
				const count = readSync(fd, bytes, at, bytes.length - at, offset + at);
				if (count === 0) break;
				at += count;
			}
			for (let start = 0; ; ) {
				const end = bytes.indexOf(10, start);
				if (end === -1) return;
				records.push(parseLine(bytes.toString("utf8", start, end), { path, line: records.length + 1 }));
				offset += end + 1 - start;
				start = end + 1;
			}
		} finally {
			closeSync(fd);
		}
	};
	const read = (from: number) => {
		readNew();
		return records.slice(from);
	};
	const append = (record: StudyRecord): void => {
		readNew();
		const line = Buffer.from(`${JSON.stringify(record)}\n`);
		const fd = openSync(path, "a");
		try {
			// We hold the lock, so whatever follows the last whole line is a torn write.
			if (fstatSync(fd).size > offset) ftruncateSync(fd, offset);
			for (let at = 0; at < line.length; ) at += writeSync(fd, line, at);
			if (survives === "power-loss") fsyncSync(fd);
		} finally {
			closeSync(fd);
		}
		records.push(JSON.parse(line.toString()));
		offset += line.length;
	};

	const readLeases = (): Map<number, Lease> => {
		const fd = openIfThere(leasePath, "r");
		if (fd === undefined) return new Map();
		try {
			const entries = Object.entries(JSON.parse(readFileSync(fd, "utf8")) as { [trial: string]: Lease });
			return new Map(entries.map(([trial, lease]) => [Number(trial), lease]));
		} catch (error) {
			// Leases are written aside and renamed; only a power loss can spoil them, and then no worker is left.
			if (error instanceof SyntaxError) return new Map();
			throw error;
		} finally {
			closeSync(fd);
		}
	};
	const holds = (lease: Lease) => isAlive(lease) && clock() - lease.at < leaseMs;
	const changeLeases = (change: (leases: Map<number, Lease>) => void): void => {
		const leases = new Map([...readLeases()].filter(([, lease]) => holds(lease)));
		change(leases);
		writeFileSync(`${leasePath}.new`, JSON.stringify(Object.fromEntries(leases)));
		renameSync(`${leasePath}.new`, leasePath);
	};

	const transaction: StorageTransaction = {
		read,
		append,
		lease: (trial) => changeLeases((leases) => leases.set(trial, { ...owner, at: clock() })),
		release: (trial) =>
			changeLeases((leases) => {
				if (leases.get(trial)?.token === owner.token) leases.delete(trial);
			}),
		leased: () => new Set([...readLeases()].filter(([, lease]) => holds(lease)).map(([trial]) => trial)),
	};
	// Calls of this process queue here, so that the lock file is between processes (and storages) only.
	let turn: Promise<unknown> = Promise.resolve();
	const exclusive = <T>(body: (transaction: StorageTransaction) => T): Promise<T> => {
		const mine = turn.then(async () => {
			await lock(lockPath, { owner, isAlive });
			try {
				return body(transaction);
			} finally {
				unlock(lockPath);
			}
		});
		turn = mine.catch(() => undefined);
		return mine;
	};
	return {
		exclusive,
		read,
		async close() {
			await exclusive(() => {
				if (![...readLeases().values()].some((lease) => lease.token === owner.token)) return;
				changeLeases((leases) => {
					for (const [trial, lease] of leases) if (lease.token === owner.token) leases.delete(trial);
				});
			});
		},
	};
}

function parseLine(line: string, { path, line: number }: { path: string; line: number }): unknown {
	try {
		return JSON.parse(line);
	} catch (cause) {
		throw new UserError("JOURNAL_CORRUPT", `Line ${number} of the study's journal is not JSON.`, {
			where: `${path}:${number}`,
			found: line.slice(0, 80),
			hint: "The file was changed by something else. Restore it, or cut it off before this line to go on from there.",
			cause,
		});
	}
}

function replaced(path: string): UserError {
	return new UserError("JOURNAL_REPLACED", "The study's journal became shorter while it was in use.", {
		where: path,
		hint: "Another program replaced the file. Open the study again.",
	});
}

function openIfThere(path: string, flags: string): number | undefined {
	try {
		return openSync(path, flags);
	} catch (error) {
		if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
		throw error;
	}
}

// Who holds a lock or a lease, and whether that process still lives. A pid alone is not enough: pids are used again
// (in a container, at once), and a killed process may linger as a zombie. Linux tells us when a process started; on
// other systems the age of the lease decides.
import { readFileSync } from "node:fs";

export interface Owner {
	readonly pid: number;
	/** When the process started, in the kernel's ticks; empty where the system does not tell. */
	readonly started: string;
	/** Different for every owner there ever was. */
	readonly token: string;
}

export type IsAlive = (owner: Owner) => boolean;

let made = 0;

/** A new owner in this process. `at`: now, in milliseconds. */
export function newOwner(at: number): Owner {
	const started = statOf(process.pid)?.started ?? "";
	return { pid: process.pid, started, token: `${process.pid}-${started}-${Math.round(at)}-${made++}` };
}

export const processLives: IsAlive = ({ pid, started }) => {
	if (pid <= 0) return false;
	try {
		process.kill(pid, 0);
	} catch (error) {
		// EPERM: it lives, and belongs to somebody else.
		if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
	}
	const stat = statOf(pid);
	if (stat === undefined || started === "") return true;
	return stat.state !== "Z" && stat.started === started;
};

/** Fields 3 (state) and 22 (start time) of /proc/PID/stat; the name in field 2 may hold anything, so count from its end. */
function statOf(pid: number): { state: string; started: string } | undefined {
	try {
		const text = readFileSync(`/proc/${pid}/stat`, "utf8");
		const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
		return { state: fields[0] as string, started: fields[19] as string };
	} catch {
		return undefined;
	}
}

// How many physical cores this process may use. Two threads on one core gain nothing at matrix multiplication.

import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";

let known: number | undefined;

/** Physical cores that the affinity mask and the container's CPU quota leave us; at least 1. */
export function physicalCores(): number {
	known ??= Math.min(
		availableParallelism(),
		countCores({
			cpuinfo: read("/proc/cpuinfo"),
			status: read("/proc/self/status"),
			cpuMax: read("/sys/fs/cgroup/cpu.max"),
		}),
	);
	return known;
}

/** Counts from Linux's own files, each "" where there is none. Infinity when they do not tell. */
export function countCores(files: { cpuinfo: string; status: string; cpuMax: string }): number {
	const allowed = allowedCpus(files.status);
	const cores = new Set<string>();
	for (const block of files.cpuinfo.split(/\n\s*\n/)) {
		const field = (name: string) => new RegExp(`^${name}\\s*:\\s*(\\d+)`, "m").exec(block)?.[1];
		const processor = field("processor");
		const core = field("core id");
		if (processor === undefined || core === undefined) continue;
		if (allowed === undefined || allowed.has(Number(processor))) cores.add(`${field("physical id")}/${core}`);
	}
	// "max 100000" or "150000 100000": microseconds of CPU time in each period.
	const [quota, period] = files.cpuMax.split(" ").map(Number);
	const limit = quota && period ? Math.ceil(quota / period) : Number.POSITIVE_INFINITY;
	return Math.max(1, Math.min(limit, cores.size || Number.POSITIVE_INFINITY));
}

/** The CPUs of "Cpus_allowed_list: 0-3,8". */
function allowedCpus(status: string): Set<number> | undefined {
	const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1];
	if (list === undefined) return undefined;
	const cpus = new Set<number>();
	for (const range of list.split(",")) {
		const [first, last = first] = range.split("-").map(Number);
		for (let cpu = first as number; cpu <= (last as number); cpu++) cpus.add(cpu);
	}
	return cpus;
}

function read(path: string): string {
	try {
		return readFileSync(path, "utf8");
	} catch {
		return "";
	}
}

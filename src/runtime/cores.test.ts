import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { countCores, physicalCores } from "./cores.ts";

/** Two sockets of two cores of two threads: processors 0-7. */
const cpuinfo = [0, 1, 2, 3, 4, 5, 6, 7]
	.map((i) => `processor\t: ${i}\nmodel name\t: core id 9\nphysical id\t: ${(i >> 1) & 1}\ncore id\t\t: ${i & 1}\n`)
	.join("\n");
const allowed = (list: string) => `Cpus_allowed:\tff\nCpus_allowed_list:\t${list}\n`;

test.each([
	["hyper-threads count once", { cpuinfo, status: allowed("0-7"), cpuMax: "max 100000\n" }, 4],
	["one thread of each core allowed", { cpuinfo, status: allowed("0-2,7"), cpuMax: "" }, 4],
	["two threads of one core allowed", { cpuinfo, status: allowed("0,4"), cpuMax: "" }, 1],
	["one and a half CPUs of quota", { cpuinfo, status: "", cpuMax: "150000 100000\n" }, 2],
	["less than one CPU of quota", { cpuinfo, status: "", cpuMax: "20000 100000\n" }, 1],
	["an ARM cpuinfo without cores", { cpuinfo: "processor\t: 0\n\nprocessor\t: 1\n", status: "", cpuMax: "" }, Infinity],
	["nothing known", { cpuinfo: "", status: "", cpuMax: "" }, Infinity],
])("%s", (_, files, cores) => {
	expect(countCores(files)).toBe(cores);
});

test("this machine has at least one core, and no more than the system says", () => {
	expect(physicalCores()).toBeGreaterThanOrEqual(1);
	expect(physicalCores()).toBeLessThanOrEqual(availableParallelism());
});

// What this machine has: memory that a process could still take, and how fast it computes. Measured, never assumed.

import { readFile } from "node:fs/promises";
import { freemem } from "node:os";
import { add, Graph, gemm, toOnnx } from "../graph/index.ts";
import { Session, Tensor } from "../runtime/index.ts";

export interface MachineSpeed {
	/** Of matrix products, in floating-point operations. */
	flopsPerSecond: number;
	/** Read and written by element-wise work. */
	bytesPerSecond: number;
}

/**
 * Bytes that a process could take without swapping: what Linux calls available, or the rest of the container's limit.
 * What this process holds already is not in it.
 */
export async function availableMemory(): Promise<number> {
	const read = (path: string) => readFile(path, "utf8").catch(() => "");
	const kibibytes = /MemAvailable:\s+(\d+) kB/.exec(await read("/proc/meminfo"))?.[1];
	const host = kibibytes === undefined ? freemem() : Number(kibibytes) * 1024;
	return Math.min(host, (await leftInCgroup(read)) ?? host);
}

/** Version 2, then version 1, of Linux's control groups. Pages of files that were read do not count as taken. */
async function leftInCgroup(read: (path: string) => Promise<string>): Promise<number | undefined> {
	const places = [
		["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"],
		...[["limit_in_bytes", "usage_in_bytes", "stat"].map((name) => `/sys/fs/cgroup/memory/memory.${name}`)],
	] as const;
	for (const [limitPath, usagePath, statPath] of places) {
		const limit = Number.parseInt(await read(limitPath as string), 10);
		const usage = Number.parseInt(await read(usagePath as string), 10);
		if (!Number.isFinite(limit) || !Number.isFinite(usage)) continue;
		const files = Number(/^inactive_file (\d+)/m.exec(await read(statPath as string))?.[1] ?? 0);
		return Math.max(0, limit - usage + files);
	}
	return undefined;
}

const speeds = new Map<number | undefined, Promise<MachineSpeed>>();

/** Measured once a process and number of threads, in about a tenth of a second. */
export function machineSpeed({ threads }: { threads?: number } = {}): Promise<MachineSpeed> {
	const known = speeds.get(threads) ?? measure(threads);
	speeds.set(threads, known);
	return known;
}

/** Of a transformer's products and activations: [N, C] by [C, C], and an addition that does not fit the cache. */
const probe = { rows: 512, channels: 768, elements: 2 ** 22, ms: 50 };

async function measure(threads: number | undefined): Promise<MachineSpeed> {
	const { rows, channels, elements } = probe;
	const graph = new Graph();
	const x = graph.input("x", "float32", [rows, channels]);
	graph.output("product", gemm(x, graph.input("w", "float32", [channels, channels])));
	const product = await rateOf(graph, {
		feeds: { x: filled([rows, channels]), w: filled([channels, channels]) },
		output: ["product", filled([rows, channels])],
		threads,
	});
	const sums = new Graph();
	sums.output("sum", add(sums.input("a", "float32", [elements]), sums.input("b", "float32", [elements])));
	const sum = await rateOf(sums, {
		feeds: { a: filled([elements]), b: filled([elements]) },
		output: ["sum", filled([elements])],
		threads,
	});
	return { flopsPerSecond: product * 2 * rows * channels * channels, bytesPerSecond: sum * 3 * 4 * elements };
}

function filled(shape: readonly number[]): Tensor {
	return Tensor.from(new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(0.01), shape);
}

/** Runs a second, after two that warm up. */
async function rateOf(
	graph: Graph,
	{
		feeds,
		output,
		threads,
	}: { feeds: Record<string, Tensor>; output: [name: string, tensor: Tensor]; threads: number | undefined },
): Promise<number> {
	const session = await Session.create(toOnnx(graph), { name: "probe", ...(threads !== undefined && { threads }) });
	const run = session.bind(feeds, { [output[0]]: output[1] });
	try {
		for (let i = 0; i < 2; i++) await run.run();
		let runs = 0;
		const start = performance.now();
		for (; performance.now() - start < probe.ms; runs++) await run.run();
		return (runs * 1000) / (performance.now() - start);
	} finally {
		run.dispose();
		session.dispose();
		for (const tensor of [...Object.values(feeds), output[1]]) tensor.dispose();
	}
}

// What a graph costs, counted without running it: products and additions, bytes moved, and the memory its results take.
// What a machine makes of that (seconds) and what a training run holds beside it (weights, gradients, states) is the
// business of the recipes.

import type { Graph, Node, Value } from "../graph/index.ts";
import type { ParameterSpec } from "./architecture.ts";
import { Arena, type Chunk } from "./arena.ts";
import { bytesOf, type Execution, elementsOf, type GraphBuffer, planExecution, type Sizes } from "./execution.ts";
import { sizeOf } from "./model.ts";

export interface GraphWork {
	/** Multiplications and additions of matrix products. */
	flops: number;
	/** Read and written by everything else. */
	movedBytes: number;
}

export interface ParameterCounts {
	all: number;
	trained: number;
	/** Of all weights as they are held: few bits count as few. */
	bytes: number;
}

/** Rows of another parameter count as trained, but not twice. */
export function countParameters(specs: readonly ParameterSpec[], trainable: ReadonlySet<string>): ParameterCounts {
	const counts: ParameterCounts = { all: 0, trained: 0, bytes: 0 };
	for (const spec of specs) {
		const size = sizeOf(spec);
		if (trainable.has(spec.name)) counts.trained += size;
		if (spec.rowsOf) continue;
		counts.all += size;
		const { format } = spec;
		// A block has a scale and a zero.
		counts.bytes += format ? size * (format.bits / 8 + (4 + format.bits / 8) / format.blockSize) : 4 * size;
	}
	return counts;
}

/** The counts of one graph, for any sizes. */
export class GraphCosts {
	readonly #execution: Execution;
	readonly #allocations: readonly (readonly number[])[];
	readonly #releases: readonly (readonly number[])[];

	constructor(graph: Graph) {
		this.#execution = planExecution(graph);
		const { nodes, buffers } = this.#execution;
		const allocations: number[][] = nodes.map(() => []);
		const releases: number[][] = nodes.map(() => []);
		buffers.forEach(({ first, last }, i) => {
			allocations[first]?.push(i);
			releases[last]?.push(i);
		});
		this.#allocations = allocations;
		this.#releases = releases;
	}

	get nodes(): number {
		return this.#execution.nodes.length;
	}

	work(sizes: Sizes): GraphWork {
		const work: GraphWork = { flops: 0, movedBytes: 0 };
		for (const node of this.#execution.nodes) {
			const inner = innerSize(node);
			if (inner !== undefined) {
				const [output] = node.outputs as [Value];
				work.flops += 2 * elementsOf(output.shape, sizes) * elementsOf([inner], sizes);
				continue;
			}
			if (free.has(node.op)) continue;
			for (const value of [...node.outputs, ...node.inputs]) {
				// Of a table only the rows that are looked up are read; they are counted as written.
				if (value && !(node.op === "Gather" && value === node.inputs[0])) work.movedBytes += bytesOf(value, sizes);
			}
		}
		return work;
	}

	/** Most bytes that are alive at once. */
	peakBytes(sizes: Sizes): number {
		const { buffers } = this.#execution;
		let alive = 0;
		let peak = 0;
		this.#allocations.forEach((allocated, step) => {
			for (const i of allocated) alive += bytesOf(buffers[i] as GraphBuffer, sizes);
			peak = Math.max(peak, alive);
			for (const i of this.#releases[step] ?? []) alive -= bytesOf(buffers[i] as GraphBuffer, sizes);
		});
		return peak;
	}

	/** What the session holds after runs of these sizes, one after the other: the peak, and what is lost between chunks. */
	arenaBytes(runs: readonly Sizes[]): number {
		const { buffers } = this.#execution;
		const arena = new Arena();
		for (const sizes of runs) {
			const chunks = new Map<number, Chunk>();
			this.#allocations.forEach((allocated, step) => {
				for (const i of allocated) chunks.set(i, arena.allocate(bytesOf(buffers[i] as GraphBuffer, sizes)));
				for (const i of this.#releases[step] ?? []) arena.release(chunks.get(i) as Chunk);
			});
		}
		return arena.touchedBytes;
	}
}

/** They look at shapes or give memory another shape. */
const free = new Set(["Reshape", "Shape", "Identity"]);

/** The size that a matrix product sums over; undefined for other operators. */
function innerSize({ op, inputs, attributes }: Node) {
	if (op !== "MatMul" && op !== "Gemm" && op !== "FusedMatMul") return undefined;
	return inputs[0]?.shape.at(attributes.transA ? -2 : -1);
}

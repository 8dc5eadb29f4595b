// The order of execution and the memory of a training graph, against ONNX Runtime's own profile of it.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { add, Graph, gemm, toOnnx } from "../graph/index.ts";
import { Session, Tensor } from "../runtime/index.ts";
import { architectureFor } from "./architectures.ts";
import { Arena } from "./arena.ts";
import { countParameters, GraphCosts } from "./costs.ts";
import { planExecution } from "./execution.ts";
import { sizeOf } from "./model.ts";
import { trainingGraph } from "./training-graph.ts";

const architecture = architectureFor({ model_type: "gpt2" });
const configOf = (layers: number) =>
	architecture.parseConfig({
		model_type: "gpt2",
		vocab_size: 500,
		n_embd: 32,
		n_layer: layers,
		n_head: 2,
		n_positions: 64,
	});

function graphOf(
	layers: number,
	options: { recompute?: boolean; chunks?: number; trainable?: ReadonlySet<string> } = {},
) {
	const config = configOf(layers);
	const all = new Set(architecture.parameters(config).map(({ name }) => name));
	return trainingGraph(architecture, config, { trainable: all, chunks: 1, accumulate: true, ...options }).graph;
}

/** Names of the nodes in the order in which ONNX Runtime runs them, from its profile. */
async function profiledOrder(graph: Graph): Promise<string[]> {
	const directory = await mkdtemp(join(tmpdir(), "attune-profile-"));
	try {
		const session = await Session.create(toOnnx(graph), {
			threads: 1,
			profile: join(directory, "run"),
			config: { "optimization.disable_specified_optimizers": "GemmTransposeFusion" },
		});
		const sizes: Record<string, number> = { B: 2, T: 8, R: 4 };
		const feeds = Object.fromEntries(
			graph.inputs.map(({ name, dtype, shape }) => {
				const concrete = shape.map((dim) => {
					if (typeof dim === "number") return dim;
					return dim.split("*").reduce((product, part) => product * (sizes[part] ?? Number(part)), 1);
				});
				const size = concrete.reduce((a, b) => a * b, 1);
				const data = dtype === "int64" ? new BigInt64Array(size) : new Float32Array(size).fill(0.01);
				return [name, Tensor.from(data, concrete)];
			}),
		);
		await session.run(feeds, Object.fromEntries(session.outputs.map((name) => [name, "allocate"])));
		session.dispose();
		const [file] = await readdir(directory);
		const events = JSON.parse(await readFile(join(directory, file as string), "utf8")) as {
			cat: string;
			name: string;
		}[];
		return events.flatMap(({ cat, name }) =>
			cat === "Node" && name.endsWith("_kernel_time") ? [name.replace(/_kernel_time$/, "")] : [],
		);
	} finally {
		await rm(directory, { recursive: true });
	}
}

describe("order of execution", () => {
	test.each([{}, { recompute: true }, { chunks: 3 }])("is that of ONNX Runtime: %o", async (options) => {
		const graph = graphOf(2, options);
		const profiled = await profiledOrder(graph);
		const run = new Set(profiled);
		const planned = planExecution(graph).nodes.map(({ outputs }) => outputs[0]?.name as string);
		// What can be computed beforehand is folded into constants.
		expect(planned.filter((name) => run.has(name))).toEqual(profiled.filter((name) => planned.includes(name)));
		expect(profiled.length).toBeGreaterThan(0.8 * planned.length);
	});
});

describe("costs of a graph", () => {
	const sizes = { B: 2, T: 64, R: 100 };

	test("operations of the products are those of the formula", () => {
		const [layers, channels, vocabulary] = [3, 32, 500];
		const evaluation = new GraphCosts(graphOf(layers, { trainable: new Set() }));
		const slots = sizes.B * sizes.T;
		// Behind the attention of the last layer (9 of 12 channels squared) only the labelled rows are computed.
		const rows = 12 * layers * slots - 9 * (slots - sizes.R);
		const linear = channels ** 2 * rows + vocabulary * channels * sizes.R;
		const attention = 2 * layers * slots * sizes.T * channels;
		expect(evaluation.work(sizes).flops).toBe(2 * (linear + attention));
	});

	test("training keeps activations, recomputation fewer, evaluation hardly any", () => {
		const peak = (options: Parameters<typeof graphOf>[1]) => new GraphCosts(graphOf(8, options)).peakBytes(sizes);
		const training = peak({});
		const recomputed = peak({ recompute: true });
		const evaluation = peak({ trainable: new Set() });
		expect(recomputed).toBeLessThan(0.3 * training);
		// Nearly all that it holds are the logits.
		expect(evaluation).toBeLessThan(1.1 * (2 * sizes.R * 500 * 4));
	});

	test("peak of a chain by hand: two results at a time, inputs and outputs are not counted", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["N", 10]);
		const w = graph.input("w", "float32", [10, 10]);
		graph.output("y", add(gemm(gemm(gemm(x, w), w), w), 1));
		const costs = new GraphCosts(graph);
		expect(costs.peakBytes({ N: 1000 })).toBe(2 * 4 * 1000 * 10);
		expect(costs.work({ N: 1000 }).flops).toBe(3 * 2 * 1000 * 10 * 10);
	});

	test("trained parameters are counted once", () => {
		const config = configOf(2);
		const specs = architecture.parameters(config);
		const total = specs.reduce((sum, spec) => sum + sizeOf(spec), 0);
		const counts = countParameters(specs, new Set(["h.0.mlp.c_fc.weight"]));
		expect(counts).toEqual({ all: total, trained: 32 * 128, bytes: 4 * total });
	});
});

describe("arena", () => {
	const mebibyte = 2 ** 20;

	test("memory that was given back is used again, and neighbours become one", () => {
		const arena = new Arena();
		// The first fills its region; the next region has room for both of the others.
		arena.allocate(8 * mebibyte);
		arena.allocate(8 * mebibyte);
		const pair = [arena.allocate(4 * mebibyte), arena.allocate(4 * mebibyte)] as const;
		expect(pair[0].region).toBe(pair[1].region);
		const before = arena.touchedBytes;
		for (const chunk of pair) arena.release(chunk);
		expect(arena.allocate(8 * mebibyte).region).toBe(pair[0].region);
		expect(arena.touchedBytes).toBe(before);
	});

	test("what was never written is not counted", () => {
		const arena = new Arena();
		arena.allocate(5 * mebibyte);
		expect(arena.touchedBytes).toBe(5 * mebibyte);
		arena.allocate(mebibyte);
		expect(arena.touchedBytes).toBe(6 * mebibyte);
	});
});

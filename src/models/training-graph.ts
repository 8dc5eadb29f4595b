// The graph of one micro-step: loss and gradients of a padded micro-batch. Logits exist only for rows that have a label,
// and only a chunk of them at a time; nothing is computed for parameters that are not trained.

import { gradients, type Segment } from "../autodiff/index.ts";
import { add, cast, Graph, gather, gemm, mul, multiplyDims, reshape, type Value } from "../graph/index.ts";
import { causalMask, causalSelfAttention } from "../nn/attention.ts";
import type { ModelContext } from "../nn/context.ts";
import { linearCrossEntropy } from "../nn/cross-entropy.ts";
import type { AnyArchitecture } from "./architectures.ts";

export interface TrainingGraphOptions {
	/** Names of the parameters that receive gradients; empty for evaluation. */
	trainable: ReadonlySet<string>;
	/** Pieces that the labelled rows are cut into, see `rowChunks`. */
	chunks: number;
	/** Add to gradients that are fed, instead of starting from nothing. */
	accumulate?: boolean;
	/** Compute each block again in the backward pass instead of keeping its activations. */
	recompute?: boolean;
	dropout?: number;
	labelSmoothing?: number;
}

export interface TrainingGraph {
	readonly graph: Graph;
	/** Masks to be fed when dropout is on: input name and shape in symbols (B, T). */
	readonly dropoutMasks: readonly Value[];
	/** Trained parameters that really occur in the graph, in order of `parameters(config)`. */
	readonly trained: readonly string[];
}

/**
 * Inputs: `ids` [B, T] int64 (padded on the right), `positions` [T] int64 (0, 1, ...), `rows` [N] int64 (b*T + t of each
 * labelled position), `labels` [N] int64, `weights` [N] (the row's share of the loss; 0 fills up to a multiple of
 * `chunks`), every parameter under its name and, with `accumulate`, `accumulated.<name>`.
 * Outputs: `loss` (scalar: the weighted sum over rows) and `gradient.<name>`.
 */
export function trainingGraph(
	architecture: AnyArchitecture,
	config: unknown,
	options: TrainingGraphOptions,
): TrainingGraph {
	const { trainable, chunks, accumulate = false, recompute = false, dropout = 0, labelSmoothing = 0 } = options;
	const graph = new Graph();
	const ids = graph.input("ids", "int64", ["B", "T"]);
	const positions = graph.input("positions", "int64", ["T"]);
	const labelled = multiplyDims([chunks, "R"]);
	const rows = graph.input("rows", "int64", [labelled]);
	const labels = graph.input("labels", "int64", [labelled]);
	const weights = graph.input("weights", "float32", [labelled]);
	const parameters = new Map<string, Value>();
	for (const { name, shape } of architecture.parameters(config))
		parameters.set(name, graph.input(name, "float32", shape));
	const parameter = (name: string) => {
		const value = parameters.get(name);
		if (!value) throw new Error(`${architecture.name} has no parameter "${name}"`);
		return value;
	};

	const dropoutMasks: Value[] = [];
	const drop = (x: Value): Value => {
		if (dropout === 0) return x;
		const mask = graph.input(`dropout.${dropoutMasks.length}`, "uint8", x.shape);
		dropoutMasks.push(mask);
		return mul(x, mul(cast(mask, "float32"), 1 / (1 - dropout)));
	};
	const segments: Segment[] = [];
	const mask = causalMask(positions);
	const { heads } = architecture.sizes(config);
	const context: ModelContext = {
		weight: parameter,
		linear: (name, x) => gemm(x, parameter(`${name}.weight`), { c: parameter(`${name}.bias`) }),
		embed: (name, indices) => gather(parameter(name), indices),
		attend: (qkv) => causalSelfAttention(qkv, { heads, batch: "B", time: "T", mask, dropout: drop }),
		dropout: drop,
		block(build) {
			const start = graph.nodes.length;
			const output = build();
			if (recompute) segments.push({ start, end: graph.nodes.length });
			return output;
		},
	};
	const hidden = architecture.hiddenStates(context, config, { ids, positions });
	const selected = architecture.finalNorm(context, config, gather(hidden, rows)); // [N, C]
	const tableName = architecture.outputTable(config);
	const table = parameter(tableName);
	const training = trainable.size > 0;
	const head = linearCrossEntropy(selected, {
		table,
		labels,
		weights,
		chunks,
		labelSmoothing,
		gradient: { hidden: training, table: trainable.has(tableName) },
	});
	graph.output("loss", reshape(head.loss, []));
	if (!head.hidden) return { graph, dropoutMasks, trained: [] };

	const of = new Map([[selected, head.hidden]]);
	// The table is used twice when it is also the embedding: its gradient starts from what the head contributes.
	if (head.table) of.set(table, head.table);
	const trained = [...parameters.keys()].filter((name) => trainable.has(name));
	const found = gradients({ of, withRespectTo: trained.map(parameter), recompute: segments });
	for (const name of trained) {
		const gradient = found.get(parameter(name));
		if (!gradient) throw new Error(`the loss does not depend on "${name}"`);
		const sum = accumulate ? add(graph.input(`accumulated.${name}`, "float32", gradient.shape), gradient) : gradient;
		graph.output(`gradient.${name}`, sum);
	}
	return { graph, dropoutMasks, trained };
}

/** How many pieces to cut `rows` labelled rows into so that one piece of logits [R, V] stays within `chunkBytes`. */
export function rowChunks({
	rows,
	vocabulary,
	chunkBytes,
}: {
	rows: number;
	vocabulary: number;
	chunkBytes: number;
}): number {
	return Math.max(1, Math.ceil((rows * vocabulary * 4) / chunkBytes));
}

// The graph of one micro-step: loss and gradients of a padded micro-batch. Logits exist only for rows that have a label,
// and only a chunk of them at a time; nothing is computed for parameters that are not trained.

import { gradients, type Segment } from "../autodiff/index.ts";
import { add, cast, Graph, gather, gemm, mul, multiplyDims, reshape, type Shape, type Value } from "../graph/index.ts";
import { causalMask, causalSelfAttention } from "../nn/attention.ts";
import type { ModelContext } from "../nn/context.ts";
import { linearCrossEntropy } from "../nn/cross-entropy.ts";
import { lookupGradient, type NewRows } from "../nn/new-rows.ts";
import type { ParameterSpec } from "./architecture.ts";
import type { AnyArchitecture } from "./architectures.ts";
import { parameterInputs } from "./parameters.ts";

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
	/** Masks to be fed when dropout is on, 1 where an element is kept. */
	readonly dropoutMasks: readonly DropoutMask[];
	/** Trained parameters that really occur in the graph, in order of `parameters(config)`. */
	readonly trained: readonly string[];
}

/** An input of uint8; the shape is in symbols (B, T, R). */
export interface DropoutMask {
	readonly name: string;
	readonly shape: Shape;
	readonly rate: number;
}

/**
 * Inputs: `ids` [B, T] int64 (padded on the right), `positions` [T] int64 (0, 1, ...), `rows` [N] int64 (b*T + t of each
 * labelled position), `labels` [N] int64, `weights` [N] (the row's share of the loss; 0 fills up to a multiple of
 * `chunks`), every parameter (see parameters.ts) and, with `accumulate`, `accumulated.<name>`.
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
	const specs = architecture.parameters(config);
	const parameter = parameterInputs(graph, specs);
	const training = trainable.size > 0;

	const dropoutMasks: DropoutMask[] = [];
	const drop = (x: Value, rate = dropout): Value => {
		if (rate === 0 || !training) return x;
		const mask = graph.input(`dropout.${dropoutMasks.length}`, "uint8", x.shape);
		dropoutMasks.push({ name: mask.name, shape: mask.shape, rate });
		return mul(x, mul(cast(mask, "float32"), 1 / (1 - rate)));
	};
	const lookups: { table: string; ids: Value; embedded: Value }[] = [];
	const segments: Segment[] = [];
	const mask = causalMask(positions);
	const { heads } = architecture.sizes(config);
	const context: ModelContext = {
		weight: parameter,
		linear: (name, x) => gemm(x, parameter(`${name}.weight`, x), { c: parameter(`${name}.bias`) }),
		embed(table, ids) {
			const embedded = gather(parameter(table), ids);
			lookups.push({ table, ids, embedded });
			return embedded;
		},
		attend: (qkv) => causalSelfAttention(qkv, { heads, batch: "B", time: "T", mask, dropout: drop }),
		wanted: (x) => gather(x, rows),
		dropout: drop,
		block(build) {
			const start = graph.nodes.length;
			const output = build();
			if (recompute) segments.push({ start, end: graph.nodes.length });
			return output;
		},
	};
	const hidden = architecture.hiddenStates(context, config, { ids, positions });
	const selected = architecture.finalNorm(context, config, hidden); // [N, C]
	const tableName = architecture.outputTable(config);
	const table = parameter(tableName);
	const trained = specs.filter(({ name }) => trainable.has(name));
	const newRows = newRowsOf(trained);
	const headRows = newRows.get(tableName);
	const head = linearCrossEntropy(selected, {
		table,
		labels,
		weights,
		chunks,
		labelSmoothing,
		gradient: { hidden: training, table: trainable.has(tableName), ...(headRows && { newRows: headRows }) },
	});
	graph.output("loss", reshape(head.loss, []));
	if (!head.hidden) return { graph, dropoutMasks, trained: [] };

	const of = new Map([[selected, head.hidden]]);
	// The table is used twice when it is also the embedding: its gradient starts from what the head contributes.
	if (head.table) of.set(table, head.table);
	const ofNewRows = lookups.filter(({ table }) => newRows.has(table));
	const whole = trained.filter(({ rowsOf }) => !rowsOf).map(({ name }) => parameter(name));
	const withRespectTo = [...whole, ...ofNewRows.map(({ embedded }) => embedded)];
	const found = gradients({ of, withRespectTo, recompute: segments });
	for (const { name, rowsOf } of trained) {
		const parts = rowsOf ? ofNewRows.filter(({ table }) => table === rowsOf.parameter) : [];
		const ofRows = parts.map(({ table, ids, embedded }) =>
			lookupGradient(ids, { gradient: found.get(embedded) as Value, rows: newRows.get(table) as NewRows }),
		);
		if (rowsOf?.parameter === tableName) ofRows.push(head.newRows as Value);
		const gradient = rowsOf ? ofRows.reduce((sum, part) => add(sum, part)) : found.get(parameter(name));
		if (!gradient) throw new Error(`the loss does not depend on "${name}"`);
		const sum = accumulate ? add(graph.input(`accumulated.${name}`, "float32", gradient.shape), gradient) : gradient;
		graph.output(`gradient.${name}`, sum);
	}
	return { graph, dropoutMasks, trained: trained.map(({ name }) => name) };
}

/** The tables of which only new rows are trained. */
function newRowsOf(trained: readonly ParameterSpec[]): Map<string, NewRows> {
	const tables = new Map<string, NewRows>();
	for (const { shape, rowsOf } of trained) {
		if (rowsOf) tables.set(rowsOf.parameter, { from: rowsOf.from, count: shape[0] as number });
	}
	return tables;
}

/** Values of the named dimensions for a micro-batch with this many labelled rows. */
export function trainingSizes({ batch, time, rows }: { batch: number; time: number; rows: number }, chunks: number) {
	return { B: batch, T: time, R: Math.ceil(rows / chunks) };
}

/** How many pieces to cut `rows` labelled rows into so that one piece of logits [R, V] stays within `chunkBytes`. */
export function rowChunks({
	rows,
	vocabulary,
	chunkBytes = 256 * 2 ** 20,
}: {
	rows: number;
	vocabulary: number;
	chunkBytes?: number | undefined;
}): number {
	return Math.max(1, Math.ceil((rows * vocabulary * 4) / chunkBytes));
}

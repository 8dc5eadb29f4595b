// The graph of one forward pass with a key-value cache: the same model code as training, with ONNX Runtime's fused
// attention, which writes new keys and values into the cache where it stands.

import {
	type Dim,
	fusedMatMul,
	Graph,
	gather,
	gemm,
	matMul,
	multiplyDims,
	reshape,
	type Value,
} from "../graph/index.ts";
import type { ModelContext } from "../nn/context.ts";
import type { ModelSizes } from "./architecture.ts";
import type { AnyArchitecture } from "./architectures.ts";
import { parameterInputs } from "./parameters.ts";

/**
 * Inputs: `ids` [B, T] int64, `positions` [B, T] int64, `rows` [R] int64 (b*T + t of the positions whose logits are
 * wanted), `lastIndex` [B] int32 (index of each sequence's last token in the cache after this pass), `total` [1] int32
 * (tokens in the cache after this pass, the longest sequence's), `past.<layer>.key` and `.value` [B, KVH, M, D].
 * Parameters are inputs, or with `pack` initializers: then ONNX Runtime keeps a copy of each matrix in the order in which
 * its kernels read it, which takes their memory once more, and a quarter off the time of a token.
 * Outputs: `logits` [R, V] and `present.<layer>.key` and `.value`, to be bound to the memory of the past.
 */
export function generationGraph(
	architecture: AnyArchitecture,
	config: unknown,
	{ pack = true }: { pack?: boolean } = {},
): Graph {
	const sizes = architecture.sizes(config);
	const graph = new Graph();
	const ids = graph.input("ids", "int64", ["B", "T"]);
	const positions = graph.input("positions", "int64", ["B", "T"]);
	const rows = graph.input("rows", "int64", ["R"]);
	const lastIndex = graph.input("lastIndex", "int32", ["B"]);
	const total = graph.input("total", "int32", [1]);
	const parameter = parameterInputs(graph, architecture.parameters(config), { frozen: pack });

	const context: ModelContext = {
		weight: parameter,
		linear: (name, x) => gemm(x, parameter(`${name}.weight`, x), { c: parameter(`${name}.bias`) }),
		embed: (name, indices) => gather(parameter(name), indices),
		attend(qkv, layer) {
			const shape = ["B", sizes.keyValueHeads, "M", cachedHeadSize(sizes)];
			const key = graph.input(`past.${layer}.key`, "float32", shape);
			const value = graph.input(`past.${layer}.value`, "float32", shape);
			const wide = resizeHeads(qkv, { from: sizes.headSize, to: cachedHeadSize(sizes) });
			const packed = reshape(wide, ["B", "T", wide.shape[1] as number]);
			const [mixed, presentKey, presentValue] = graph.add(
				"GroupQueryAttention",
				[packed, undefined, undefined, key, value, lastIndex, total],
				{ num_heads: sizes.heads, kv_num_heads: sizes.keyValueHeads, scale: 1 / Math.sqrt(sizes.headSize) },
			) as [Value, Value, Value];
			graph.output(`present.${layer}.key`, presentKey);
			graph.output(`present.${layer}.value`, presentValue);
			const flat = reshape(mixed, [qkv.shape[0] as string, mixed.shape[2] as number]);
			return resizeHeads(flat, { from: cachedHeadSize(sizes), to: sizes.headSize });
		},
		wanted: (x) => gather(x, rows),
		dropout: (x) => x,
		block: (build) => build(),
	};
	const hidden = architecture.hiddenStates(context, config, { ids, positions });
	const last = architecture.finalNorm(context, config, hidden);
	// As a MatMul, whose kernel reads the table in place for a single row; Gemm's would turn all of it over for each token.
	graph.output("logits", fusedMatMul(last, parameter(architecture.outputTable(config)), { transB: true }));
	return graph;
}

/** D as the cache holds it: ONNX Runtime's kernel wants a multiple of 8. */
export const cachedHeadSize = ({ headSize }: Pick<ModelSizes, "headSize">) => Math.ceil(headSize / 8) * 8;

/** [N, heads * from] to [N, heads * to]: zeros are put behind each head, or taken away. A product with ones and zeros is exact. */
function resizeHeads(x: Value, { from, to }: { from: number; to: number }): Value {
	if (from === to) return x;
	const heads = (x.shape[1] as number) / from;
	const data = Float32Array.from({ length: from * to }, (_, i) => (Math.floor(i / to) === i % to ? 1 : 0));
	const rows = reshape(x, [multiplyDims([x.shape[0] as Dim, heads]), from]);
	const resized = matMul(rows, x.graph.constant(data, [from, to], "float32"));
	return reshape(resized, [x.shape[0] as Dim, heads * to]);
}

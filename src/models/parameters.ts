// Parameters on their way into a graph: what is declared while building, and what is fed when it runs. A matrix in few
// bits is three inputs, unpacked by the graph at each use.

import { after, dequantizeLinear, type Graph, type Value } from "../graph/index.ts";
import { blocksOf, type QuantizedMatrix } from "../nn/block-quantization.ts";
import { Tensor } from "../runtime/index.ts";
import type { ParameterSpec } from "./architecture.ts";

/** The tensors of a model, by name of the parameter. Each parameter stands in one of the two. */
export interface ParameterData {
	readonly parameters: ReadonlyMap<string, Float32Array>;
	/** Matrices that are held in few bits. */
	readonly quantized?: ReadonlyMap<string, QuantizedMatrix>;
}

/**
 * Declares all parameters as inputs. The function returned gives the value of one, as ModelContext.weight does.
 * `frozen`: those in float32 that the graph uses are initializers instead; they must not change while a session lives.
 */
export function parameterInputs(graph: Graph, specs: readonly ParameterSpec[], { frozen = false } = {}) {
	const values = new Map<string, (dependency?: Value) => Value>();
	for (const { name, shape, format } of specs) {
		if (!format && frozen) {
			let initializer: Value | undefined;
			values.set(name, () => {
				initializer ??= graph.initializer(name, "float32", shape);
				return initializer;
			});
			continue;
		}
		if (!format) {
			const input = graph.input(name, "float32", shape);
			values.set(name, () => input);
			continue;
		}
		const dtype = format.bits === 4 ? "uint4" : "uint8";
		const [rows, columns] = shape as [number, number];
		const perBlock = [rows, blocksOf(columns, format)];
		const names = partNames(name);
		const packed = graph.input(names.values, dtype, shape);
		const scale = graph.input(names.scales, "float32", perBlock);
		const zero = graph.input(names.zeros, dtype, perBlock);
		values.set(name, (dependency) => {
			const ready = dependency ? after(scale, dependency) : scale;
			return dequantizeLinear(packed, { scale: ready, zero, blockSize: format.blockSize });
		});
	}
	return (name: string, dependency?: Value): Value => {
		const value = values.get(name);
		if (!value) throw new Error(`the model has no parameter "${name}"`);
		return value(dependency);
	};
}

/** Tensors over the parameters' memory, under the names of the inputs. The caller disposes of them. */
export function parameterFeeds(
	specs: readonly ParameterSpec[],
	{ parameters, quantized }: ParameterData,
): Record<string, Tensor> {
	const feeds: Record<string, Tensor> = {};
	for (const { name, shape } of specs) {
		const matrix = quantized?.get(name);
		if (!matrix) {
			feeds[name] = Tensor.from(parameters.get(name) as Float32Array, shape);
			continue;
		}
		const dtype = matrix.bits === 4 ? "uint4" : "uint8";
		const perBlock = [matrix.shape[0], blocksOf(matrix.shape[1], matrix)];
		const names = partNames(name);
		feeds[names.values] = Tensor.from(matrix.values, shape, dtype);
		feeds[names.scales] = Tensor.from(matrix.scales, perBlock);
		feeds[names.zeros] = Tensor.from(matrix.zeros, perBlock, dtype);
	}
	return feeds;
}

const partNames = (name: string) => ({ values: `${name}.values`, scales: `${name}.scales`, zeros: `${name}.zeros` });

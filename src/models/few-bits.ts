// A model whose linear layers hold their weights in 8 or 4 bits: frozen, and unpacked by the graph where they are used.
// Embeddings, norms and biases stay in float32. Only for training adapters: such a model is not saved.

import { type BlockFormat, type QuantizedMatrix, quantizeBlocks } from "../nn/block-quantization.ts";
import type { ParameterSpec } from "./architecture.ts";
import type { AnyArchitecture } from "./architectures.ts";

/** 64 numbers share a scale, as in QLoRA: half a bit for each number, and another sixteenth or eighth for the zeros. */
const blockSize = 64;

interface WholeModel {
	readonly architecture: AnyArchitecture;
	readonly config: unknown;
	readonly parameters: ReadonlyMap<string, Float32Array>;
}

/** The same architecture, with the format of its matrices in their specs. */
export function inFewBits(architecture: AnyArchitecture, bits: 4 | 8): AnyArchitecture {
	const format: BlockFormat = { bits, blockSize };
	return {
		...architecture,
		parameters(config) {
			const layers = new Set(architecture.linearLayers(config).map((name) => `${name}.weight`));
			return architecture.parameters(config).map((spec) => (layers.has(spec.name) ? { ...spec, format } : spec));
		},
	};
}

/** The tensor as its spec wants it held. */
export function quantizeAs({ shape, format }: ParameterSpec, data: Float32Array): QuantizedMatrix | undefined {
	return format && quantizeBlocks(data, { ...format, shape: shape as [number, number] });
}

/** The model with its matrices rounded, one after the other: what they were is let go. */
export function roundModel<M extends WholeModel>(
	model: M,
	bits: 4 | 8,
): M & { quantized: Map<string, QuantizedMatrix> } {
	const architecture = inFewBits(model.architecture, bits);
	const quantized = new Map<string, QuantizedMatrix>();
	const parameters = new Map<string, Float32Array>();
	for (const spec of architecture.parameters(model.config)) {
		const data = model.parameters.get(spec.name) as Float32Array;
		const matrix = quantizeAs(spec, data);
		if (matrix) quantized.set(spec.name, matrix);
		else parameters.set(spec.name, data);
	}
	return { ...model, architecture, parameters, quantized };
}

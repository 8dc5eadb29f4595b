// A decoder as fast as the memory of this machine allows.

import { Decoder } from "../generate/decoder.ts";
import { type Model, sizeOf } from "../models/model.ts";
import { availableMemory } from "./machine.ts";

/** Of the free memory, what a faster copy of the matrices may take. */
const share = 0.5;

/** With its matrices packed where there is memory enough. Dispose of it when done. */
export async function decoderFor(model: Model, { threads }: { threads?: number | undefined }): Promise<Decoder> {
	const { architecture, config } = model;
	const table = architecture.outputTable(config);
	const packed = architecture
		.parameters(config)
		.filter(({ name, kind, format }) => (kind === "matrix" || name === table) && !format);
	const copy = packed.reduce((bytes, spec) => bytes + 4 * sizeOf(spec), 0);
	const pack = copy <= share * (await availableMemory());
	return Decoder.create(model, { pack, ...(threads !== undefined && { threads }) });
}

// Which parameters decay, and which learn more slowly: pure functions of a parameter's name or of its layer. Frozen
// parameters are in no group: they are never handed to the updater.

export type DecayExclusion = "biases" | "norms" | "embeddings";

/** Hugging Face names of GPT-2, LLaMA and their relatives, and of LoRA's adapters on them. */
const patterns = {
	biases: /(^|\.)bias$/,
	norms: /(^|\.)(ln_\w+|\w*norm\w*|lora_magnitude_vector)(\.weight)?$/,
	embeddings: /(^|\.)(wte|wpe|embed_tokens|embed_positions|lm_head)\.weight$/,
} as const satisfies Record<DecayExclusion, RegExp>;

export const decayExclusions = Object.keys(patterns) as readonly DecayExclusion[];

/**
 * Tells by name whether weight decay applies. By default matrices inside the blocks decay and nothing else, because
 * pulling gains, offsets and rare tokens towards 0 serves no one; torch.optim decays everything, which is `exclude: []`.
 */
export function decayPolicy({ exclude = decayExclusions }: { exclude?: readonly DecayExclusion[] } = {}) {
	return (parameter: string): boolean => !exclude.some((kind) => patterns[kind].test(parameter));
}

/**
 * Layer-wise learning-rate decay (Howard and Ruder, 2018, in the numbering of BEiT): the head learns at the full rate,
 * each block below it `decay` times slower. `layer`: block number from 0; -1 for embeddings; `layers` for final norm and head.
 */
export function layerLearningRateScale({
	layer,
	layers,
	decay,
}: {
	layer: number;
	layers: number;
	decay: number;
}): number {
	return decay ** (layers - layer);
}

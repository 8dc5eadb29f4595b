// The contract of a model family. A new one is a file that fulfils it and a row in architectures.ts; training graphs,
// generation, adapters, counting and initialisation work from it without knowing the family.

import type { Value } from "../graph/index.ts";
import type { BlockFormat } from "../nn/block-quantization.ts";
import type { ModelContext } from "../nn/context.ts";

export type ParameterKind = "embedding" | "position" | "matrix" | "bias" | "norm";

export interface ParameterSpec {
	/** The Hugging Face name, without the prefix of the language-model head's class. */
	readonly name: string;
	readonly shape: readonly number[];
	readonly kind: ParameterKind;
	/** Index of the block that owns it; -1 for embeddings, the number of blocks for what follows them. */
	readonly layer: number;
	/** Standard deviation of the normal distribution it starts from; or the constant it starts at. */
	readonly initial: { readonly deviation: number } | { readonly constant: number };
	/** Present when the tensor is held in few bits: it is then frozen. */
	readonly format?: BlockFormat;
	/**
	 * Present when it has no memory of its own: it is the rows of another parameter from `from` on. Graphs compute with
	 * that other one; this one is there to be trained and saved alone.
	 */
	readonly rowsOf?: { readonly parameter: string; readonly from: number };
}

/** The sizes every decoder has, whatever its family calls them. */
export interface ModelSizes {
	readonly layers: number;
	readonly heads: number;
	/** Heads of keys and values; smaller than `heads` under grouped queries. */
	readonly keyValueHeads: number;
	readonly channels: number;
	/** D */
	readonly headSize: number;
	/** Width of the feed-forward layer. */
	readonly feedForward: number;
	readonly vocabulary: number;
	/** Longest sequence, in tokens. */
	readonly context: number;
}

export interface Architecture<Config> {
	/** `model_type` in config.json. */
	readonly name: string;
	/** Reads config.json. Throws UserError naming the field that is missing or not supported. */
	parseConfig(json: unknown): Config;
	/** What config.json carries, in the form Hugging Face Transformers reads. */
	configJson(config: Config): Record<string, unknown>;
	sizes(config: Config): ModelSizes;
	/** The same model with another vocabulary size. */
	withVocabulary(config: Config, vocabulary: number): Config;
	/** Every trained tensor, in a stable order. */
	parameters(config: Config): readonly ParameterSpec[];
	/** The name in `parameters` for a name found in a file; undefined for a buffer that is not a parameter. */
	canonicalName(fileName: string): string | undefined;
	/** The name a parameter is saved under. */
	fileName(name: string): string;
	/** Linear layers that can carry an adapter, as module names ("h.0.attn.c_attn"). */
	linearLayers(config: Config): readonly string[];
	/** The name of the token embedding [V, C], which is also the output table when the head is tied. */
	readonly embedding: string;
	/** The output table [V, C]. */
	outputTable(config: Config): string;
	/**
	 * ids [B, T], positions [T] or [B, T]. Hidden states after the last block, before the last norm, of the rows that
	 * the context wants: [N, C].
	 */
	hiddenStates(context: ModelContext, config: Config, input: { ids: Value; positions: Value }): Value;
	/** The last norm: [N, C] to [N, C]. */
	finalNorm(context: ModelContext, config: Config, hidden: Value): Value;
}

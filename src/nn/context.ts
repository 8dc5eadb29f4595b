// What an architecture sees while it writes its graph. The caller decides how a weight arrives (fed, shared, quantized),
// whether a linear layer carries an adapter, and how attention remembers; the architecture only says what is computed.
// So training, evaluation and generation are the same few lines of model.

import type { Value } from "../graph/index.ts";

export interface ModelContext {
	/**
	 * A parameter by its Hugging Face name. One that is held in few bits is unpacked when `after` is there, so that the
	 * unpacked matrices of all layers do not stand in memory together.
	 */
	weight(name: string, after?: Value): Value;
	/** x [N, Cin] times the weight [Cin, Cout] called `${name}.weight`, plus `${name}.bias`: [N, Cout]. */
	linear(name: string, x: Value): Value;
	/** Rows of the table `name` [V, C]: ids of any shape to [..., C]. */
	embed(name: string, ids: Value): Value;
	/** Causal self-attention of one layer. qkv: [N, 3 C] (query, key, value side by side), N = B*T. Returns [N, C]. */
	attend(qkv: Value, layer: number): Value;
	/** Of x [N, C] the rows whose hidden states are wanted: nothing is computed for the others behind the last attention. */
	wanted(x: Value): Value;
	/** Zeroes elements at the rate (default: the model's) and scales the rest; the identity outside training. */
	dropout(x: Value, rate?: number): Value;
	/** One residual block, from [N, C] to [N, C]: what is computed inside may be computed again instead of kept. */
	block(build: () => Value): Value;
}

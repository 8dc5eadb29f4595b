// GPT-2 (Radford et al., 2019): pre-norm blocks, learned positions, GELU with the tanh approximation, tied head.
// Weight names are Hugging Face's; its "Conv1D" layers keep weights as [in, out].

import { z } from "zod";
import { add, fastGelu, layerNormalization, multiplyDims, reshape, type Value } from "../graph/index.ts";
import type { ModelContext } from "../nn/context.ts";
import { UserError } from "../util/errors.ts";
import type { Architecture, ParameterSpec } from "./architecture.ts";

const size = z
	.int()
	.positive()
	.max(1 << 24);
const configSchema = z.object({
	model_type: z.literal("gpt2").default("gpt2"),
	vocab_size: size.default(50257),
	n_positions: size.default(1024),
	n_embd: size.default(768),
	n_layer: size.default(12),
	n_head: size.default(12),
	n_inner: size.nullish(),
	activation_function: z.enum(["gelu_new", "gelu_pytorch_tanh"]).default("gelu_new"),
	layer_norm_epsilon: z.number().positive().default(1e-5),
	initializer_range: z.number().positive().default(0.02),
	tie_word_embeddings: z.literal(true).default(true),
	scale_attn_weights: z.literal(true).default(true),
	scale_attn_by_inverse_layer_idx: z.literal(false).default(false),
	add_cross_attention: z.literal(false).default(false),
});

/** The fields of config.json that the computation depends on, under their Hugging Face names. */
export type Gpt2Config = z.output<typeof configSchema>;

export const gpt2: Architecture<Gpt2Config> = {
	name: "gpt2",
	embedding: "wte.weight",
	outputTable: () => "wte.weight",

	parseConfig(json) {
		const result = configSchema.safeParse(json);
		if (!result.success) {
			const issue = result.error.issues[0];
			throw new UserError("MODEL_CONFIG", `config.json is not one of a GPT-2 that can be used: ${issue?.message}.`, {
				where: `config.json, field "${issue?.path.join(".")}"`,
			});
		}
		const config = result.data;
		if (config.n_embd % config.n_head !== 0) {
			throw new UserError("MODEL_CONFIG", "The channels of the model do not divide by its heads.", {
				where: 'config.json, fields "n_embd" and "n_head"',
				found: `${config.n_embd} channels, ${config.n_head} heads`,
			});
		}
		return config;
	},

	configJson(config) {
		return {
			...config,
			architectures: ["GPT2LMHeadModel"],
			n_ctx: config.n_positions,
			attn_pdrop: 0,
			embd_pdrop: 0,
			resid_pdrop: 0,
			torch_dtype: "float32",
		};
	},

	sizes: (config) => ({
		layers: config.n_layer,
		heads: config.n_head,
		keyValueHeads: config.n_head,
		channels: config.n_embd,
		headSize: config.n_embd / config.n_head,
		feedForward: config.n_inner ?? 4 * config.n_embd,
		vocabulary: config.vocab_size,
		context: config.n_positions,
	}),

	withVocabulary: (config, vocabulary) => ({ ...config, vocab_size: vocabulary }),

	parameters(config) {
		const { channels: c, feedForward, layers } = gpt2.sizes(config);
		const deviation = config.initializer_range;
		// Layers that add to the residual stream start smaller, by the root of their number.
		const residual = deviation / Math.sqrt(2 * layers);
		const specs: ParameterSpec[] = [
			{ name: "wte.weight", shape: [config.vocab_size, c], kind: "embedding", layer: -1, initial: { deviation } },
			{ name: "wpe.weight", shape: [config.n_positions, c], kind: "position", layer: -1, initial: { deviation } },
		];
		const norm = (name: string, layer: number) => {
			specs.push({ name: `${name}.weight`, shape: [c], kind: "norm", layer, initial: { constant: 1 } });
			specs.push({ name: `${name}.bias`, shape: [c], kind: "norm", layer, initial: { constant: 0 } });
		};
		const linear = (name: string, shape: [number, number], layer: number, spread = deviation) => {
			specs.push({ name: `${name}.weight`, shape, kind: "matrix", layer, initial: { deviation: spread } });
			specs.push({ name: `${name}.bias`, shape: [shape[1]], kind: "bias", layer, initial: { constant: 0 } });
		};
		for (let layer = 0; layer < layers; layer++) {
			norm(`h.${layer}.ln_1`, layer);
			linear(`h.${layer}.attn.c_attn`, [c, 3 * c], layer);
			linear(`h.${layer}.attn.c_proj`, [c, c], layer, residual);
			norm(`h.${layer}.ln_2`, layer);
			linear(`h.${layer}.mlp.c_fc`, [c, feedForward], layer);
			linear(`h.${layer}.mlp.c_proj`, [feedForward, c], layer, residual);
		}
		norm("ln_f", layers);
		return specs;
	},

	canonicalName(fileName) {
		const name = fileName.replace(/^transformer\./, "");
		// Causal masks kept as buffers by older versions, and the head, which is the embedding again.
		return /^h\.\d+\.attn\.(bias|masked_bias)$/.test(name) || name === "lm_head.weight" ? undefined : name;
	},
	fileName: (name) => `transformer.${name}`,

	linearLayers: (config) =>
		Array.from({ length: config.n_layer }, (_, layer) =>
			["attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"].map((module) => `h.${layer}.${module}`),
		).flat(),

	hiddenStates(context, config, { ids, positions }) {
		const embedded = add(context.embed("wte.weight", ids), context.embed("wpe.weight", positions)); // [B, T, C]
		let x = context.dropout(reshape(embedded, [multiplyDims(ids.shape), config.n_embd]));
		for (let layer = 0; layer < config.n_layer; layer++) {
			const input = x;
			x = context.block(() => block(context, config, { x: input, layer }));
		}
		return x;
	},

	finalNorm: (context, config, hidden) => norm(context, config, { name: "ln_f", x: hidden }),
};

function block(context: ModelContext, config: Gpt2Config, { x, layer }: { x: Value; layer: number }): Value {
	const name = `h.${layer}`;
	const qkv = context.linear(`${name}.attn.c_attn`, norm(context, config, { name: `${name}.ln_1`, x }));
	const kept = (rows: Value) => (layer === config.n_layer - 1 ? context.wanted(rows) : rows);
	const attended = context.linear(`${name}.attn.c_proj`, kept(context.attend(qkv, layer)));
	const middle = add(kept(x), context.dropout(attended));
	const wide = fastGelu(context.linear(`${name}.mlp.c_fc`, norm(context, config, { name: `${name}.ln_2`, x: middle })));
	return add(middle, context.dropout(context.linear(`${name}.mlp.c_proj`, wide)));
}

function norm(context: ModelContext, config: Gpt2Config, { name, x }: { name: string; x: Value }): Value {
	const bias = context.weight(`${name}.bias`);
	return layerNormalization(x, context.weight(`${name}.weight`), { bias, epsilon: config.layer_norm_epsilon });
}

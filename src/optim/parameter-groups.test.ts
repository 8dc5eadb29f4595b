import { expect, test } from "vitest";
import { decayPolicy, layerLearningRateScale } from "./parameter-groups.ts";

const blocks = [
	"transformer.h.0.attn.c_attn.weight",
	"h.11.mlp.c_proj.weight",
	"model.layers.3.self_attn.q_proj.weight",
];
const adapters = ["base_model.model.transformer.h.0.attn.c_attn.lora_A.weight", "h.0.mlp.c_fc.lora_B.weight"];
const biases = ["transformer.h.0.attn.c_attn.bias", "h.0.ln_1.bias"];
const norms = [
	"transformer.ln_f.weight",
	"h.0.ln_2.weight",
	"model.norm.weight",
	"model.layers.0.input_layernorm.weight",
];
const magnitudes = ["base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector"];
const embeddings = ["transformer.wte.weight", "wpe.weight", "model.embed_tokens.weight", "lm_head.weight"];

test("by default only the matrices of blocks and adapters decay", () => {
	const decays = decayPolicy();
	expect([...blocks, ...adapters].filter((name) => !decays(name))).toEqual([]);
	expect([...biases, ...norms, ...magnitudes, ...embeddings].filter(decays)).toEqual([]);
});

test("exclusions are chosen one by one, and none is torch's way", () => {
	const all = [...blocks, ...adapters, ...biases, ...norms, ...embeddings];
	expect(all.filter((name) => !decayPolicy({ exclude: [] })(name))).toEqual([]);
	expect(all.filter((name) => !decayPolicy({ exclude: ["biases"] })(name))).toEqual(biases);
	expect(all.filter((name) => !decayPolicy({ exclude: ["norms"] })(name))).toEqual(norms);
});

test("layers further from the head learn more slowly", () => {
	const scales = [-1, 0, 1, 2].map((layer) => layerLearningRateScale({ layer, layers: 2, decay: 0.5 }));
	expect(scales).toEqual([0.125, 0.25, 0.5, 1]);
	expect(layerLearningRateScale({ layer: 5, layers: 12, decay: 1 })).toBe(1);
});

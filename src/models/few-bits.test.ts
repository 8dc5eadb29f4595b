// A base in few bits computes what the same model would with the rounded weights in float32: loss and gradients.
import { expect, test } from "vitest";
import { dequantizeBlocks } from "../nn/block-quantization.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { Rng } from "../util/rng.ts";
import { adapterParameters, createAdapter } from "./adapter.ts";
import { roundModel } from "./few-bits.ts";
import type { Model } from "./model.ts";
import { difference, loadFixture } from "./testing/gpt2-fixture.ts";
import { runBatch } from "./testing/run-batch.ts";

test.each(
	([4, 8] as const).flatMap((bits) =>
		[false, true].flatMap((dora) => [false, true].map((recompute) => ({ bits, dora, recompute }))),
	),
)("%j", async ({ bits, dora, recompute }) => {
	const { architecture, config, parameters, expected } = await loadFixture("two-layers");
	const tokenizer = { size: 37 } as unknown as Tokenizer;
	const base: Model = {
		architecture,
		config,
		parameters,
		tokenizer,
		template: {} as Model["template"],
		firstNewToken: 37,
	};
	const held = roundModel(base, bits);
	expect([...held.quantized.keys()]).toEqual(architecture.linearLayers(config).map((name) => `${name}.weight`));
	const rounded = new Map(parameters);
	for (const [name, matrix] of held.quantized) rounded.set(name, dequantizeBlocks(matrix));
	const lora = { rank: 3, alpha: 6, targets: ["c_attn", "c_fc"], dropout: 0, rsLora: false, dora };
	const run = async (model: Model) => {
		const adapted = createAdapter(model, { ...lora, rng: new Rng(1) });
		const rng = new Rng(2);
		const names = [...adapterParameters(adapted)];
		for (const name of names.filter((name) => name.includes("lora_B")))
			adapted.parameters.get(name)?.forEach((_, i, data) => {
				data[i] = 0.1 * rng.normal();
			});
		const result = await runBatch({ ...adapted, expected }, { trainable: new Set(names), recompute, chunks: 2 });
		return { ...result, names };
	};
	const ours = await run(held);
	const twin = await run({ ...base, parameters: rounded });
	expect(Math.abs(ours.loss / twin.loss - 1)).toBeLessThan(1e-5);
	for (const name of ours.names) expect(difference(ours.gradient(name), twin.gradient(name)), name).toBeLessThan(1e-5);
	// Unpacked once a layer forwards, and once more where its gradient passes: never kept in between.
	const unpackings = ours.graph.nodes.filter(({ op }) => op === "DequantizeLinear");
	for (const { outputs } of unpackings) {
		const uses = ours.graph.nodes.filter(({ inputs }) => inputs.includes(outputs[0]));
		expect(uses.filter(({ op }) => op === "Gemm").length).toBeLessThanOrEqual(dora ? 2 : 1);
	}
});

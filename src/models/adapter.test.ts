// Adapters against PEFT (test/fixtures/peft/generate.py says where the tolerance comes from), and against themselves.

import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { openAdapter } from "../checkpoint/peft.ts";
import { openSafetensors } from "../checkpoint/safetensors.ts";
import { writeSafetensors } from "../checkpoint/safetensors-write.ts";
import { Decoder } from "../generate/decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { Rng } from "../util/rng.ts";
import { adapterParameters, allTargets, createAdapter, type LoraSettings, mergeAdapter } from "./adapter.ts";
import { readAdapter, saveAdapter } from "./adapter-files.ts";
import type { Model } from "./model.ts";
import { difference, loadFixture } from "./testing/gpt2-fixture.ts";
import { runBatch } from "./testing/run-batch.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures/peft");
const variants = ["lora", "rslora", "dora"] as const;
const temporary = await mkdtemp(join(tmpdir(), "attune-adapter-"));
afterAll(() => rm(temporary, { recursive: true, force: true }));

/** The base of the fixtures; the last `newTokens` of its tokens count as new. */
async function baseModel({ newTokens = 0 } = {}) {
	const { architecture, config, parameters, expected } = await loadFixture("two-layers");
	const { vocabulary } = architecture.sizes(config);
	const tokenizer = { size: vocabulary, files: () => ({}) } as unknown as Tokenizer;
	const template = { jinja: "" } as Model["template"];
	const model: Model = {
		architecture,
		config,
		parameters,
		tokenizer,
		template,
		firstNewToken: vocabulary - newTokens,
	};
	return { ...model, expected };
}

async function load(directory: string, options: { newTokens?: number } = {}) {
	const base = await baseModel(options);
	const opened = await openAdapter(directory);
	try {
		return { ...(await readAdapter(opened, base)), expected: base.expected };
	} finally {
		await opened.close();
	}
}

async function readAll(file: string): Promise<Map<string, Float32Array>> {
	const opened = await openSafetensors(file);
	const tensors = new Map<string, Float32Array>();
	for (const name of opened.tensors.keys()) tensors.set(name, (await opened.read(name)) as Float32Array);
	await opened.close();
	return tensors;
}

/** Logits at the labelled rows, by generation: [rows, V]. */
async function logitsOf(
	model: Awaited<ReturnType<typeof baseModel>> | Model,
	expected: { ids: number[][]; rows: number[] },
) {
	const decoder = await Decoder.create(model, { threads: 1 });
	const time = expected.ids[0]?.length as number;
	const all: number[] = [];
	for (const row of expected.rows) {
		const ids = expected.ids[Math.floor(row / time)]?.slice(0, (row % time) + 1) as number[];
		all.push(...(await decoder.continueFrom(ids)));
	}
	decoder.dispose();
	return Float32Array.from(all);
}

const settings: LoraSettings = {
	rank: 3,
	alpha: 6,
	targets: ["c_attn", "c_fc", "c_proj"],
	dropout: 0,
	rsLora: false,
	dora: false,
};

describe.each(variants)("%s", (variant) => {
	test("loss, logits and gradients equal PEFT's", async () => {
		const model = await load(join(fixtures, variant));
		const oracle = await readAll(join(fixtures, variant, "expected.safetensors"));
		const { loss: expected } = JSON.parse(await readFile(join(fixtures, variant, "expected.json"), "utf8"));
		const { loss, gradient } = await runBatch(model, { trainable: adapterParameters(model) });
		expect(Math.abs(loss / expected - 1)).toBeLessThan(1e-5);
		for (const name of adapterParameters(model)) {
			const theirs = oracle.get(`gradient.${model.architecture.fileName(name)}`) as Float32Array;
			expect(difference(gradient(name), theirs), name).toBeLessThan(1e-5);
		}
		const logits = await logitsOf(model, model.expected);
		expect(difference(logits, oracle.get("logits") as Float32Array)).toBeLessThan(1e-5);
	});

	test("recomputed in chunks it gives the same gradients", async () => {
		const model = await load(join(fixtures, variant));
		const trainable = adapterParameters(model);
		const plain = await runBatch(model, { trainable });
		const recomputed = await runBatch(model, { trainable, recompute: true, chunks: 3 });
		for (const name of trainable)
			expect(difference(recomputed.gradient(name), plain.gradient(name)), name).toBeLessThan(1e-5);
	});

	test("merged weights equal PEFT's, merged logits the unmerged", async () => {
		const model = await load(join(fixtures, variant));
		const before = await logitsOf(model, model.expected);
		const merged = await mergeAdapter(model);
		expect(difference(await logitsOf(merged, model.expected), before)).toBeLessThan(1e-5);
		const plain = merged.architecture.parameters(merged.config).map(({ name }) => name);
		expect(new Set(merged.parameters.keys())).toEqual(new Set(plain));
		const oracle = await readAll(join(fixtures, variant, "expected.safetensors"));
		const compared = [...oracle].filter(([name]) => name.startsWith("merged."));
		expect(compared.length).toBe(8);
		for (const [name, theirs] of compared) {
			const ours = merged.parameters.get(merged.architecture.canonicalName(name.slice(7)) as string);
			expect(difference(ours as Float32Array, theirs), name).toBeLessThan(1e-5);
		}
	});

	test("saved and read again it is the same, to the byte", async () => {
		const model = await load(join(fixtures, variant));
		const path = join(temporary, variant);
		await saveAdapter(path, model, { base: { name: "gpt2/two-layers" } });
		const original = await readFile(join(fixtures, variant, "adapter_model.safetensors"));
		expect((await readFile(join(path, "adapter_model.safetensors"))).equals(original)).toBe(true);
		const again = await load(path);
		expect(again.adapter).toEqual(model.adapter);
	});

	test("a new adapter changes nothing, and starts as PEFT's does", async () => {
		const base = await baseModel();
		const dora = variant === "dora";
		const model = createAdapter(base, { ...settings, dora, rsLora: variant === "rslora", rng: new Rng(1) });
		const logits = await logitsOf(base, base.expected);
		expect(difference(await logitsOf(model, base.expected), logits)).toBeLessThan(dora ? 1e-6 : 1e-12);
		const a = model.parameters.get("h.0.attn.c_attn.lora_A.weight") as Float32Array;
		const bound = 1 / Math.sqrt(20);
		expect(a.every((value) => Math.abs(value) <= bound)).toBe(true);
		expect(Math.max(...a)).toBeGreaterThan(0.9 * bound);
		expect(Math.min(...a)).toBeLessThan(-0.9 * bound);
		const other = createAdapter(base, { ...settings, rng: new Rng(1) });
		expect(other.parameters.get("h.1.mlp.c_fc.lora_A.weight")).toEqual(
			model.parameters.get("h.1.mlp.c_fc.lora_A.weight"),
		);
	});
});

describe("what is computed", () => {
	test("nothing for frozen weights: gradients of the adapter alone, and fewer nodes than for all", async () => {
		const base = await baseModel();
		const model = createAdapter(base, { ...settings, rng: new Rng(1) });
		const { graph, trained } = await runBatch(
			{ ...model, expected: base.expected },
			{ trainable: adapterParameters(model) },
		);
		expect([...graph.outputs.keys()]).toEqual(["loss", ...trained.map((name) => `gradient.${name}`)]);
		expect(trained.length).toBe(16);
		// A product for each frozen matrix forwards, one backwards but for the first, whose input nothing needs.
		const wide = graph.nodes.filter(
			({ op, inputs }) => op === "Gemm" && inputs.some((input) => input?.name.endsWith("c_fc.weight")),
		);
		expect(wide.length).toBe(4);
		const first = graph.nodes.filter(
			({ op, inputs }) => op === "Gemm" && inputs.some((input) => input?.name === "h.0.attn.c_attn.weight"),
		);
		expect(first.length).toBe(1);
	});

	test("frozen lower layers end the backward pass where they begin", async () => {
		const base = await baseModel();
		const names = base.architecture.parameters(base.config).map(({ name }) => name);
		const nodes = async (frozen: string[]) => {
			const trainable = new Set(names.filter((name) => !frozen.some((prefix) => name.startsWith(prefix))));
			const { graph } = await runBatch(base, { trainable });
			return graph.nodes.length;
		};
		const forward = (await runBatch(base, { trainable: new Set() })).graph.nodes.length;
		const all = await nodes([]);
		const upper = await nodes(["wte", "wpe", "h.0"]);
		const last = await nodes(["wte", "wpe", "h."]);
		// Of the two blocks one is differentiated, then none.
		expect(upper - forward).toBeLessThan(0.6 * (all - forward));
		expect(last - forward).toBeLessThan(0.2 * (all - forward));
	});

	test("only the layers that are named carry an adapter", async () => {
		const base = await baseModel();
		expect(allTargets(base)).toEqual(["c_attn", "c_fc", "c_proj"]);
		const model = createAdapter(base, { ...settings, targets: ["attn.c_proj", "h.1.mlp.c_fc"], rng: new Rng(1) });
		expect([...adapterParameters(model)]).toEqual(
			["h.0.attn.c_proj", "h.1.attn.c_proj", "h.1.mlp.c_fc"].flatMap((name) => [
				`${name}.lora_A.weight`,
				`${name}.lora_B.weight`,
			]),
		);
		const wrong = () => createAdapter(base, { ...settings, targets: ["c_atn"], rng: new Rng(1) });
		expect(wrong).toThrow(expect.objectContaining({ code: "LORA_TARGET_UNKNOWN", hint: "Did you mean c_attn?" }));
	});

	test("dropout before A is reproducible, and off in evaluation", async () => {
		const base = await baseModel();
		const model = createAdapter(base, { ...settings, dropout: 0.5, rng: new Rng(1) });
		const { trainingGraph } = await import("./training-graph.ts");
		const options = { trainable: adapterParameters(model), chunks: 1 };
		const { dropoutMasks } = trainingGraph(model.architecture, model.config, options);
		expect(dropoutMasks.map(({ rate }) => rate)).toEqual(Array(8).fill(0.5));
		const evaluation = trainingGraph(model.architecture, model.config, { trainable: new Set(), chunks: 1 });
		expect(evaluation.dropoutMasks).toEqual([]);
	});
});

describe("rows of new tokens", () => {
	test.each([{ chunks: 1 }, { chunks: 3 }, { chunks: 2, labelSmoothing: 0.1 }, { chunks: 1, accumulate: true }])(
		"their gradient is that of the same rows of the whole table: %j",
		async (options) => {
			const base = await baseModel({ newTokens: 20 });
			const model = createAdapter(base, { ...settings, rng: new Rng(1) });
			const rows = "wte.token_adapter.trainable_tokens_delta";
			expect(adapterParameters(model)).toContain(rows);
			const ours = await runBatch(
				{ ...model, expected: base.expected },
				{ ...options, trainable: adapterParameters(model) },
			);
			const whole = await runBatch(base, { ...options, trainable: new Set(["wte.weight"]) });
			const expected = whole.gradient("wte.weight").subarray(17 * 20);
			expect(ours.gradient(rows).length).toBe(20 * 20);
			expect(difference(ours.gradient(rows), expected)).toBeLessThan(1e-5);
			// All of them and none of the others: the batch has old and new tokens, as inputs and as labels.
			const ids = [...base.expected.ids.flat(), ...base.expected.targets];
			expect(ids.some((id) => id < 17) && ids.some((id) => id >= 17)).toBe(true);
		},
	);

	test("PEFT's own, saved with the resized embedding and the tied head, are read", async () => {
		const model = await load(join(fixtures, "tokens"));
		expect(model.architecture.sizes(model.config).vocabulary).toBe(40);
		const oracle = await readAll(join(fixtures, "tokens", "expected.safetensors"));
		const logits = await logitsOf(model, model.expected);
		expect(difference(logits, oracle.get("logits") as Float32Array)).toBeLessThan(1e-5);
		const merged = await logitsOf(await mergeAdapter(model), model.expected);
		expect(difference(merged, logits)).toBeLessThan(1e-5);
	});

	test("they are the table's own memory, and saved and read with the adapter", async () => {
		const base = await baseModel({ newTokens: 2 });
		const model = createAdapter(base, { ...settings, rng: new Rng(1) });
		const rows = model.parameters.get("wte.token_adapter.trainable_tokens_delta") as Float32Array;
		rows.fill(0.25);
		expect((base.parameters.get("wte.weight") as Float32Array).subarray(35 * 20)).toEqual(
			new Float32Array(40).fill(0.25),
		);
		const path = join(temporary, "tokens");
		await saveAdapter(path, model, { base: { name: "base" } });
		const saved = JSON.parse(await readFile(join(path, "adapter_config.json"), "utf8"));
		expect(saved.trainable_token_indices).toEqual([35, 36]);
		const again = await load(path, { newTokens: 2 });
		const table = again.parameters.get("wte.weight") as Float32Array;
		expect(table.subarray(35 * 20)).toEqual(new Float32Array(40).fill(0.25));
		expect(table.subarray(0, 35 * 20)).toEqual((await baseModel()).parameters.get("wte.weight")?.subarray(0, 35 * 20));
	});
});

describe("adapters that do not fit", () => {
	async function changed(config: Record<string, unknown>, tensors?: Parameters<typeof writeSafetensors>[1]) {
		const path = await mkdtemp(join(temporary, "changed-"));
		await cp(join(fixtures, "lora"), path, { recursive: true });
		const json = JSON.parse(await readFile(join(path, "adapter_config.json"), "utf8"));
		await writeFile(join(path, "adapter_config.json"), JSON.stringify({ ...json, ...config }));
		if (tensors) await writeSafetensors(join(path, "adapter_model.safetensors"), tensors);
		return load(path);
	}
	const prefix = "base_model.model.transformer.h.0.attn.c_attn";
	const zeros = (name: string, shape: number[]) => ({
		name,
		shape,
		data: new Float32Array(shape.reduce((x, y) => x * y)),
	});

	test.each<[string, Record<string, unknown>]>([
		["peft_type", { peft_type: "PREFIX_TUNING" }],
		["rank_pattern", { rank_pattern: { c_attn: 8 } }],
		["lora_bias", { lora_bias: true }],
		["bias", { bias: "all" }],
		["init_lora_weights", { init_lora_weights: "pissa" }],
		["base_model_name_or_path", { base_model_name_or_path: null }],
		["r", { r: 0 }],
	])("a field that is not supported is named: %s", async (field, config) => {
		await expect(changed(config)).rejects.toMatchObject({
			code: "ADAPTER_UNSUPPORTED",
			where: expect.stringContaining(`"${field}"`),
		});
	});

	test.each<[string, string, Parameters<typeof writeSafetensors>[1]]>([
		[
			"ADAPTER_MISMATCH",
			"another rank",
			[zeros(`${prefix}.lora_A.weight`, [5, 20]), zeros(`${prefix}.lora_B.weight`, [60, 5])],
		],
		["ADAPTER_MISMATCH", "a wider model", [zeros(`${prefix}.lora_A.weight`, [4, 24])]],
		["ADAPTER_MISMATCH", "half of a layer", [zeros(`${prefix}.lora_A.weight`, [4, 20])]],
		["ADAPTER_MISMATCH", "nothing", []],
		["ADAPTER_UNSUPPORTED", "more layers", [zeros(prefix.replace("h.0", "h.7").concat(".lora_A.weight"), [4, 20])]],
		["ADAPTER_UNSUPPORTED", "an untied head", [zeros("base_model.model.lm_head.weight", [37, 20])]],
		["ADAPTER_UNSUPPORTED", "a vector of lengths without DoRA", [zeros(`${prefix}.lora_magnitude_vector`, [60])]],
	])("%s: %s", async (code, _, tensors) => {
		await expect(changed({}, tensors)).rejects.toMatchObject({ code });
	});

	test("whole tensors of the base are replaced", async () => {
		const bias = { name: "base_model.model.transformer.ln_f.bias", shape: [20], data: new Float32Array(20).fill(3) };
		const model = await changed({}, [
			bias,
			zeros(`${prefix}.lora_A.weight`, [4, 20]),
			zeros(`${prefix}.lora_B.weight`, [60, 4]),
		]);
		expect(model.parameters.get("ln_f.bias")).toEqual(bias.data);
	});
});

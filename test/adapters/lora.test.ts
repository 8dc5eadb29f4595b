// Runs that train an adapter, from the recipe to the files: what is saved, that it was trained, that it is found again
// with its base, that merging changes nothing, and that roles the base lacked are learnt.
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { openSafetensors } from "../../src/checkpoint/safetensors.ts";
import { Decoder } from "../../src/generate/decoder.ts";
import { adapterParameters, createAdapter } from "../../src/models/adapter.ts";
import { architectureFor } from "../../src/models/architectures.ts";
import { loadModel } from "../../src/models/load-model.ts";
import { createModel, type Model, saveModel } from "../../src/models/model.ts";
import { difference } from "../../src/models/testing/gpt2-fixture.ts";
import { ParameterUpdater } from "../../src/optim/parameter-updater.ts";
import { export as exportModel } from "../../src/recipes/export.ts";
import { finetune } from "../../src/recipes/finetune.ts";
import { loadReferencedModel } from "../../src/recipes/model-reference.ts";
import { trainCharacters } from "../../src/tokenizer/train-characters.ts";
import { TrainingEngine } from "../../src/train/engine.ts";
import { Rng } from "../../src/util/rng.ts";
import { dialoguesFile, eventsOf, ofType, quick, sha256, temporary, tinyModelDirectory } from "../support/tiny.ts";

let base: string;
let data: string;
beforeAll(async () => {
	base = await tinyModelDirectory();
	data = dialoguesFile();
});

type Options = Partial<Parameters<typeof finetune>[0]>;

async function train(options: Options = {}): Promise<string> {
	const output = join(temporary(), "run");
	await eventsOf(finetune({ ...quick, model: base, data: [data], output, lora: true, ...options }));
	return output;
}

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
	const opened = await openSafetensors(file);
	const tensors = new Map<string, Float32Array>();
	for (const name of opened.tensors.keys()) tensors.set(name, (await opened.read(name)) as Float32Array);
	await opened.close();
	return tensors;
}

async function logitsOf(model: Model, text = "Do you sell tea?"): Promise<Float32Array> {
	const decoder = await Decoder.create(model, { threads: 1 });
	const { ids } = model.template.render([{ role: "user", content: text }], { addGenerationPrompt: true });
	const logits = (await decoder.feed(ids)).slice();
	decoder.dispose();
	return logits;
}

const adapterFile = (run: string) => join(run, "model", "adapter_model.safetensors");
const jsonOf = (file: string) => JSON.parse(readFileSync(file, "utf8"));

describe.each<[string, Options]>([
	["LoRA", {}],
	["rsLoRA, two targets", { loraRs: true, loraTargets: ["c_attn", "mlp.c_proj"], loraRank: 4, loraAlpha: 4 }],
	["DoRA, dropout", { loraDora: true, loraDropout: 0.1 }],
])("%s", (_, options) => {
	let run: string;
	beforeAll(async () => {
		run = await train(options);
	});

	test("the result is the adapter, named after its base, and differs from the start", async () => {
		expect(readdirSync(join(run, "model")).sort()).toEqual([
			"README.md",
			"adapter_config.json",
			"adapter_model.safetensors",
			"tokenizer.json",
			"tokenizer_config.json",
		]);
		const config = jsonOf(join(run, "model", "adapter_config.json"));
		expect(config).toMatchObject({
			base_model_name_or_path: base,
			r: options.loraRank ?? 8,
			lora_alpha: options.loraAlpha ?? 16,
			use_rslora: options.loraRs ?? false,
			use_dora: options.loraDora ?? false,
			target_modules: options.loraTargets ?? ["c_attn", "c_fc", "c_proj"],
			trainable_token_indices: null,
		});
		const tensors = await tensorsOf(adapterFile(run));
		const factors = [...tensors].filter(([name]) => name.endsWith("lora_B.weight"));
		expect(factors.length).toBe((options.loraTargets ? 2 : 4) * 2);
		for (const [name, values] of factors)
			expect(
				values.some((value) => value !== 0),
				name,
			).toBe(true);
		const after = await logitsOf(await loadReferencedModel(run));
		expect(difference(after, await logitsOf(await loadModel(base)))).toBeGreaterThan(0.01);
	});

	test("checkpoints hold adapter and optimizer alone", async () => {
		const [checkpoint] = readdirSync(join(run, "checkpoints")).map((name) => join(run, "checkpoints", name));
		expect(readdirSync(checkpoint as string).sort()).toEqual([
			"adapter_config.json",
			"adapter_model.safetensors",
			"optimizer.safetensors",
			"state.json",
		]);
		const trained = await tensorsOf(join(checkpoint as string, "adapter_model.safetensors"));
		const states = await tensorsOf(join(checkpoint as string, "optimizer.safetensors"));
		expect(states.size).toBe(2 * trained.size);
		expect([...trained.keys()].every((name) => name.includes(".lora_"))).toBe(true);
		const { parameters } = jsonOf(join(run, "manifest.json"));
		expect(parameters.trained).toBe([...trained.values()].reduce((sum, { length }) => sum + length, 0));
	});

	test("the best checkpoint's adapter is the result's, and its config loads it by itself", async () => {
		const names = readdirSync(join(run, "checkpoints"));
		const hashes = names.map((name) => sha256(join(run, "checkpoints", name, "adapter_model.safetensors")));
		expect(hashes).toContain(sha256(adapterFile(run)));
		const same = names[hashes.indexOf(sha256(adapterFile(run)))] as string;
		const loaded = await logitsOf(await loadModel(join(run, "checkpoints", same)));
		expect(difference(loaded, await logitsOf(await loadModel(run)))).toBe(0);
	});

	test("exported and merged it computes the same, without its base", async () => {
		const output = join(temporary(), "merged");
		const [written] = ofType(await eventsOf(exportModel({ directory: run, merge: true, output })), "file-written");
		expect(written?.path).toBe(join(output, "model.safetensors"));
		const merged = await logitsOf(await loadModel(output));
		expect(difference(merged, await logitsOf(await loadReferencedModel(run)))).toBeLessThan(1e-6);
		const names = [...(await tensorsOf(join(output, "model.safetensors"))).keys()];
		expect(names.some((name) => name.includes("lora"))).toBe(false);
	});

	test("the same seed gives the same bytes", async () => {
		expect(sha256(adapterFile(await train(options)))).toBe(sha256(adapterFile(run)));
	});
});

test("interrupted after two steps and resumed, it ends with the same bytes", async () => {
	const whole = await train({ loraDropout: 0.2, saveSteps: 1 });
	const output = join(temporary(), "run");
	const controller = new AbortController();
	const options = { ...quick, model: base, data: [data], output, lora: true, loraDropout: 0.2, saveSteps: 1 };
	for await (const event of finetune(options, { signal: controller.signal })) {
		if (event.type === "step-done" && event.step === 2) controller.abort();
	}
	expect(existsSync(join(output, "model"))).toBe(false);
	await eventsOf(finetune({ resume: output }));
	expect(sha256(adapterFile(output))).toBe(sha256(adapterFile(whole)));
});

describe("roles that the base lacks", () => {
	/** A base as from the hub: no chat template, no role tokens. */
	async function plainBase(): Promise<string> {
		const tokenizer = trainCharacters([String.fromCharCode(10, ...Array.from({ length: 95 }, (_, i) => 32 + i))]);
		const architecture = architectureFor({ model_type: "gpt2" });
		const sizes = { vocab_size: tokenizer.size, n_positions: 64, n_embd: 32, n_layer: 2, n_head: 2 };
		const config = architecture.parseConfig({ model_type: "gpt2", ...sizes });
		const grown = createModel(architecture, { config, tokenizer, rng: new Rng(3) });
		const rows = tokenizer.size * sizes.n_embd;
		const table = (grown.parameters.get("wte.weight") as Float32Array).subarray(0, rows);
		const path = join(temporary(), "plain");
		const parameters = new Map([...grown.parameters, ["wte.weight", table]]);
		await saveModel(path, { ...grown, config, tokenizer, parameters });
		const settings = jsonOf(join(path, "tokenizer_config.json"));
		const { chat_template: _, ...rest } = settings;
		writeFileSync(join(path, "tokenizer_config.json"), JSON.stringify(rest));
		return path;
	}
	test("their rows are trained, saved, and found again under LoRA with a tied embedding", async () => {
		const model = await plainBase();
		const run = await train({ model, steps: 12 });
		const indices = jsonOf(join(run, "model", "adapter_config.json")).trainable_token_indices;
		const before = await loadModel(model);
		expect(indices).toEqual([0, 1, 2, 3].map((i) => before.firstNewToken + i));
		const name = "base_model.model.transformer.wte.token_adapter.trainable_tokens_delta";
		const rows = (await tensorsOf(adapterFile(run))).get(name) as Float32Array;
		const after = await loadModel(run);
		const table = (loaded: Model) => loaded.parameters.get("wte.weight") as Float32Array;
		const from = before.firstNewToken * 32;
		expect(table(after).subarray(from)).toEqual(rows);
		expect(table(after).subarray(0, from)).toEqual(table(before).subarray(0, from));
		const user = (before.tokenizer.tokenId("<user>") as number) - before.firstNewToken;
		const start = table(before).subarray(from + user * 32, from + (user + 1) * 32);
		expect(difference(rows.subarray(user * 32, (user + 1) * 32), start)).toBeGreaterThan(0.01);
		expect(after.tokenizer.tokenId("<bot>")).toBe(before.tokenizer.tokenId("<bot>"));
	});

	test("a new token that is a label is written, though the embedding is tied and frozen", async () => {
		const loaded = await loadModel(await plainBase());
		const settings = {
			rank: 8,
			alpha: 16,
			targets: ["c_attn", "c_fc", "c_proj"],
			dropout: 0,
			rsLora: false,
			dora: false,
		};
		const model = createAdapter(loaded, { ...settings, rng: new Rng(1) });
		const role = model.tokenizer.tokenId("<bot>") as number;
		// Eight texts after each of which comes the role, whatever they say.
		const texts = Array.from({ length: 8 }, (_, i) => model.tokenizer.encode(`text ${i}, ${"abcdefgh"[i]}`));
		const time = texts[0]?.length as number;
		const batch = {
			batch: 8,
			time,
			lengths: new Int32Array(8).fill(time),
			tokens: 8 * time,
			ids: Int32Array.from(texts.flat()),
			rows: Int32Array.from(texts, (_, b) => b * time + time - 1),
			labels: new Int32Array(8).fill(role),
		};
		const { architecture, config, parameters } = model;
		const trainable = adapterParameters(model);
		const engine = await TrainingEngine.create({ architecture, config, parameters, trainable, maxRows: 8, threads: 1 });
		const trained = [...engine.gradients].map(([name, gradient]) => ({
			name,
			gradient,
			data: parameters.get(name) as Float32Array,
			decay: false,
		}));
		const updater = await ParameterUpdater.create(trained, { optimizer: "adamw", threads: 1 });
		const likeliest = async (text: string) => {
			const decoder = await Decoder.create(model, { threads: 1 });
			const logits = await decoder.feed(model.tokenizer.encode(text));
			decoder.dispose();
			return logits.indexOf(Math.max(...logits));
		};
		expect(await likeliest("text 9, z")).not.toBe(role);
		for (let step = 0; step < 30; step++) {
			engine.beginStep();
			await engine.microStep(batch, { tokenWeight: 1 / 8 });
			await updater.step({ learningRate: 1e-2 });
		}
		expect(await likeliest("text 9, z")).toBe(role);
		updater.dispose();
		await engine.dispose();
	});

	test("they are trained when all else is frozen by name, too", async () => {
		const model = await plainBase();
		const run = await train({ model, lora: false, freeze: ["w", "h.", "ln_f"], learningRate: 1e-2 });
		const before = await loadModel(model);
		const after = await loadModel(run);
		for (const [name, values] of after.parameters) {
			if (name !== "wte.weight") expect(values, name).toEqual(before.parameters.get(name));
		}
		const rows = (loaded: Model) => loaded.parameters.get("wte.weight")?.subarray(before.firstNewToken * 32);
		const table = (loaded: Model) => loaded.parameters.get("wte.weight")?.subarray(0, before.firstNewToken * 32);
		expect(table(after)).toEqual(table(before));
		expect(difference(rows(after) as Float32Array, rows(before) as Float32Array)).toBeGreaterThan(0.01);
		expect(jsonOf(join(run, "manifest.json")).parameters.trained).toBe(4 * 32);
	});
});

describe("where the base is", () => {
	test("an adapter upon an adapter is loaded with both and its base", async () => {
		const first = await train();
		const second = await train({ model: first });
		expect(jsonOf(join(second, "model", "adapter_config.json")).base_model_name_or_path).toBe(join(first, "model"));
		const [a, b, c] = await Promise.all(
			[base, first, second].map(async (path) => logitsOf(await loadReferencedModel(path))),
		);
		expect(difference(b as Float32Array, a as Float32Array)).toBeGreaterThan(0.01);
		expect(difference(c as Float32Array, b as Float32Array)).toBeGreaterThan(0.01);
		const hashed = jsonOf(join(second, "manifest.json")).base.files.map(({ path }: { path: string }) => path);
		expect(hashed).toContain(join(first, "model", "adapter_model.safetensors"));
		expect(hashed).toContain(join(base, "model.safetensors"));
	});

	test("a base that has gone is named, with the field to mend", async () => {
		const moved = join(temporary(), "moved");
		cpSync(base, moved, { recursive: true });
		const run = await train({ model: moved });
		renameSync(moved, `${moved}-away`);
		await expect(loadReferencedModel(run)).rejects.toMatchObject({
			code: "ADAPTER_BASE",
			found: moved,
			where: expect.stringContaining("base_model_name_or_path"),
		});
	});

	test("a base of another width does not fit", async () => {
		const run = await train();
		const other = await tinyModelDirectory({ channels: 24 });
		const file = join(run, "model", "adapter_config.json");
		writeFileSync(file, JSON.stringify({ ...jsonOf(file), base_model_name_or_path: other }));
		await expect(loadReferencedModel(run)).rejects.toMatchObject({ code: "ADAPTER_MISMATCH" });
	});
});

describe("export", () => {
	test("a model in another number format, and an adapter, keep their tensors", async () => {
		const half = join(temporary(), "half");
		await eventsOf(exportModel({ directory: base, output: half, dtype: "BF16" }));
		expect(jsonOf(join(half, "config.json")).torch_dtype).toBe("bfloat16");
		const model = await tensorsOf(join(half, "model.safetensors"));
		for (const [name, values] of await tensorsOf(join(base, "model.safetensors")))
			values.forEach((value, i) => {
				expect(Math.abs((model.get(name)?.[i] as number) - value)).toBeLessThanOrEqual(2 ** -8 * Math.abs(value));
			});
		expect((await loadModel(half)).tokenizer.size).toBe((await loadModel(base)).tokenizer.size);
		const run = await train();
		const copy = join(temporary(), "copy");
		await eventsOf(exportModel({ directory: run, output: copy }));
		expect(readFileSync(join(copy, "adapter_config.json"))).toEqual(
			readFileSync(join(run, "model", "adapter_config.json")),
		);
		expect(sha256(join(copy, "adapter_model.safetensors"))).toBe(sha256(adapterFile(run)));
	});

	test("what is there is kept unless it is a model and to be replaced", async () => {
		const output = join(temporary(), "there");
		const write = (options: object = {}) => eventsOf(exportModel({ directory: base, output, ...options }));
		await write();
		await expect(write()).rejects.toMatchObject({ code: "OUTPUT_EXISTS" });
		await write({ overwrite: true, dtype: "F16" });
		expect(jsonOf(join(output, "config.json")).torch_dtype).toBe("float16");
		writeFileSync(join(output, "thesis.tex"), "");
		await expect(write({ overwrite: true })).rejects.toMatchObject({ code: "OUTPUT_NOT_A_MODEL" });
		expect(existsSync(join(output, "model.safetensors"))).toBe(true);
		await expect(eventsOf(exportModel({ directory: base, output: `${output}-2`, merge: true }))).rejects.toMatchObject({
			code: "NOT_AN_ADAPTER",
		});
	});
});

describe("a base in few bits", () => {
	test.each<["4" | "8", number]>([
		["8", 0.02],
		["4", 0.3],
	])("%s bits: it trains, and the adapter loads on the whole base", async (baseBits, tolerance) => {
		const whole = await loadModel(base);
		const few = await loadModel(base, { bits: Number(baseBits) as 4 | 8 });
		expect(few.quantized?.size).toBe(8);
		expect(difference(await logitsOf(few), await logitsOf(whole))).toBeLessThan(tolerance);
		const run = await train({ baseBits });
		const after = await logitsOf(await loadReferencedModel(run));
		expect(difference(after, await logitsOf(whole))).toBeGreaterThan(0.01);
	});
});

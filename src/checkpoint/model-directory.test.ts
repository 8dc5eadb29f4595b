// Model directories: written and read, in one file or in shards, and everything that is no model.
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openModelDirectory, writeModelDirectory } from "./model-directory.ts";
import { writeSafetensors } from "./safetensors-write.ts";
import { openWeights } from "./weights.ts";

let root: string;
let path: string;
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "attune-model-"));
	path = join(root, "model");
});
afterEach(() => rm(root, { recursive: true, force: true }));

const tensor = (name: string, ...values: number[]) => ({
	name,
	shape: [values.length],
	data: new Float32Array(values),
});
const content = {
	files: { "config.json": { model_type: "gpt2", n_layer: 2 }, "tokenizer.json": '{"a": 1}', "merges.txt": "a b\n" },
	weights: [tensor("wte.weight", 1, 2, 3)],
};

describe("one file", () => {
	test("is written and read back", async () => {
		await writeModelDirectory(path, content);
		const model = await openModelDirectory(path);
		expect(model.config).toEqual({ model_type: "gpt2", n_layer: 2 });
		expect(await model.readJson("tokenizer.json")).toEqual({ a: 1 });
		expect(await model.readText("merges.txt")).toBe("a b\n");
		expect(await model.readText("vocab.json")).toBeUndefined();
		expect(await model.weights.read("wte.weight")).toEqual(new Float32Array([1, 2, 3]));
		expect(model.weights.metadata).toEqual({ format: "pt" });
		await model.close();
	});

	test("is replaced as a whole: no file of the old one stays", async () => {
		await writeModelDirectory(path, { ...content, files: { ...content.files, "chat_template.jinja": "old" } });
		await mkdir(join(root, ".model.999999999-0.partial"));
		await writeModelDirectory(path, { ...content, weights: [tensor("wte.weight", 4)] });
		expect((await readdir(path)).sort()).toEqual(["config.json", "merges.txt", "model.safetensors", "tokenizer.json"]);
		expect(await readdir(root)).toEqual(["model"]);
	});

	test("is read through its run directory", async () => {
		await writeModelDirectory(path, content);
		await writeFile(join(root, "manifest.json"), "{}");
		const model = await openModelDirectory(root);
		expect(model.path).toBe(path);
		await model.close();
	});
});

describe("shards", () => {
	const map = {
		a: "model-00001-of-00002.safetensors",
		b: "model-00002-of-00002.safetensors",
		c: "model-00002-of-00002.safetensors",
	};
	const index = (value: unknown) =>
		writeFile(join(path, "model.safetensors.index.json"), typeof value === "string" ? value : JSON.stringify(value));
	beforeEach(async () => {
		await mkdir(path);
		await writeSafetensors(join(path, map.a), [tensor("a", 1)]);
		await writeSafetensors(join(path, map.b), [tensor("b", 2), tensor("c", 3, 4)]);
		await index({ metadata: { total_size: 16 }, weight_map: map });
	});

	test("read as one", async () => {
		const weights = await openWeights(path);
		expect([...weights.tensors.keys()].sort()).toEqual(["a", "b", "c"]);
		expect(await weights.read("a")).toEqual(new Float32Array([1]));
		const target = new Float32Array(2);
		await weights.readInto("c", target);
		expect(target).toEqual(new Float32Array([3, 4]));
		await expect(weights.read("d")).rejects.toMatchObject({ code: "TENSOR_MISSING" });
		await weights.close();
	});

	test.each([
		["not JSON", "{", "WEIGHTS_INDEX", /not JSON/],
		["no map", {}, "WEIGHTS_INDEX", /weight_map/],
		["null", "null", "WEIGHTS_INDEX", /weight_map/],
		["a number for a file", { weight_map: { a: 1 } }, "WEIGHTS_INDEX", /tensor a/],
		["a tensor that is elsewhere", { weight_map: { ...map, a: map.b } }, "WEIGHTS_INDEX", /Tensor a is not in/],
		["a tensor that is nowhere", { weight_map: { ...map, d: map.b } }, "WEIGHTS_INDEX", /Tensor d/],
		["a missing shard", { weight_map: { ...map, d: "model-00003-of-00003.safetensors" } }, "FILE_NOT_FOUND", /00003/],
		["a way out", { weight_map: { a: "../a.safetensors" } }, "PATH_OUTSIDE", /leads out/],
		["a pickle", { weight_map: { a: "pytorch_model-00001-of-00002.bin" } }, "MODEL_IS_PICKLE", /pickle/],
	])("an index with %s", async (_, value, code, says) => {
		await index(value);
		await expect(openWeights(path)).rejects.toMatchObject({ code, message: expect.stringMatching(says) });
	});

	test("a tensor in two shards is refused", async () => {
		await writeSafetensors(join(path, map.a), [tensor("a", 1), tensor("b", 9)]);
		await expect(openWeights(path)).rejects.toMatchObject({ code: "WEIGHTS_INDEX" });
	});

	test("a shard that is a link out of the directory is refused, one that stays inside is not", async () => {
		const outside = join(root, "outside.safetensors");
		await copyFile(join(path, map.a), outside);
		await rm(join(path, map.a));
		await symlink(outside, join(path, map.a));
		await expect(openWeights(path)).rejects.toMatchObject({ code: "PATH_OUTSIDE" });
		await rm(join(path, map.a));
		await copyFile(outside, join(path, "inside.safetensors"));
		await symlink("inside.safetensors", join(path, map.a));
		await (await openWeights(path)).close();
	});
});

describe("what is no model", () => {
	test.each([
		["an empty directory", {}, "NOT_A_MODEL", /empty directory/],
		["something else", { "notes.txt": "x" }, "NOT_A_MODEL", /notes\.txt/],
		["a config alone", { "config.json": "{}" }, "NOT_A_MODEL", /config\.json/],
		["a pickle", { "config.json": "{}", "pytorch_model.bin": "x" }, "MODEL_IS_PICKLE", undefined],
		["a pickle alone", { "model.pt": "x" }, "MODEL_IS_PICKLE", undefined],
		["a broken config", { "config.json": "{,}", "model.safetensors": "x" }, "MODEL_FILE_MALFORMED", undefined],
		["broken weights", { "config.json": "{}", "model.safetensors": "x" }, "SAFETENSORS_HEADER_TOO_SMALL", undefined],
	])("%s", async (_, files, code, found) => {
		await mkdir(path);
		for (const [name, text] of Object.entries(files)) await writeFile(join(path, name), text);
		const error = await openModelDirectory(path).catch((thrown: unknown) => thrown);
		expect(error).toMatchObject({ name: "UserError", code });
		if (found !== undefined) expect(error).toMatchObject({ found: expect.stringMatching(found) });
	});

	test("a path that is missing, or a file", async () => {
		await expect(openModelDirectory(path)).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
		await writeFile(join(root, "model.pth"), "x");
		await expect(openModelDirectory(join(root, "model.pth"))).rejects.toMatchObject({ code: "MODEL_IS_PICKLE" });
		await writeFile(join(root, "file"), "x");
		await expect(openModelDirectory(join(root, "file"))).rejects.toMatchObject({ code: "NOT_A_MODEL" });
	});

	test("a file that cannot be written leaves no model", async () => {
		const bad = writeModelDirectory(path, { ...content, files: { "../evil": "x" } });
		await expect(bad).rejects.toMatchObject({ code: "PATH_OUTSIDE" });
		expect(await readdir(root)).toEqual([]);
		await writeModelDirectory(path, content);
		const before = await readFile(join(path, "model.safetensors"));
		const aborted = writeModelDirectory(path, content, { signal: AbortSignal.abort() });
		await expect(aborted).rejects.toThrow();
		expect((await readFile(join(path, "model.safetensors"))).equals(before)).toBe(true);
	});
});

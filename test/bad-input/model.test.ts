// A `--model` that is not one, or is damaged, or does not belong to its tokenizer, is refused before anything is written.
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { refusedFinetune } from "../support/refused.ts";
import { dialoguesFile, temporary, tinyModelDirectory } from "../support/tiny.ts";

let whole: string;
beforeAll(async () => {
	whole = await tinyModelDirectory();
});
const refusedModel = (model: string, ...more: string[]) =>
	refusedFinetune(["--model", model, "--data", dialoguesFile(), ...more]);

/** A copy of the sound model, for spoiling. */
function copy(): string {
	const directory = join(temporary(), "model");
	cpSync(whole, directory, { recursive: true });
	return directory;
}

function changeJson(file: string, change: (json: Record<string, unknown>) => object): void {
	writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, "utf8")))));
}

describe("not a model", () => {
	test("a path that does not exist", async () => {
		expect(await refusedModel("/nowhere/model")).toMatchObject({
			exitCode: 1,
			code: "MODEL_NOT_FOUND",
			where: "--model",
			found: '"/nowhere/model"',
			hint: expect.stringContaining("Check the path"),
		});
	});

	test("an empty directory", async () => {
		const directory = temporary();
		expect(await refusedModel(directory)).toMatchObject({
			code: "NOT_A_MODEL",
			where: directory,
			expected: "config.json and model.safetensors",
			found: "an empty directory",
		});
	});

	test("a file", async () => {
		expect(await refusedModel(dialoguesFile())).toMatchObject({ code: "NOT_A_MODEL", found: "a file" });
	});

	test("a model of another kind", async () => {
		const directory = copy();
		changeJson(join(directory, "config.json"), () => ({ model_type: "bert" }));
		expect(await refusedModel(directory)).toMatchObject({ code: "MODEL_UNSUPPORTED", found: '"bert"' });
	});

	test("a config.json that is no JSON", async () => {
		const directory = copy();
		writeFileSync(join(directory, "config.json"), "{ model_type: gpt2 }");
		expect(await refusedModel(directory)).toMatchObject({
			code: "MODEL_FILE_MALFORMED",
			where: join(directory, "config.json"),
		});
	});
});

test("a pickle file is never opened, in a directory or by name", async () => {
	const directory = copy();
	rmSync(join(directory, "model.safetensors"));
	writeFileSync(join(directory, "pytorch_model.bin"), "cos\nsystem\n(S'touch /tmp/attune-was-here'\ntR.");
	for (const path of [directory, join(directory, "pytorch_model.bin")]) {
		const { code, exitCode, hint } = await refusedModel(path);
		expect({ code, exitCode }).toEqual({ code: "MODEL_IS_PICKLE", exitCode: 1 });
		expect(hint).toContain("safe_serialization=True");
	}
});

describe("weights", () => {
	test("that are cut off, anywhere", async () => {
		const { length } = readFileSync(join(whole, "model.safetensors"));
		for (const bytes of [0, 4, 100, 5000, length - 1]) {
			const directory = copy();
			const file = join(directory, "model.safetensors");
			truncateSync(file, bytes);
			const { code, where, hint } = await refusedModel(directory);
			expect(code).toMatch(/^SAFETENSORS_/);
			expect(where).toBe(file);
			expect(hint).toContain("again");
		}
	});

	test("that are no safetensors file", async () => {
		const directory = copy();
		writeFileSync(join(directory, "model.safetensors"), Buffer.alloc(100, 255));
		expect((await refusedModel(directory)).code).toBe("SAFETENSORS_HEADER_TOO_LARGE");
	});

	test("of another size than config.json says", async () => {
		const directory = copy();
		changeJson(join(directory, "config.json"), (config) => ({ ...config, n_layer: 3 }));
		const { code, message } = await refusedModel(directory);
		expect(code).toBe("WEIGHT_MISSING");
		expect(message).toContain("h.2.");
		changeJson(join(directory, "config.json"), (config) => ({ ...config, n_layer: 2, n_positions: 32 }));
		expect(await refusedModel(directory)).toMatchObject({
			code: "WEIGHT_SHAPE",
			expected: "[32,16]",
			found: "[64,16]",
		});
	});
});

describe("a tokenizer that does not match", () => {
	test("with more tokens than the model has", async () => {
		const directory = copy();
		changeJson(join(directory, "config.json"), (config) => ({ ...config, vocab_size: 50 }));
		expect(await refusedModel(directory)).toMatchObject({
			code: "TOKENIZER_MISMATCH",
			expected: "at most 50 tokens",
			hint: expect.stringContaining("saved beside the model"),
		});
	});

	test("or is missing", async () => {
		const directory = copy();
		rmSync(join(directory, "tokenizer.json"));
		const { code, where, exitCode } = await refusedModel(directory);
		expect({ code, exitCode }).toEqual({ code: "TOKENIZER_MISSING", exitCode: 1 });
		expect(where).toContain(directory);
	});
});

test("a maximum length above the model's context", async () => {
	expect(await refusedModel(whole, "--max-length", "65")).toMatchObject({
		exitCode: 1,
		code: "MAX_LENGTH",
		where: "--max-length",
		expected: "at most 64 tokens",
		found: "65",
		hint: expect.stringContaining("the model's context is the default"),
	});
});

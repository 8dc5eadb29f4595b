// The tiny GPT-2 models of test/fixtures/gpt2, with what PyTorch computed for them.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { openSafetensors } from "../../checkpoint/safetensors.ts";
import { architectureFor } from "../architectures.ts";

const fixtures = join(import.meta.dirname, "../../../test/fixtures/gpt2");
export const fixtureNames = ["two-layers", "three-layers"] as const;

interface Expected {
	ids: number[][];
	lengths: number[];
	rows: number[];
	/** The token to predict at each row. */
	targets: number[];
	loss: number;
	/** Losses before each of ten AdamW steps and after the last. */
	losses: number[];
	gradientNorms: number[];
	/** Ranges of tensors whose gradient is rounding noise. */
	noise: Record<string, [number, number]>;
	prompt: number[];
	continuation: number[];
	adamw: Record<"learningRate" | "beta1" | "beta2" | "epsilon" | "weightDecay" | "maxGradNorm", number>;
}

export async function loadFixture(name: (typeof fixtureNames)[number]) {
	const directory = join(fixtures, name);
	const json = async (file: string) => JSON.parse(await readFile(join(directory, file), "utf8"));
	const configJson = await json("config.json");
	const architecture = architectureFor(configJson);
	const config = architecture.parseConfig(configJson);
	const expected = (await json("expected.json")) as Expected;
	const parameters = new Map<string, Float32Array>();
	const file = await openSafetensors(join(directory, "model.safetensors"));
	for (const fileName of file.tensors.keys()) {
		const parameter = architecture.canonicalName(fileName);
		if (parameter) parameters.set(parameter, (await file.read(fileName)) as Float32Array);
	}
	await file.close();
	const oracle = new Map<string, Float32Array>();
	const oracleFile = await openSafetensors(join(directory, "expected.safetensors"));
	for (const tensor of oracleFile.tensors.keys()) oracle.set(tensor, (await oracleFile.read(tensor)) as Float32Array);
	await oracleFile.close();
	return { architecture, config, expected, parameters, oracle };
}

export type Fixture = Awaited<ReturnType<typeof loadFixture>>;

/** Largest difference over the largest value; indices in `skip` [from, to) are not compared. */
export function difference(
	actual: Float32Array,
	expected: Float32Array,
	skip: readonly [number, number] = [0, 0],
): number {
	let largest = 0;
	let apart = 0;
	expected.forEach((value, i) => {
		if (i >= skip[0] && i < skip[1]) return;
		largest = Math.max(largest, Math.abs(value));
		apart = Math.max(apart, Math.abs(value - (actual[i] as number)));
	});
	return apart / largest;
}

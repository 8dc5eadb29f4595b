// Training graph against PyTorch (test/fixtures/gpt2/generate.py says where the tolerance comes from).
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSafetensors } from "../checkpoint/safetensors.ts";
import { toOnnx } from "../graph/index.ts";
import { Session, Tensor } from "../runtime/index.ts";
import { architectureFor } from "./architectures.ts";
import { type TrainingGraphOptions, trainingGraph } from "./training-graph.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures/gpt2");

interface Expected {
	ids: number[][];
	lengths: number[];
	rows: number[];
	targets: number[];
	loss: number;
	noise: Record<string, [number, number]>;
}

async function load(name: string) {
	const directory = join(fixtures, name);
	const json = async (file: string) => JSON.parse(await readFile(join(directory, file), "utf8"));
	const configJson = await json("config.json");
	const architecture = architectureFor(configJson);
	const config = architecture.parseConfig(configJson);
	const expected = (await json("expected.json")) as Expected;
	const weights = new Map<string, Tensor>();
	const file = await openSafetensors(join(directory, "model.safetensors"));
	for (const [fileName, { shape }] of file.tensors) {
		const parameter = architecture.canonicalName(fileName);
		if (parameter) weights.set(parameter, Tensor.from((await file.read(fileName)) as Float32Array, shape));
	}
	await file.close();
	const oracle = await openSafetensors(join(directory, "expected.safetensors"));
	return { architecture, config, expected, weights, oracle };
}

type Loaded = Awaited<ReturnType<typeof load>>;

/** Loss and gradients of the fixture's batch. */
async function run({ architecture, config, expected, weights }: Loaded, options: Partial<TrainingGraphOptions> = {}) {
	const names = architecture.parameters(config).map(({ name }) => name);
	const chunks = options.chunks ?? 1;
	const built = trainingGraph(architecture, config, { trainable: new Set(names), chunks, ...options });
	const session = await Session.create(toOnnx(built.graph), { threads: 1 });
	const int64 = (values: number[], shape: number[]) => Tensor.from(BigInt64Array.from(values, BigInt), shape);
	const batch = expected.ids.length;
	const time = expected.ids[0]?.length as number;
	const padding = (chunks - (expected.rows.length % chunks)) % chunks;
	const filled = (values: number[]) => [...values, ...Array<number>(padding).fill(0)];
	const rows = filled(expected.rows);
	const feeds: Record<string, Tensor> = {
		ids: int64(expected.ids.flat(), [batch, time]),
		positions: int64([...Array(time).keys()], [time]),
		rows: int64(rows, [rows.length]),
		labels: int64(filled(expected.targets), [rows.length]),
		weights: Tensor.from(Float32Array.from(filled(expected.rows.map(() => 1 / expected.rows.length))), [rows.length]),
		...Object.fromEntries(weights),
	};
	if (options.accumulate) {
		for (const [name, tensor] of weights) {
			feeds[`accumulated.${name}`] = Tensor.from(new Float32Array(tensor.data.length).fill(1), tensor.shape);
		}
	}
	const results = await session.run(feeds, Object.fromEntries(session.outputs.map((name) => [name, "allocate"])));
	session.dispose();
	return {
		loss: Number(results.loss?.data[0]),
		gradient: (name: string) => results[`gradient.${name}`]?.data as Float32Array,
	};
}

/** Largest difference over the largest value. */
function difference(actual: Float32Array, expected: Float32Array, skip: [number, number] = [0, 0]): number {
	let largest = 0;
	let apart = 0;
	expected.forEach((value, i) => {
		if (i >= skip[0] && i < skip[1]) return;
		largest = Math.max(largest, Math.abs(value));
		apart = Math.max(apart, Math.abs(value - (actual[i] as number)));
	});
	return apart / largest;
}

describe.each(["two-layers", "three-layers"])("%s", (name) => {
	test.each<[string, Partial<TrainingGraphOptions>]>([
		["plain", {}],
		["rows in chunks", { chunks: 3 }],
		["recomputed", { recompute: true }],
		["recomputed in chunks", { recompute: true, chunks: 2 }],
	])("loss and every gradient equal PyTorch's: %s", async (_, options) => {
		const loaded = await load(name);
		const { loss, gradient } = await run(loaded, options);
		expect(Math.abs(loss / loaded.expected.loss - 1)).toBeLessThan(1e-5);
		for (const spec of loaded.architecture.parameters(loaded.config)) {
			const file = loaded.architecture.fileName(spec.name);
			const oracle = (await loaded.oracle.read(`gradient.${file}`)) as Float32Array;
			expect(difference(gradient(spec.name), oracle, loaded.expected.noise[file]), spec.name).toBeLessThan(1e-5);
		}
	});

	test("accumulated gradients are added to what is fed", async () => {
		const loaded = await load(name);
		const plain = await run(loaded);
		const accumulated = await run(loaded, { accumulate: true });
		for (const { name: parameter } of loaded.architecture.parameters(loaded.config)) {
			const sum = plain.gradient(parameter).map((value) => value + 1);
			expect(accumulated.gradient(parameter)).toEqual(sum);
		}
	});
});

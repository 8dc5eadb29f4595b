// Training graph against PyTorch (test/fixtures/gpt2/generate.py says where the tolerance comes from).

import { describe, expect, test } from "vitest";
import { toOnnx } from "../graph/index.ts";
import { Session, Tensor } from "../runtime/index.ts";
import { difference, type Fixture, fixtureNames, loadFixture } from "./testing/gpt2-fixture.ts";
import { type TrainingGraphOptions, trainingGraph } from "./training-graph.ts";

/** Loss and gradients of the fixture's batch. */
async function run(
	{ architecture, config, expected, parameters }: Fixture,
	options: Partial<TrainingGraphOptions> = {},
) {
	const specs = architecture.parameters(config);
	const chunks = options.chunks ?? 1;
	const trainable = new Set(specs.map(({ name }) => name));
	const built = trainingGraph(architecture, config, { trainable, chunks, ...options });
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
	};
	for (const { name, shape } of specs) {
		const data = parameters.get(name) as Float32Array;
		feeds[name] = Tensor.from(data, shape);
		if (options.accumulate) feeds[`accumulated.${name}`] = Tensor.from(new Float32Array(data.length).fill(1), shape);
	}
	const results = await session.run(feeds, Object.fromEntries(session.outputs.map((name) => [name, "allocate"])));
	session.dispose();
	const gradient = (name: string) => results[`gradient.${name}`]?.data as Float32Array;
	return { loss: Number(results.loss?.data[0]), gradient };
}

describe.each(fixtureNames)("%s", (name) => {
	test.each<[string, Partial<TrainingGraphOptions>]>([
		["plain", {}],
		["rows in chunks", { chunks: 3 }],
		["recomputed", { recompute: true }],
		["recomputed in chunks", { recompute: true, chunks: 2 }],
	])("loss and every gradient equal PyTorch's: %s", async (_, options) => {
		const fixture = await loadFixture(name);
		const { loss, gradient } = await run(fixture, options);
		expect(Math.abs(loss / fixture.expected.loss - 1)).toBeLessThan(1e-5);
		for (const spec of fixture.architecture.parameters(fixture.config)) {
			const file = fixture.architecture.fileName(spec.name);
			const oracle = fixture.oracle.get(`gradient.${file}`) as Float32Array;
			expect(difference(gradient(spec.name), oracle, fixture.expected.noise[file]), spec.name).toBeLessThan(1e-5);
		}
	});

	test("accumulated gradients are added to what is fed", async () => {
		const fixture = await loadFixture(name);
		const plain = await run(fixture);
		const accumulated = await run(fixture, { accumulate: true });
		for (const { name: parameter } of fixture.architecture.parameters(fixture.config)) {
			const sum = plain.gradient(parameter).map((value) => value + 1);
			expect(accumulated.gradient(parameter)).toEqual(sum);
		}
	});
});

// Training graph against PyTorch (test/fixtures/gpt2/generate.py says where the tolerance comes from).

import { describe, expect, test } from "vitest";
import { difference, fixtureNames, loadFixture } from "./testing/gpt2-fixture.ts";
import { runBatch as run } from "./testing/run-batch.ts";
import type { TrainingGraphOptions } from "./training-graph.ts";

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

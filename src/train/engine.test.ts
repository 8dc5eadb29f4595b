// Training steps against PyTorch's, and the equivalences of a step: accumulated or whole, dropped reproducibly, smoothed.
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Example } from "../data/example.ts";
import { type MicroBatch, makeMicroBatch, makeStep } from "../data/micro-batch.ts";
import { difference, type Fixture, fixtureNames, loadFixture } from "../models/testing/gpt2-fixture.ts";
import { clippingScale } from "../optim/clipping.ts";
import { ParameterUpdater } from "../optim/parameter-updater.ts";
import { Rng } from "../util/rng.ts";
import { type EngineOptions, TrainingEngine } from "./engine.ts";

/** An engine over copies of the fixture's parameters. */
async function engineFor(fixture: Fixture, options: Partial<EngineOptions> = {}) {
	const { architecture, config } = fixture;
	const parameters = new Map([...fixture.parameters].map(([name, data]) => [name, data.slice()]));
	const trainable = new Set(parameters.keys());
	const engine = await TrainingEngine.create({
		architecture,
		config,
		parameters,
		trainable,
		maxRows: 64,
		threads: 1,
		...options,
	});
	return { engine, parameters };
}

/** The fixture's ragged batch. */
function fixtureBatch({ expected }: Fixture): MicroBatch {
	return {
		ids: Int32Array.from(expected.ids.flat()),
		batch: expected.ids.length,
		time: expected.ids[0]?.length as number,
		lengths: Int32Array.from(expected.lengths),
		rows: Int32Array.from(expected.rows),
		labels: Int32Array.from(expected.targets),
		tokens: expected.lengths.reduce((a, b) => a + b, 0),
	};
}

describe.each(fixtureNames)("ten AdamW steps on %s", (name) => {
	test.each<[string, Partial<EngineOptions>]>([
		["as they are", {}],
		["accumulating, recomputing, in chunks", { accumulate: true, recompute: true, chunkBytes: 1000 }],
	])("losses, gradient norms and final weights equal PyTorch's: %s", async (_, options) => {
		const fixture = await loadFixture(name);
		const { expected, architecture, oracle } = fixture;
		const { learningRate, maxGradNorm, ...settings } = expected.adamw;
		const { engine, parameters } = await engineFor(fixture, options);
		const updater = await ParameterUpdater.create(
			[...parameters].map(([parameter, data]) => ({
				name: parameter,
				data,
				gradient: engine.gradients.get(parameter) as Float32Array,
				decay: true,
			})),
			{ optimizer: "adamw", settings, threads: 1 },
		);
		const batch = fixtureBatch(fixture);
		const tokenWeight = 1 / batch.rows.length;
		const losses: number[] = [];
		const norms: number[] = [];
		for (let step = 0; step < 10; step++) {
			engine.beginStep();
			losses.push(await engine.microStep(batch, { tokenWeight }));
			const norm = await updater.gradientNorm();
			norms.push(norm);
			await updater.step({ learningRate, gradientScale: clippingScale({ norm, maxNorm: maxGradNorm }) });
		}
		losses.push((await engine.evaluate([batch])).loss);
		for (const [i, loss] of losses.entries()) {
			expect(Math.abs(loss / (expected.losses[i] as number) - 1), `loss ${i}`).toBeLessThan(1e-5);
		}
		for (const [i, norm] of norms.entries()) {
			expect(Math.abs(norm / (expected.gradientNorms[i] as number) - 1), `norm ${i}`).toBeLessThan(1e-5);
		}
		for (const [parameter, data] of parameters) {
			const file = architecture.fileName(parameter);
			const final = oracle.get(`final.${file}`) as Float32Array;
			expect(difference(data, final, expected.noise[file]), file).toBeLessThan(1e-5);
		}
		updater.dispose();
		await engine.dispose();
	});
});

describe("one step", () => {
	let fixture: Fixture;
	beforeAll(async () => {
		fixture = await loadFixture("two-layers");
	});

	const vocabulary = 37;
	const example = (maxLength: number) =>
		fc
			.record({
				ids: fc.array(fc.integer({ min: 0, max: vocabulary - 1 }), { minLength: 3, maxLength }),
				mask: fc.infiniteStream(fc.boolean()),
			})
			.map(({ ids, mask }): Example => {
				const supervised = Uint8Array.from(ids.slice(1), () => (mask.next().value ? 1 : 0));
				supervised[supervised.length - 1] = 1;
				return { ids: Int32Array.from(ids), supervised };
			});

	/** Loss and a copy of the gradients of a step in these micro-batches. */
	async function stepOf(engine: TrainingEngine, microBatches: readonly MicroBatch[], dropoutSeed = [1]) {
		const tokens = microBatches.reduce((sum, { rows }) => sum + rows.length, 0);
		engine.beginStep();
		let loss = 0;
		for (const micro of microBatches) loss += await engine.microStep(micro, { tokenWeight: 1 / tokens, dropoutSeed });
		return { loss, gradients: new Map([...engine.gradients].map(([name, data]) => [name, data.slice()])) };
	}

	test("accumulated micro-batches equal the one big batch", async () => {
		const accumulating = await engineFor(fixture, { accumulate: true, maxRows: 200 });
		const whole = await engineFor(fixture, { maxRows: 200 });
		await fc.assert(
			fc.asyncProperty(
				fc.array(example(20), { minLength: 2, maxLength: 8 }),
				fc.integer({ min: 1, max: 60 }),
				async (examples, tokenBudget) => {
					const { microBatches } = makeStep(examples, { tokenBudget, slotsPerMicroBatch: 0 });
					const parts = await stepOf(accumulating.engine, microBatches);
					const one = await stepOf(whole.engine, [makeMicroBatch(examples)]);
					expect(Math.abs(parts.loss / one.loss - 1)).toBeLessThan(1e-5);
					let [square, apart] = [0, 0];
					for (const [name, gradient] of one.gradients) {
						gradient.forEach((value, i) => {
							square += value ** 2;
							apart += (value - (parts.gradients.get(name)?.[i] as number)) ** 2;
						});
					}
					expect(Math.sqrt(apart / square)).toBeLessThan(1e-5);
				},
			),
			{ numRuns: 25, seed: 3 },
		);
		await accumulating.engine.dispose();
		await whole.engine.dispose();
	});

	test("every supervised token counts the same: not a mean of the micro-batches' means", async () => {
		const { engine } = await engineFor(fixture, { accumulate: true });
		const of = (length: number, supervised: number): Example => ({
			ids: Int32Array.from({ length }, (_, i) => (i * 7) % vocabulary),
			supervised: Uint8Array.from({ length: length - 1 }, (_, i) => (i >= length - 1 - supervised ? 1 : 0)),
		});
		const [short, long] = [makeMicroBatch([of(4, 1)]), makeMicroBatch([of(20, 17)])];
		const [a, b] = [await stepOf(engine, [short]), await stepOf(engine, [long])];
		const together = await stepOf(engine, [short, long]);
		expect(together.loss).toBeCloseTo((a.loss + 17 * b.loss) / 18, 5);
		expect(Math.abs(together.loss - (a.loss + b.loss) / 2)).toBeGreaterThan(0.01);
		for (const [name, gradient] of together.gradients) {
			const expected = gradient.map(
				(_, i) => ((a.gradients.get(name)?.[i] as number) + 17 * (b.gradients.get(name)?.[i] as number)) / 18,
			);
			expect(difference(gradient, expected, fixture.expected.noise[`transformer.${name}`]), name).toBeLessThan(1e-5);
		}
		// Evaluation weighs the same way.
		const { loss, tokens } = await engine.evaluate([short, long]);
		expect(tokens).toBe(18);
		expect(loss).toBeCloseTo(together.loss, 5);
		await engine.dispose();
	});

	test("dropout: the same seed gives the same bytes, another seed others; it drops what was asked for", async () => {
		const batch = fixtureBatch(fixture);
		const { engine } = await engineFor(fixture, { dropout: 0.3 });
		const [first, again] = [await stepOf(engine, [batch], [5, 1]), await stepOf(engine, [batch], [5, 1])];
		expect(again).toEqual(first);
		expect((await stepOf(engine, [batch], [5, 2])).loss).not.toBe(first.loss);
		const without = await engineFor(fixture);
		const exact = await stepOf(without.engine, [batch]);
		expect(first.loss).not.toBeCloseTo(exact.loss, 3);
		// Scaled by what is kept, so that on average nothing changes.
		const losses: number[] = [];
		for (let seed = 0; seed < 60; seed++) losses.push((await stepOf(engine, [batch], [seed])).loss);
		const mean = losses.reduce((a, b) => a + b) / losses.length;
		expect(mean).toBeGreaterThan(exact.loss - 0.3);
		expect(mean).toBeLessThan(exact.loss + 0.6);
		expect((await engine.evaluate([batch])).loss).toBeCloseTo(exact.loss, 5);
		await engine.dispose();
		await without.engine.dispose();
	});

	test("label smoothing: gradients are the slope of the smoothed loss, computed slowly", async () => {
		const smoothing = 0.2;
		const batch = fixtureBatch(fixture);
		const smoothed = await engineFor(fixture, { labelSmoothing: smoothing });
		const { gradients, loss } = await stepOf(smoothed.engine, [batch]);
		const plain = await engineFor(fixture);
		// What is reported is the loss itself, which can be compared with evaluations.
		expect(loss).toBeCloseTo((await stepOf(plain.engine, [batch])).loss, 5);
		/** (1 - s) times the loss plus s times the mean loss over all labels, from the evaluation graph. */
		const slow = async () => {
			let uniform = 0;
			for (let token = 0; token < vocabulary; token++) {
				uniform += (await plain.engine.evaluate([{ ...batch, labels: batch.labels.map(() => token) }])).loss;
			}
			return (1 - smoothing) * (await plain.engine.evaluate([batch])).loss + (smoothing * uniform) / vocabulary;
		};
		const rng = new Rng(1);
		for (const [name, data] of plain.parameters) {
			const gradient = gradients.get(name) as Float32Array;
			// Along the gradient, where the slope is steepest: one direction a parameter, by central differences.
			const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value ** 2, 0));
			if (rng.uniform() > 0.4 && name !== "wte.weight") continue;
			const kept = data.slice();
			const step = 1e-2;
			const at = async (sign: number) => {
				data.set(kept.map((value, i) => value + (sign * step * (gradient[i] as number)) / norm));
				return slow();
			};
			const slope = ((await at(1)) - (await at(-1))) / (2 * step);
			data.set(kept);
			expect(Math.abs(slope / norm - 1), name).toBeLessThan(5e-3);
		}
		await smoothed.engine.dispose();
		await plain.engine.dispose();
	});

	test("a step that is aborted throws, and the next one is as if it had not been", async () => {
		const { engine } = await engineFor(fixture, { accumulate: true });
		const batch = fixtureBatch(fixture);
		const expected = await stepOf(engine, [batch]);
		engine.beginStep();
		await engine.microStep(batch, { tokenWeight: 1 });
		const signal = AbortSignal.abort();
		await expect(engine.microStep(batch, { tokenWeight: 1, signal })).rejects.toThrow();
		expect(await stepOf(engine, [batch])).toEqual(expected);
		await engine.dispose();
	});

	test("nothing but the trainable parameters receives a gradient", async () => {
		const trainable = new Set(["h.1.mlp.c_fc.weight", "ln_f.bias"]);
		const { engine } = await engineFor(fixture, { trainable });
		expect(new Set(engine.gradients.keys())).toEqual(trainable);
		const all = await engineFor(fixture);
		const [some, every] = [
			await stepOf(engine, [fixtureBatch(fixture)]),
			await stepOf(all.engine, [fixtureBatch(fixture)]),
		];
		for (const name of trainable) {
			expect(
				difference(some.gradients.get(name) as Float32Array, every.gradients.get(name) as Float32Array),
			).toBeLessThan(1e-6);
		}
		await engine.dispose();
		await all.engine.dispose();
	});
});

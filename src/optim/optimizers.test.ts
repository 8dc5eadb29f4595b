// The conformance suite of the Optimizer contract: every optimizer, in every variant, through the updater.

import { describe, expect, test } from "vitest";
import oracle from "../../test/fixtures/optim/optimizers.json" with { type: "json" };
import { Rng } from "../util/rng.ts";
import { clippingScale } from "./clipping.ts";
import type { Settings } from "./optimizer.ts";
import { type OptimizerName, optimizerNames, optimizers, resolveSettings } from "./optimizers.ts";
import { type Parameter, ParameterUpdater, type ParameterUpdaterOptions } from "./parameter-updater.ts";
import { buildUpdateGraph } from "./update-graph.ts";

describe("equal to torch.optim over 20 steps, with its schedules and clipping", () => {
	test.each(Object.entries(oracle.cases))("%s", async (_, example) => {
		const names = ["matrix", "vector"] as const;
		const parameters = names.map((name) => ({
			name,
			data: Float32Array.from(oracle.initial[name]),
			gradient: new Float32Array(oracle.initial[name].length),
			decay: true,
		}));
		const updater = await ParameterUpdater.create(parameters, {
			optimizer: example.optimizer as OptimizerName,
			settings: example.options as Settings,
		});
		for (const [index, gradients] of oracle.gradients.entries()) {
			for (const { name, gradient } of parameters) gradient.set(gradients[name]);
			const norm = await updater.gradientNorm();
			expect(Math.abs(norm / (example.norms[index] as number) - 1)).toBeLessThan(1e-6);
			const gradientScale = example.maxGradNorm === null ? 1 : clippingScale({ norm, maxNorm: example.maxGradNorm });
			await updater.step({ learningRate: example.rates[index] as number, gradientScale });
			const expected = example.after[String(index + 1) as keyof typeof example.after];
			for (const { name, data } of expected ? parameters : []) {
				expect(relativeDifference(data, expected[name])).toBeLessThan(1e-6);
			}
		}
		updater.dispose();
	});
});

/** Largest difference of two tensors over the largest value. */
function relativeDifference(actual: ArrayLike<number>, expected: readonly number[]): number {
	const differences = expected.map((value, i) => Math.abs(value - (actual[i] as number)));
	return Math.max(...differences) / Math.max(...expected.map(Math.abs));
}

const variants: [OptimizerName, Settings][] = [
	["adamw", { weightDecay: 0.1 }],
	["adamw", { weightDecay: 0 }],
	["adam", { weightDecay: 0.1 }],
	["adam", {}],
	["sgd", { weightDecay: 0.1 }],
	["sgd", { momentum: 0.9 }],
	["sgd", { momentum: 0.9, weightDecay: 0.1 }],
	["sgd", { momentum: 0.9, nesterov: true, weightDecay: 0.1 }],
	["rmsprop", { weightDecay: 0.1 }],
	["rmsprop", { momentum: 0.9 }],
];

/** Three tensors of awkward sizes, one not decaying, one learning more slowly. */
function makeParameters(): Parameter[] {
	const rng = new Rng("parameters");
	const floats = (length: number) => Float32Array.from({ length }, () => rng.normal());
	return [
		{ name: "matrix", data: floats(5003), gradient: floats(5003), decay: true },
		{ name: "bias", data: floats(7), gradient: floats(7), decay: false },
		{ name: "slow", data: floats(1024), gradient: floats(1024), decay: true, learningRateScale: 0.25 },
	];
}

/** Steps `from` to `to`, with gradients that depend on the step alone. Returns the norms. */
async function train(
	updater: ParameterUpdater,
	parameters: readonly Parameter[],
	{ from, to }: { from: number; to: number },
) {
	const norms: number[] = [];
	for (let step = from; step < to; step++) {
		const rng = new Rng(["gradient", step]);
		for (const { gradient } of parameters) gradient.set(Array.from(gradient, () => rng.normal() * 0.1));
		const norm = await updater.gradientNorm();
		norms.push(norm);
		await updater.step({ learningRate: 0.01 / (step + 1), gradientScale: clippingScale({ norm, maxNorm: 1 }) });
	}
	return norms;
}

async function run(options: ParameterUpdaterOptions) {
	const parameters = makeParameters();
	const updater = await ParameterUpdater.create(parameters, options);
	const norms = await train(updater, parameters, { from: 0, to: 6 });
	updater.dispose();
	return { norms, values: parameters.map(({ data }) => data), state: [...updater.state().tensors] };
}

describe.each(variants)("%s %o", (optimizer, settings) => {
	test("resumed from its state, it goes on as if it had never stopped, bit for bit", async () => {
		const uninterrupted = await run({ optimizer, settings });

		const parameters = makeParameters();
		const first = await ParameterUpdater.create(parameters, { optimizer, settings });
		await train(first, parameters, { from: 0, to: 3 });
		const saved = {
			steps: first.state().steps,
			tensors: new Map([...first.state().tensors].map(([name, values]) => [name, values.slice()])),
		};
		first.dispose();

		const reloaded = parameters.map((parameter) => ({
			...parameter,
			data: parameter.data.slice(),
			gradient: new Float32Array(parameter.gradient.length),
		}));
		const second = await ParameterUpdater.create(reloaded, { optimizer, settings });
		second.restore(saved);
		await train(second, reloaded, { from: 3, to: 6 });
		expect(reloaded.map(({ data }) => data)).toEqual(uninterrupted.values);
		expect([...second.state().tensors]).toEqual(uninterrupted.state);
		expect(second.steps).toBe(6);
		second.dispose();
	});

	test("bits do not depend on pieces or threads", async () => {
		const whole = await run({ optimizer, settings, threads: 1, pieceElements: 1 << 20, piecesOfRun: 1 });
		expect(await run({ optimizer, settings, threads: 2, pieceElements: 1024 })).toEqual(whole);
		expect(await run({ optimizer, settings, threads: 3, pieceElements: 777, piecesOfRun: 3 })).toEqual(whole);
	});

	test("without a gradient only decay moves a parameter, and only one that decays", async () => {
		const parameters = makeParameters();
		const before = parameters.map(({ data }) => data.slice());
		for (const { gradient } of parameters) gradient.fill(0);
		const updater = await ParameterUpdater.create(parameters, { optimizer, settings });
		expect(await updater.gradientNorm()).toBe(0);
		await updater.step({ learningRate: 0.01, gradientScale: clippingScale({ norm: 0, maxNorm: 1 }) });
		const decays = Number(resolveSettings(optimizer, settings).weightDecay) > 0;
		const moved = parameters.map(({ data }, i) => data.some((value, j) => value !== before[i]?.[j]));
		expect(moved).toEqual([decays, false, decays]);
		updater.dispose();
	});

	test("a rate of 0 moves nothing", async () => {
		const parameters = makeParameters();
		const before = parameters.map(({ data }) => data.slice());
		const updater = await ParameterUpdater.create(parameters, { optimizer, settings });
		await updater.step({ learningRate: 0 });
		expect(parameters.map(({ data }) => data)).toEqual(before);
		updater.dispose();
	});

	test("the gradient is left as it was", async () => {
		const parameters = makeParameters();
		const before = parameters.map(({ gradient }) => gradient.slice());
		const updater = await ParameterUpdater.create(parameters, { optimizer, settings });
		await updater.step({ learningRate: 0.1, gradientScale: 0.5 });
		expect(parameters.map(({ gradient }) => gradient)).toEqual(before);
		updater.dispose();
	});
});

test("the number of passes over memory is what the files say", () => {
	const passes = (name: OptimizerName, given: Partial<Settings>, decays: boolean) =>
		buildUpdateGraph(optimizers[name], { settings: resolveSettings(name, given), decays, pieces: 1 }).graph.nodes
			.length;
	const counts = (name: OptimizerName, given: Partial<Settings> = {}) => [
		passes(name, given, false),
		passes(name, given, true),
	];
	expect(counts("adamw")).toEqual([12, 13]);
	expect(counts("adam")).toEqual([12, 15]);
	expect(counts("sgd")).toEqual([2, 3]);
	expect(counts("sgd", { momentum: 0.9 })).toEqual([5, 7]);
	expect(counts("sgd", { momentum: 0.9, nesterov: true })).toEqual([7, 9]);
	expect(counts("rmsprop")).toEqual([9, 12]);
	expect(counts("rmsprop", { momentum: 0.9 })).toEqual([12, 15]);
});

test.each(optimizerNames)("%s refuses settings that it does not have or that are out of range", (name) => {
	const refused = (given: Partial<Settings>) =>
		expect(() => resolveSettings(name, given)).toThrow(expect.objectContaining({ code: "OPTIMIZER_SETTING" }));
	refused({ weightDecy: 0.1 });
	refused({ weightDecay: -1 });
	refused({ weightDecay: Number.NaN });
	for (const [key, rule] of Object.entries(optimizers[name].settings)) {
		if ("min" in rule) refused({ [key]: rule.min - 0.1 });
		if ("below" in rule) refused({ [key]: rule.below as number });
		refused({ [key]: "min" in rule ? true : 1 });
	}
});

test("Nesterov without momentum, which would do nothing, is refused", () => {
	expect(() => resolveSettings("sgd", { nesterov: true })).toThrow(/momentum/);
});

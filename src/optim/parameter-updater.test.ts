import { expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { clippingScale } from "./clipping.ts";
import { type Parameter, ParameterUpdater } from "./parameter-updater.ts";

function parameter(name: string, length: number): Parameter {
	const rng = new Rng(name);
	const floats = () => Float32Array.from({ length }, () => rng.normal());
	return { name, data: floats(), gradient: floats(), decay: true };
}

test("the norm is that of all gradients together, to float64's precision of the same numbers", async () => {
	const parameters = [parameter("a", 300_001), parameter("b", 1), parameter("c", 2048)];
	const updater = await ParameterUpdater.create(parameters, { optimizer: "sgd" });
	let squares = 0;
	for (const { gradient } of parameters) for (const value of gradient) squares += value ** 2;
	const norm = await updater.gradientNorm();
	expect(Math.abs(norm / Math.sqrt(squares) - 1)).toBeLessThan(2e-8);
	updater.dispose();
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, 1e30])("a gradient of %d makes the norm not finite", async (bad) => {
	const parameters = [parameter("a", 5000), parameter("b", 3)];
	(parameters[0] as Parameter).gradient[4999] = bad;
	const updater = await ParameterUpdater.create(parameters, { optimizer: "adamw" });
	const norm = await updater.gradientNorm();
	expect(Number.isFinite(norm)).toBe(false);
	expect(() => clippingScale({ norm, maxNorm: 1 })).toThrow(/skip the step/);
	updater.dispose();
});

test("a skipped step leaves no trace", async () => {
	const make = () => ParameterUpdater.create(parameters, { optimizer: "adamw" });
	const parameters = [parameter("a", 100)];
	const updater = await make();
	await updater.gradientNorm();
	expect(updater.steps).toBe(0);
	expect([...updater.state().tensors.values()].every((values) => values.every((value) => value === 0))).toBe(true);
	updater.dispose();
});

test("clipping is torch's: down to the limit, never up", () => {
	expect(clippingScale({ norm: 4, maxNorm: 1 })).toBeCloseTo(0.25, 6);
	expect(clippingScale({ norm: 0.5, maxNorm: 1 })).toBe(1);
	expect(clippingScale({ norm: 0, maxNorm: 1 })).toBe(1);
});

test("the state has torch.optim's names", async () => {
	const updater = await ParameterUpdater.create([parameter("wte.weight", 4)], { optimizer: "adamw" });
	expect([...updater.state().tensors.keys()]).toEqual(["exp_avg.wte.weight", "exp_avg_sq.wte.weight"]);
	updater.dispose();
});

test("a state of other parameters or of another optimizer is refused, by name", async () => {
	const updater = await ParameterUpdater.create([parameter("a", 4)], { optimizer: "adamw" });
	const good = { "exp_avg.a": 4, "exp_avg_sq.a": 4 };
	const refuses = (sizes: Record<string, number>, where: string) => {
		const tensors = new Map(Object.entries(sizes).map(([name, length]) => [name, new Float32Array(length).fill(1)]));
		const expected = expect.objectContaining({ code: "OPTIMIZER_STATE_MISMATCH", where });
		expect(() => updater.restore({ steps: 5, tensors })).toThrow(expected);
	};
	refuses({ ...good, "exp_avg.a": 5 }, "exp_avg.a");
	refuses({ "exp_avg.a": 4 }, "exp_avg_sq.a");
	refuses({ ...good, "exp_avg.b": 4 }, "exp_avg.b");
	refuses({}, "exp_avg.a");
	expect(updater.steps).toBe(0);
	expect(updater.state().tensors.get("exp_avg.a")).toEqual(new Float32Array(4));
	updater.dispose();
});

test("the event loop goes on while a step runs", async () => {
	const updater = await ParameterUpdater.create([parameter("a", 2_000_000)], { optimizer: "adamw" });
	let done = false;
	let turns = 0;
	const working = updater.step({ learningRate: 0.1 }).then(() => {
		done = true;
	});
	while (!done) {
		turns++;
		await new Promise(setImmediate);
	}
	await working;
	// Seven full runs and more: at least as many turns as a lane has waits.
	expect(turns).toBeGreaterThan(5);
	updater.dispose();
});

test("nothing to train is nothing done", async () => {
	const updater = await ParameterUpdater.create([], { optimizer: "adamw" });
	expect(await updater.gradientNorm()).toBe(0);
	await updater.step({ learningRate: 0.1 });
	expect(updater.steps).toBe(1);
	updater.dispose();
});

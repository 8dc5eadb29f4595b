// One check for every operator: ONNX Runtime against the interpreter, and the gradients that `gradients` builds against
// central differences of the interpreter in double precision.

import { expect } from "vitest";
import { resolveDim } from "../../graph/dim.ts";
import { Graph, type Shape, toOnnx, type Value } from "../../graph/index.ts";
import { build as buildArray, type Nd, nd, sizeOf } from "../../graph/testing/array.ts";
import { interpret } from "../../graph/testing/interpret.ts";
import { type DType, Session, Tensor } from "../../runtime/index.ts";
import { Rng } from "../../util/rng.ts";
import { gradients } from "../gradients.ts";

/** A shape alone means normal random numbers in float32. */
export type InputSpec = Shape | { shape: Shape; dtype?: DType; values?: readonly number[]; range?: [number, number] };

export interface OpCheck<K extends string> {
	inputs: Record<K, InputSpec>;
	build(values: Record<K, Value>, graph: Graph): Value | readonly Value[];
	/** What names in shapes stand for, besides B = 2, T = 3, N = 4. */
	sizes?: Record<string, number>;
	/** Inputs whose gradients are not wanted. */
	frozen?: readonly NoInfer<K>[];
	/** For operators that have no gradient: only the results are compared. */
	forwardOnly?: boolean;
	/** Largest difference between ONNX Runtime and the interpreter, over the largest value. Default 1e-5. */
	tolerance?: number;
	/** The same between gradients and finite differences. Default 1e-6. */
	numericTolerance?: number;
}

const arrays = {
	float32: Float32Array,
	float64: Float64Array,
	int32: Int32Array,
	uint8: Uint8Array,
	uint32: Uint32Array,
	bool: Uint8Array,
} as const;

export function tensorOf({ shape, data }: Nd, dtype: DType): Tensor {
	if (dtype === "int64") return Tensor.from(BigInt64Array.from(data, BigInt), shape);
	if (dtype === "uint4") {
		// Two in a byte, the first in the low half.
		const pairs = Array.from({ length: Math.ceil(data.length / 2) }, (_, i) => [data[2 * i], data[2 * i + 1] ?? 0]);
		const bytes = Uint8Array.from(pairs as [number, number][], ([low, high]) => low + 16 * high);
		return Tensor.from(bytes, shape, dtype);
	}
	const Type = arrays[dtype as keyof typeof arrays];
	return Tensor.from(Type.from(data), shape, dtype);
}

/** Results of ONNX Runtime for every output of the graph. */
export async function run(graph: Graph, feeds: Readonly<Record<string, Nd>>, threads = 1): Promise<Record<string, Nd>> {
	const session = await Session.create(toOnnx(graph), { threads });
	const tensors = graph.inputs.map(({ name, dtype }) => [name, tensorOf(feeds[name] as Nd, dtype)] as const);
	const wanted = Object.fromEntries(session.outputs.map((name) => [name, "allocate" as const]));
	const results = await session.run(Object.fromEntries(tensors), wanted);
	session.dispose();
	for (const [, tensor] of tensors) tensor.dispose();
	return Object.fromEntries(Object.entries(results).map(([name, { shape, data }]) => [name, nd(shape, data)]));
}

/** Each element within `tolerance` of the largest magnitude expected (at least 0.1). */
export function expectClose(actual: Nd, expected: Nd, { tolerance, what }: { tolerance: number; what: string }): void {
	expect(actual.shape, `shape of ${what}`).toEqual(expected.shape);
	const largest = expected.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0.1);
	expected.data.forEach((value, i) => {
		const found = actual.data[i] as number;
		if (!(Math.abs(found - value) <= tolerance * largest)) {
			expect.fail(
				`${what}: element ${i} is ${found}, expected ${value} (largest ${largest})\n${actual.data}\n${expected.data}`,
			);
		}
	});
}

/** Fails with the first difference. Returns the graph with its gradients. */
export async function checkOp<K extends string>(check: OpCheck<K>): Promise<Graph> {
	const { forwardOnly = false, tolerance = 1e-5, numericTolerance = 1e-6 } = check;
	const { graph, inputs, outputs } = write(check);
	const rng = new Rng("check-op");
	const feeds = randomFeeds(check, rng);
	const value = interpret(graph, feeds);
	outputs.forEach((output, i) => {
		graph.output(`y.${i}`, output);
		value(output);
	});
	const frozen: readonly string[] = forwardOnly ? Object.keys(inputs) : (check.frozen ?? []);
	const differentiable = Object.values<Value>(inputs).filter(
		({ dtype, name }) => dtype === "float32" && !frozen.includes(name),
	);
	const allFeeds = { ...feeds };
	const expected = new Map<string, Nd>();
	if (differentiable.length > 0) {
		const cotangents = outputs.map((output, i) => {
			const { shape } = value(output);
			allFeeds[`cotangent.${i}`] = buildArray(shape, () => Math.fround(rng.normal()));
			return graph.input(`cotangent.${i}`, output.dtype, output.shape);
		});
		const of = new Map(outputs.map((output, i) => [output, cotangents[i] as Value]));
		const found = gradients({ of, withRespectTo: differentiable });
		const evaluate = interpret(graph, allFeeds);
		for (const input of differentiable) {
			const numeric = centralDifferences({ graph, input, outputs, feeds: allFeeds });
			const gradient = found.get(input);
			if (!gradient) {
				expectClose(
					numeric,
					buildArray(numeric.shape, () => 0),
					{ tolerance: 1e-9, what: `no gradient of ${input.name}` },
				);
				continue;
			}
			expect([gradient.dtype, gradient.shape]).toEqual([input.dtype, input.shape]);
			expectClose(evaluate(gradient), numeric, {
				tolerance: numericTolerance,
				what: `gradient of ${input.name}`,
			});
			graph.output(`gradient.${input.name}`, gradient);
			expected.set(`gradient.${input.name}`, evaluate(gradient));
			expectClose(alone(check, { name: input.name as K, feeds: allFeeds }), evaluate(gradient), {
				tolerance: 1e-12,
				what: `gradient of ${input.name} alone`,
			});
		}
	}
	outputs.forEach((output, i) => {
		expected.set(`y.${i}`, value(output));
	});
	const results = await run(graph, allFeeds);
	for (const [name, array] of expected) {
		const exact = !graph.outputs.get(name)?.dtype.startsWith("float");
		expectClose(results[name] as Nd, array, { tolerance: exact ? 0 : tolerance, what: `${name} by ONNX Runtime` });
	}
	return graph;
}

function shapeOf(spec: InputSpec): Shape {
	return "shape" in spec ? spec.shape : spec;
}

function write<K extends string>(check: OpCheck<K>) {
	const graph = new Graph();
	const entries = Object.entries<InputSpec>(check.inputs).map(([name, spec]) => {
		const dtype = "shape" in spec ? (spec.dtype ?? "float32") : "float32";
		return [name, graph.input(name, dtype, shapeOf(spec))];
	});
	const inputs = Object.fromEntries(entries) as Record<K, Value>;
	const built = check.build(inputs, graph);
	const outputs = "graph" in built ? [built] : built;
	return { graph, inputs, outputs };
}

function randomFeeds({ inputs, sizes }: OpCheck<string>, rng: Rng): Record<string, Nd> {
	const known = { B: 2, T: 3, N: 4, ...sizes };
	const feeds: Record<string, Nd> = {};
	for (const [name, spec] of Object.entries(inputs)) {
		const shape = shapeOf(spec).map((dim) => resolveDim(dim, known));
		const { values, range, dtype = "float32" } = "shape" in spec ? spec : {};
		const random = () => (range ? range[0] + (range[1] - range[0]) * rng.uniform() : rng.normal());
		const next = () => (dtype === "float32" ? Math.fround(random()) : Math.floor(Math.abs(random())));
		feeds[name] = values ? nd(shape, values) : nd(shape, Array.from({ length: sizeOf(shape) }, next));
	}
	return feeds;
}

/** d sum(cotangent * output) / d input, element by element. */
function centralDifferences(options: {
	graph: Graph;
	input: Value;
	outputs: readonly Value[];
	feeds: Readonly<Record<string, Nd>>;
}): Nd {
	const { graph, input, outputs, feeds } = options;
	const { shape, data } = feeds[input.name] as Nd;
	const functional = (moved: Float64Array) => {
		const value = interpret(graph, { ...feeds, [input.name]: { shape, data: moved } });
		let total = 0;
		outputs.forEach((output, i) => {
			const cotangent = (feeds[`cotangent.${i}`] as Nd).data;
			value(output).data.forEach((y, j) => {
				total += y * (cotangent[j] as number);
			});
		});
		return total;
	};
	const differences = data.map((x, i) => {
		// The third derivative and rounding weigh about the same at the cube root of the precision.
		const step = 5e-6 * Math.max(1, Math.abs(x));
		const [up, down] = [x + step, x - step];
		return (functional(data.with(i, up)) - functional(data.with(i, down))) / (up - down);
	});
	return { shape, data: differences };
}

/** The gradient of one input when the others are frozen. */
function alone<K extends string>(
	check: OpCheck<K>,
	{ name, feeds }: { name: K; feeds: Readonly<Record<string, Nd>> },
): Nd {
	const { graph, inputs, outputs } = write(check);
	const of = new Map(outputs.map((y, i) => [y, graph.input(`cotangent.${i}`, y.dtype, y.shape)]));
	const gradient = gradients({ of, withRespectTo: [inputs[name]] }).get(inputs[name]);
	return interpret(graph, feeds)(gradient as Value);
}

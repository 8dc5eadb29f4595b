// Results and gradients of every differentiable operator against PyTorch's autograd in float64
// (test/fixtures/ops/generate.py, which writes the same expressions).
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import {
	abs,
	add,
	cast,
	concat,
	div,
	exp,
	expand,
	fastGelu,
	fusedMatMul,
	Graph,
	gather,
	gatherElements,
	gemm,
	identity,
	layerNormalization,
	log,
	logSoftmax,
	matMul,
	max,
	mul,
	neg,
	quickGelu,
	reciprocal,
	reduceMean,
	reduceSum,
	reduceSumSquare,
	reshape,
	sigmoid,
	slice,
	softmax,
	split,
	sqrt,
	sub,
	tanh,
	transpose,
	type Value,
	where,
} from "../graph/index.ts";
import { type Nd, nd } from "../graph/testing/array.ts";
import { interpret } from "../graph/testing/interpret.ts";
import { gradients } from "./gradients.ts";
import { rules } from "./rules.ts";
import { expectClose, run } from "./testing/check-op.ts";
import { withoutGradient } from "./testing/without-gradient.ts";

interface Plain {
	shape: number[];
	data: number[];
}
interface Fixture {
	inputs: Plain[];
	cotangent: Plain;
	output: Plain;
	gradients: Plain[];
}
const file = join(import.meta.dirname, "../../test/fixtures/ops/ops.json");
const fixtures = JSON.parse(readFileSync(file, "utf8")) as Record<string, Fixture>;

const indices = ({ graph }: Value) => graph.constant(BigInt64Array.of(2n, 0n, 2n, 1n, 2n, 2n), [2, 3], "int64");
const mask = ({ graph }: Value) => graph.constant(Uint8Array.of(1, 0), [2, 1], "bool");

type V = Value;
const expressions: Record<string, (...inputs: [V, V, V]) => V> = {
	Add: add,
	Sub: sub,
	Mul: mul,
	Div: div,
	Max: max,
	Neg: neg,
	Exp: exp,
	Log: log,
	Sqrt: sqrt,
	Reciprocal: reciprocal,
	Tanh: tanh,
	Sigmoid: sigmoid,
	Abs: abs,
	Identity: identity,
	Cast: (x) => cast(x, "float32"),
	FastGelu: fastGelu,
	QuickGelu: (x) => quickGelu(x, 1.702),
	Where: (a, b) => where(mask(a), a, b),
	MatMul: matMul,
	"MatMul rows": matMul,
	FusedMatMul: (a, b) => fusedMatMul(a, b, { transA: true, transB: true, alpha: -0.75 }),
	Gemm: (a, b, c) => gemm(a, b, { c, transA: true, transB: true, alpha: 1.5 }),
	"Gemm plain": (a, b, c) => gemm(a, b, { c }),
	Reshape: (x) => reshape(x, [4, 6]),
	Transpose: (x) => transpose(x, [1, 2, 0]),
	Split: (x) => {
		const parts = split(x, { axis: 1, parts: 3 });
		return mul(parts[1] as Value, parts[2] as Value);
	},
	Concat: (a, b) => concat([a, b], 1),
	Slice: (x) => slice(x, { axis: 1, start: 1, end: 3 }),
	Expand: (x) => expand(x, [3, 2, 4]),
	Gather: (x) => gather(x, indices(x)),
	GatherElements: (x) => gatherElements(x, indices(x), 1),
	ScatterElements: (x, u) =>
		x.graph.add("ScatterElements", [x, indices(x), u], { axis: 1, reduction: "add" })[0] as Value,
	ReduceSum: (x) => reduceSum(x, { axes: [0, 2] }),
	ReduceMean: (x) => reduceMean(x, { axes: [0, 2], keepDims: true }),
	ReduceSumSquare: (x) => reduceSumSquare(x, { axes: [-1] }),
	Softmax: (x) => softmax(x, 1),
	LogSoftmax: (x) => logSoftmax(x, 1),
	LayerNormalization: (x, weight, bias) => layerNormalization(x, weight, { bias, epsilon: 1e-5 }),
};

const array = ({ shape, data }: Plain): Nd => nd(shape, data);

test.each(Object.entries(fixtures))("%s", async (name, fixture) => {
	const graph = new Graph();
	const inputs = fixture.inputs.map(({ shape }, i) => graph.input(`x${i}`, "float32", shape));
	const y = (expressions[name] as (...inputs: V[]) => V)(...inputs);
	expect(graph.nodes.map(({ op }) => op)).toContain(name.split(" ")[0]);
	const cotangent = graph.input("cotangent", "float32", y.shape);
	const found = gradients({ of: new Map([[y, cotangent]]), withRespectTo: inputs });
	graph.output("y", y);
	inputs.forEach((input, i) => {
		graph.output(`gradient${i}`, found.get(input) as Value);
	});
	const feeds = Object.fromEntries(fixture.inputs.map((input, i) => [`x${i}`, array(input)]));
	feeds.cotangent = array(fixture.cotangent);
	const value = interpret(graph, feeds);
	const results = await run(graph, feeds);
	const expected = { y: fixture.output, ...Object.fromEntries(fixture.gradients.map((x, i) => [`gradient${i}`, x])) };
	for (const [what, oracle] of Object.entries(expected)) {
		expectClose(value(graph.outputs.get(what) as Value), array(oracle), { tolerance: 1e-6, what });
		expectClose(results[what] as Nd, array(oracle), { tolerance: 1e-5, what: `${what} by ONNX Runtime` });
	}
});

test("every operator with a gradient has a fixture", () => {
	const known = Object.keys(fixtures).map((name) => name.split(" ")[0] as string);
	expect(Object.keys(rules).sort()).toEqual([...new Set([...known, ...Object.keys(withoutGradient)])].sort());
});

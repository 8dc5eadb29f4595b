// The chunked cross-entropy with gradients by hand, against the plain expression differentiated node by node.
import { describe, expect, test } from "vitest";
import { gradients } from "../autodiff/index.ts";
import { expectClose, run } from "../autodiff/testing/check-op.ts";
import {
	add,
	Graph,
	gatherElements,
	logSoftmax,
	matMul,
	mul,
	neg,
	reduceSum,
	reshape,
	transpose,
	type Value,
} from "../graph/index.ts";
import { build, type Nd, nd } from "../graph/testing/array.ts";
import { interpret } from "../graph/testing/interpret.ts";
import { Rng } from "../util/rng.ts";
import { linearCrossEntropy } from "./cross-entropy.ts";

const [rows, channels, vocabulary] = [12, 5, 7];
const rng = new Rng("cross-entropy");
const random = (...shape: number[]) => build(shape, () => Math.fround(rng.normal()));
const feeds = {
	hidden: random(rows, channels),
	table: random(vocabulary, channels),
	labels: nd([rows], [6, 0, 0, 3, 6, 6, 1, 5, 2, 6, 0, 0]),
	// The last two only fill up.
	weights: nd([rows], [...Array<number>(rows - 2).fill(Math.fround(0.1)), 0, 0]),
};

function inputs(rowsInSymbols: string) {
	const graph = new Graph();
	const hidden = graph.input("hidden", "float32", [rowsInSymbols, channels]);
	const table = graph.input("table", "float32", [vocabulary, channels]);
	const labels = graph.input("labels", "int64", [rowsInSymbols]);
	const weights = graph.input("weights", "float32", [rowsInSymbols]);
	return { graph, hidden, table, labels, weights };
}

/** Loss without smoothing; gradients of the smoothed loss. */
function plain(labelSmoothing: number) {
	const { graph, hidden, table, labels, weights } = inputs("N");
	const logProbabilities = logSoftmax(matMul(hidden, transpose(table, [1, 0])));
	const column = (x: Value) => reshape(x, ["N", 1]);
	const likelihood = gatherElements(logProbabilities, column(labels), 1);
	const total = (x: Value) => neg(reduceSum(mul(x, column(weights))));
	const everyToken = reduceSum(logProbabilities, { axes: [1], keepDims: true });
	const smoothed = add(mul(likelihood, 1 - labelSmoothing), mul(everyToken, labelSmoothing / vocabulary));
	const of = new Map([[total(smoothed), graph.scalar(1)]]);
	const found = gradients({ of, withRespectTo: [hidden, table] });
	const value = interpret(graph, feeds);
	return {
		loss: value(total(likelihood)),
		hidden: value(found.get(hidden) as Value),
		table: value(found.get(table) as Value),
	};
}

describe.each([0, 0.1])("label smoothing %d", (labelSmoothing) => {
	const expected = plain(labelSmoothing);

	test.each([1, 2, 3, 4])("loss and gradients equal the plain expression's, in %d chunks", async (chunks) => {
		const { graph, hidden, ...rest } = inputs(`${chunks}*R`);
		const gradient = { hidden: true, table: true, newRows: { from: 4, count: 3 } };
		const { loss, ...found } = linearCrossEntropy(hidden, { ...rest, chunks, labelSmoothing, gradient });
		graph.output("its loss", reshape(loss, []));
		for (const [name, value] of Object.entries(found)) graph.output(`its ${name}`, value);
		const value = interpret(graph, feeds);
		const results = await run(graph, feeds);
		const newRows = nd([3, channels], expected.table.data.slice(4 * channels));
		for (const [what, oracle] of Object.entries({ ...expected, newRows })) {
			expectClose(value(graph.outputs.get(`its ${what}`) as Value), oracle, { tolerance: 1e-6, what });
			expectClose(results[`its ${what}`] as Nd, oracle, { tolerance: 1e-5, what: `${what} by ONNX Runtime` });
		}
		const filling = value(found.hidden as Value).data.slice((rows - 2) * channels);
		expect([...filling].every((x) => x === 0)).toBe(true);
	});

	test.each([
		["of the hidden states alone", { hidden: true, table: false }],
		["of the table alone", { hidden: false, table: true }],
		["of the hidden states and new rows", { hidden: true, table: false, newRows: { from: 4, count: 3 } }],
		["none", { hidden: false, table: false }],
	])("gradients that are asked for: %s", (_, gradient) => {
		const { hidden, ...rest } = inputs("3*R");
		const { loss, ...found } = linearCrossEntropy(hidden, { ...rest, chunks: 3, labelSmoothing, gradient });
		const value = interpret(hidden.graph, feeds);
		expectClose(value(loss), expected.loss, { tolerance: 1e-6, what: "loss" });
		const asked = Object.entries(gradient).flatMap(([name, wanted]) => (wanted ? [name] : []));
		expect(Object.keys(found).sort()).toEqual(asked.sort());
		if (found.hidden) expectClose(value(found.hidden), expected.hidden, { tolerance: 1e-6, what: "hidden" });
		if (found.table) expectClose(value(found.table), expected.table, { tolerance: 1e-6, what: "table" });
	});
});

test("nothing of the width of the vocabulary is built for gradients that are not asked for", () => {
	const { graph, hidden, ...rest } = inputs("N");
	linearCrossEntropy(hidden, { ...rest, chunks: 1, gradient: { hidden: false, table: false } });
	const wide = graph.nodes.filter(({ outputs }) => outputs[0]?.shape[1] === vocabulary);
	expect(wide.map(({ op }) => op)).toEqual(["Gemm", "LogSoftmax"]);
});

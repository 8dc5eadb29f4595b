// Reverse-mode differentiation as a function from graph to graph: the gradient of each operator is written with more
// operators of the same graph (rules.ts). Only what lies between the wanted values and the outputs is differentiated:
// nothing is computed for frozen weights.

import {
	add,
	after,
	formatShape,
	GraphError,
	type Node,
	sameShape,
	scatterAddRows,
	type Value,
	zeros,
} from "../graph/index.ts";
import { type Contribution, rules } from "./rules.ts";

export interface GradientOptions {
	/** Outputs to differentiate, each with its cotangent (the gradient of the scalar of interest), of the same shape. */
	of: ReadonlyMap<Value, Value>;
	withRespectTo: readonly Value[];
	/**
	 * Stretches of nodes whose results are not kept for the backward pass but computed again, once their output's
	 * gradient is there (Chen et al., 2016). A stretch must end in one value of the same shape as one of its inputs.
	 */
	recompute?: readonly Segment[];
}

/** Nodes `start` (included) to `end` (excluded) of the graph. */
export interface Segment {
	readonly start: number;
	readonly end: number;
}

/** The gradient of each wanted value; undefined for one that the outputs do not depend on. */
export function gradients({ of, withRespectTo, recompute = [] }: GradientOptions): Map<Value, Value | undefined> {
	const graph = [...of.keys()][0]?.graph;
	if (!graph) return new Map();
	const forward = [...graph.nodes];
	const active = dependents(forward, withRespectTo);
	const collected = new Map<Value, Contribution[]>();
	const collect = (value: Value, contribution: Contribution) => {
		const list = collected.get(value);
		if (list) list.push(contribution);
		else collected.set(value, [contribution]);
	};
	for (const [output, cotangent] of of) {
		if (!sameShape(output.shape, cotangent.shape) || output.dtype !== cotangent.dtype) {
			throw new GraphError(`the cotangent of ${describe(output)} is ${describe(cotangent)}`);
		}
		collect(output, cotangent);
	}

	const backward = (node: Node, original: Node) => {
		if (!original.inputs.some((input) => input && active.has(input))) return;
		const outputGradients = original.outputs.map((output) => total(output, collected));
		if (outputGradients.every((gradient) => gradient === undefined)) return;
		const needed = (index: number) => active.has(original.inputs[index] as Value);
		let contributions: readonly (Contribution | undefined)[];
		try {
			contributions = rules[node.op]({ node, gradients: outputGradients, needed });
		} catch (error) {
			const given = node.inputs.map((input) => (input ? describe(input) : "(absent)")).join(", ");
			throw new GraphError(`gradient of ${node.op}(${given}): ${(error as Error).message}`, { cause: error });
		}
		contributions.forEach((contribution, index) => {
			const input = original.inputs[index];
			if (input && contribution && active.has(input)) collect(input, contribution);
		});
	};

	const segments = [...recompute].sort((a, b) => b.start - a.start);
	for (let index = forward.length - 1; index >= 0; index--) {
		const segment = segments.find(({ start, end }) => index >= start && index < end);
		if (!segment) {
			const node = forward[index] as Node;
			backward(node, node);
			continue;
		}
		const nodes = forward.slice(segment.start, segment.end);
		const output = (nodes.at(-1) as Node).outputs[0] as Value;
		const gradient = total(output, collected);
		const copies = gradient ? repeat(nodes, gradient) : nodes;
		for (let i = nodes.length - 1; i >= 0; i--) backward(copies[i] as Node, nodes[i] as Node);
		index = segment.start;
	}
	return new Map(withRespectTo.map((value) => [value, total(value, collected)]));
}

/** The values that depend on any of the sources, the sources included. */
function dependents(nodes: readonly Node[], sources: readonly Value[]): Set<Value> {
	const active = new Set(sources);
	for (const node of nodes) {
		if (!node.inputs.some((input) => input && active.has(input))) continue;
		for (const output of node.outputs) {
			// A shape depends on its value, too, but not smoothly.
			if (output.dtype.startsWith("float") && !output.graph.detached.has(output)) active.add(output);
		}
	}
	return active;
}

/** The sum of what has been collected for a value; replaced by the sum, so that it is built once. */
function total(value: Value, collected: Map<Value, Contribution[]>): Value | undefined {
	const list = collected.get(value);
	if (!list) return undefined;
	let sum: Value | undefined;
	for (const part of list) if (!("rows" in part)) sum = sum ? add(sum, part) : part;
	for (const part of list) {
		if ("rows" in part) sum = scatterAddRows(sum ?? zeros(value.graph, value.shape), part.rows, part.updates);
	}
	if (sum && !sameShape(sum.shape, value.shape)) {
		throw new GraphError(`the gradient of ${describe(value)} came out as ${describe(sum)}`);
	}
	collected.set(value, [sum as Value]);
	return sum;
}

function describe({ name, dtype, shape }: Value): string {
	return `${name}: ${dtype}${formatShape(shape)}`;
}

/** Adds the nodes once more, their input of the output's shape held back until `gradient` is there. */
function repeat(nodes: readonly Node[], gradient: Value): Node[] {
	const graph = gradient.graph;
	const inside = new Set(nodes.flatMap((node) => node.outputs));
	const copies = new Map<Value, Value>();
	const copyOf = (input: Value): Value => {
		const known = copies.get(input);
		if (known) return known;
		const held = input.node && input.shape.join() === gradient.shape.join() && !inside.has(input);
		const copy = held ? after(input, gradient) : input;
		copies.set(input, copy);
		return copy;
	};
	return nodes.map((node) => {
		const outputs = graph.add(
			node.op,
			node.inputs.map((input) => input && copyOf(input)),
			node.attributes,
		);
		node.outputs.forEach((output, i) => {
			copies.set(output, outputs[i] as Value);
		});
		return (outputs[0] as Value).node as Node;
	});
}

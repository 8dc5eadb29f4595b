// An optimizer's update as a graph that runs in place: each new value is written over the memory of the old one.

import { Graph, GraphError, type Node, type Value } from "../graph/index.ts";
import type { Optimizer, Variant } from "./optimizer.ts";

export interface UpdateGraph {
	readonly graph: Graph;
	/** Names of the scalar inputs, which all pieces share. */
	readonly scalars: readonly string[];
	/** Output name -> the input whose memory it is written to. */
	readonly inPlace: ReadonlyMap<string, string>;
}

/**
 * For `pieces` of N elements each (N is symbolic), one after the other. The tensors of piece 2 are the inputs
 * "parameter.2", "gradient.2" and one for each state, such as "exp_avg.2".
 */
export function buildUpdateGraph(
	optimizer: Optimizer,
	{ pieces, ...variant }: Variant & { pieces: number },
): UpdateGraph {
	const graph = new Graph();
	const scalars = new Map<string, Value>();
	const scalar = (name: string) => {
		const known = scalars.get(name) ?? graph.input(name, "float32", []);
		scalars.set(name, known);
		return known;
	};
	const inPlace = new Map<string, string>();
	const write = (old: Value, updated: Value) => {
		needSafeInPlace(graph, { old, updated });
		const name = `${old.name}.new`;
		graph.output(name, updated);
		inPlace.set(name, old.name);
	};
	for (let piece = 0; piece < pieces; piece++) {
		const input = (name: string) => graph.input(`${name}.${piece}`, "float32", ["N"]);
		const parameter = input("parameter");
		const gradient = input("gradient");
		const states = Object.fromEntries(optimizer.states(variant.settings).map((name) => [name, input(name)]));
		const update = optimizer.update({ parameter, gradient, states, scalar }, variant);
		write(parameter, update.parameter);
		for (const [name, old] of Object.entries(states)) write(old, update.states[name] as Value);
	}
	return { graph, scalars: [...scalars.keys()], inPlace };
}

/**
 * ONNX Runtime may run nodes in any order that their inputs allow. So `updated` may only take the memory of `old` when
 * every node that reads `old` is bound to be done by then: the node that writes it, or one it depends on.
 */
function needSafeInPlace(graph: Graph, { old, updated }: { old: Value; updated: Value }): void {
	const before = new Set<Node>();
	const visit = (node: Node | undefined): void => {
		if (!node || before.has(node)) return;
		before.add(node);
		for (const input of node.inputs) visit(input?.node);
	};
	visit(updated.node);
	const late = graph.nodes.find((node) => node.inputs.includes(old) && !before.has(node));
	if (!updated.node) throw new GraphError(`"${old.name}" is not updated by any node`);
	if (late) throw new GraphError(`"${old.name}" would be overwritten before ${late.op} has read it`);
}

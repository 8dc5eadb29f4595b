// In which order ONNX Runtime executes a graph and which memory its results have: a forecast without running anything.
// The order is that of GraphViewer (depth first from the leaves, backwards, highest node first), the sharing of buffers
// that of AllocationPlanner, both of onnxruntime 1.30 as its sources and a profile of a training graph show them. Fusions
// are not foreseen; they change little in graphs that are written fused.

import { type Graph, type Node, nodesInOrder, resolveDim, type Shape, type Value } from "../graph/index.ts";
import type { DType } from "../runtime/index.ts";

/** Values of the named dimensions: B, T, R. */
export type Sizes = Readonly<Record<string, number>>;

/** Memory of one or, one after the other, several results. */
export interface GraphBuffer {
	readonly dtype: DType;
	readonly shape: Shape;
	/** Indices into `Execution.nodes`: it is allocated before the one and freed after the other. */
	readonly first: number;
	readonly last: number;
}

export interface Execution {
	/** In the order of execution; those that no output depends on are left out. */
	readonly nodes: readonly Node[];
	/** What ONNX Runtime allocates: neither inputs nor outputs, whose memory is ours. In order of `first`. */
	readonly buffers: readonly GraphBuffer[];
}

export function planExecution(graph: Graph): Execution {
	const nodes = executionOrder(graph);
	return { nodes, buffers: allocate(graph, nodes) };
}

const elementBytes: Readonly<Partial<Record<DType, number>>> = {
	int64: 8,
	float64: 8,
	uint64: 8,
	float16: 2,
	bfloat16: 2,
	uint16: 2,
	int16: 2,
	uint8: 1,
	int8: 1,
	bool: 1,
	uint4: 0.5,
};

/** Bytes of a tensor when the named dimensions have these sizes. */
export function bytesOf({ dtype, shape }: { dtype: DType; shape: Shape }, sizes: Sizes): number {
	return elementsOf(shape, sizes) * (elementBytes[dtype] ?? 4);
}

export function elementsOf(shape: Shape, sizes: Sizes): number {
	return shape.reduce<number>((n, dim) => n * (typeof dim === "number" ? dim : resolveDim(dim, sizes)), 1);
}

function executionOrder(graph: Graph): Node[] {
	const nodes = nodesInOrder(graph);
	const index = new Map(nodes.map((node, i) => [node, i]));
	const producers = ({ inputs }: Node) => {
		const found = new Set(inputs.flatMap((input) => (input?.node ? [input.node] : [])));
		return [...found].sort((a, b) => (index.get(a) as number) - (index.get(b) as number));
	};
	const read = new Set(nodes.flatMap(producers));
	const leaves = nodes.filter((node) => !read.has(node));
	const order: Node[] = [];
	const visited = new Set<Node>();
	// A node stands on the stack twice: to be entered, and to be executed when everything before it has been.
	const stack: { node: Node; done: boolean }[] = leaves.map((node) => ({ node, done: false }));
	for (let top = stack.pop(); top; top = stack.pop()) {
		if (top.done) order.push(top.node);
		else if (!visited.has(top.node)) {
			visited.add(top.node);
			stack.push({ node: top.node, done: true });
			for (const node of producers(top.node)) if (!visited.has(node)) stack.push({ node, done: false });
		}
	}
	return order;
}

/** Results are the memory of their first input under another shape. */
const aliases = new Set(["Reshape", "Identity"]);
/** Kernels that are seen to write over the first (some: the second) input when nobody else reads it. */
const inPlace: Readonly<Record<string, readonly number[]>> = {
	...Object.fromEntries(["Add", "Sub", "Mul", "Div"].map((op) => [op, [0, 1]])),
	...Object.fromEntries(
		["Neg", "Log", "Sqrt", "Reciprocal", "Tanh", "Sigmoid", "Abs", "Softmax", "LogSoftmax", "ScatterElements"].map(
			(op) => [op, [0]],
		),
	),
};

interface OpenBuffer extends GraphBuffer {
	last: number;
	/** Reads that are still to come. */
	reads: number;
}

/** Operators after which ONNX Runtime no longer knows the names of the dimensions. */
const forgetful = new Set(["Reshape", "Split", "Slice", "Expand", "Concat"]);

/** Whether ONNX Runtime knows a shape before the run: in numbers, or in names that it has followed from the inputs. */
function shapeKnowledge(): (value: Value) => boolean {
	const known = new Map<Value, boolean>();
	const isKnown = (value: Value): boolean => {
		const found = known.get(value);
		if (found !== undefined) return found;
		const { node, shape } = value;
		const named = shape.filter((dim) => typeof dim === "string");
		const fromInputs = (inputs: Node["inputs"]) =>
			named.every((dim) => inputs.some((input) => input?.shape.includes(dim) && isKnown(input)));
		const result = named.length === 0 || !node || (!forgetful.has(node.op) && fromInputs(node.inputs));
		known.set(value, result);
		return result;
	};
	return isKnown;
}

function allocate(graph: Graph, nodes: readonly Node[]): GraphBuffer[] {
	const isKnown = shapeKnowledge();
	const knownShape = (value: Value) => (value.shape.length > 0 && isKnown(value) ? shapeKey(value) : undefined);
	const results = new Set(graph.outputs.values());
	const reads = new Map<Value, number>();
	for (const { inputs } of nodes) for (const input of inputs) if (input) reads.set(input, (reads.get(input) ?? 0) + 1);
	const bufferOf = new Map<Value, OpenBuffer>();
	/** Of the first result in a buffer. */
	const keyOf = new Map<OpenBuffer, string | undefined>();
	const buffers: OpenBuffer[] = [];
	/** By shape: ONNX Runtime uses memory again only where it knows beforehand that the shapes are the same. */
	const free = new Map<string, OpenBuffer[]>();
	nodes.forEach((node, step) => {
		node.outputs.forEach((output, i) => {
			// A result in memory of ours; what it aliases must be kept all the same.
			if (results.has(output)) return;
			const input = node.inputs[0];
			const key = knownShape(output);
			const read = reads.get(output) ?? 0;
			let buffer: OpenBuffer | undefined;
			if (aliases.has(node.op)) {
				buffer = input && bufferOf.get(input);
				if (!buffer) return;
			} else if (key !== undefined && i === 0) {
				buffer = writableInput(node, { key, bufferOf, knownShape }) ?? free.get(key)?.pop();
			}
			if (!buffer) {
				buffer = { dtype: output.dtype, shape: output.shape, first: step, last: step, reads: 0 };
				buffers.push(buffer);
				keyOf.set(buffer, key);
			}
			buffer.reads += read;
			bufferOf.set(output, buffer);
		});
		for (const value of [...node.inputs, ...node.outputs]) {
			const buffer = value && bufferOf.get(value);
			if (!buffer) continue;
			buffer.last = step;
			if (value.node !== node) buffer.reads--;
			const key = keyOf.get(buffer);
			if (buffer.reads === 0 && key !== undefined) free.set(key, [...(free.get(key) ?? []), buffer]);
		}
	});
	return buffers;
}

function writableInput(
	{ op, inputs }: Node,
	{
		key,
		bufferOf,
		knownShape,
	}: {
		key: string;
		bufferOf: ReadonlyMap<Value, OpenBuffer>;
		knownShape: (value: Value) => string | undefined;
	},
): OpenBuffer | undefined {
	for (const index of inPlace[op] ?? []) {
		const input = inputs[index];
		const buffer = input && bufferOf.get(input);
		if (buffer && buffer.reads === 1 && knownShape(input) === key) return buffer;
	}
	return undefined;
}

const shapeKey = ({ dtype, shape }: Value) => `${dtype}${shape}`;

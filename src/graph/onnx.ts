// Writes a graph as an ONNX model: the eight protobuf messages that are needed, and no more. Field numbers are those of
// onnx.proto. Weights are not in here: initializers are declared as external and handed to the session in memory.

import type { Dim } from "./dim.ts";
import type { Graph, Node, Value } from "./graph.ts";
import { onnxTypes } from "./ops/elementwise.ts";
import { ops } from "./ops/index.ts";

const opset = 21;
const irVersion = 10;

/** The model as protobuf bytes, ready for a session. Nodes that no output depends on are left out. */
export function toOnnx(graph: Graph): Uint8Array {
	return message([
		integer(1, irVersion),
		text(2, "attune"),
		bytes(7, graphMessage(graph)),
		bytes(8, message([text(1, ""), integer(2, opset)])),
		bytes(8, message([text(1, "com.microsoft"), integer(2, 1)])),
	]);
}

function graphMessage(graph: Graph): Uint8Array {
	// A result that is an input or constant, or that is declared twice, needs a node to carry its name.
	const names = new Map<Value, string>();
	const aliases: [string, Value][] = [];
	for (const [name, value] of graph.outputs) {
		if (value.node && !names.has(value)) names.set(value, name);
		else aliases.push([name, value]);
	}
	const nameOf = (value: Value) => names.get(value) ?? value.name;
	const nodes = nodesInOrder(graph);
	const values = new Set([...graph.outputs.values(), ...nodes.flatMap(({ inputs }) => inputs)]);
	const parts = nodes.map((node) => bytes(1, nodeMessage(node, nameOf)));
	for (const [name, value] of aliases) {
		parts.push(bytes(1, message([text(1, nameOf(value)), text(2, name), text(4, "Identity")])));
	}
	parts.push(text(2, "attune"));
	for (const value of graph.constants) if (values.has(value)) parts.push(bytes(5, constantMessage(value)));
	for (const value of graph.initializers) parts.push(bytes(5, externalMessage(value)));
	for (const value of graph.inputs) parts.push(bytes(11, valueInfo(value.name, value)));
	for (const [name, value] of graph.outputs) parts.push(bytes(12, valueInfo(name, value)));
	return message(parts);
}

/**
 * The nodes that the outputs depend on, as they are written. ONNX Runtime (1.30) executes what the last node without a
 * reader needs, then what the one before it needs in addition, and so on. So the nodes that nobody reads come last, the
 * one that can be computed first at the very end: a gradient that is an output is then computed when its turn has come,
 * not after all others, which would keep every activation until then.
 */
export function nodesInOrder(graph: Graph): Node[] {
	const wanted = new Set<Value | undefined>(graph.outputs.values());
	const read = new Set<Value | undefined>();
	const needed = graph.nodes.toReversed().filter(({ inputs, outputs }) => {
		if (!outputs.some((output) => wanted.has(output))) return false;
		for (const input of inputs) {
			wanted.add(input);
			read.add(input);
		}
		return true;
	});
	const place = new Map(needed.map((node, i) => [node, needed.length - i]));
	const readyAt = ({ inputs }: Node) =>
		Math.max(0, ...inputs.map((input) => (input?.node ? (place.get(input.node) ?? 0) : 0)));
	const isRead = ({ outputs }: Node) => outputs.some((output) => read.has(output));
	const unread = needed.filter((node) => !isRead(node)).sort((a, b) => readyAt(b) - readyAt(a));
	return [...needed.filter(isRead).reverse(), ...unread];
}

function nodeMessage(node: Node, nameOf: (value: Value) => string): Uint8Array {
	const definition = ops[node.op];
	const parts = [
		...node.inputs.map((input) => text(1, input ? nameOf(input) : "")),
		...node.outputs.map((output) => text(2, nameOf(output))),
		text(3, (node.outputs[0] as Value).name),
		text(4, node.op),
	];
	for (const [name, value] of Object.entries(node.attributes)) {
		const kind = definition.attributes[name];
		const attribute = [text(1, name)];
		// The last field is AttributeProto.type.
		if (kind === "float") attribute.push(float(2, value as number), integer(20, 1));
		else if (kind === "int") attribute.push(integer(3, value as number), integer(20, 2));
		else if (kind === "string") attribute.push(text(4, value as string), integer(20, 3));
		else attribute.push(...(value as number[]).map((x) => integer(8, x)), integer(20, 7));
		parts.push(bytes(5, message(attribute)));
	}
	if (definition.domain) parts.push(text(7, definition.domain));
	return message(parts);
}

function constantMessage(value: Value): Uint8Array {
	const data = value.constant as NonNullable<Value["constant"]>;
	const raw = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
	return message([...tensorHead(value), bytes(9, raw)]);
}

function externalMessage(value: Value): Uint8Array {
	const location = message([text(1, "location"), text(2, "given-in-memory")]);
	return message([...tensorHead(value), bytes(13, location), integer(14, 1)]);
}

function tensorHead(value: Value): Uint8Array[] {
	return [
		...value.shape.map((dim) => integer(1, dim as number)),
		integer(2, onnxTypes[value.dtype]),
		text(8, value.name),
	];
}

function valueInfo(name: string, { dtype, shape }: Value): Uint8Array {
	const dims = shape.map((dim: Dim) => bytes(1, message([typeof dim === "number" ? integer(1, dim) : text(2, dim)])));
	const tensor = message([integer(1, onnxTypes[dtype]), bytes(2, message(dims))]);
	return message([text(1, name), bytes(2, message([bytes(1, tensor)]))]);
}

// Protobuf's wire format: varints, length-delimited fields, 32-bit floats.

const encoder = new TextEncoder();

function message(parts: readonly Uint8Array[]): Uint8Array {
	const out = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

function varint(value: number): number[] {
	// Negative numbers are 64-bit two's complement.
	let rest = BigInt.asUintN(64, BigInt(value));
	const out: number[] = [];
	while (rest >= 0x80n) {
		out.push(Number(rest & 0x7fn) | 0x80);
		rest >>= 7n;
	}
	out.push(Number(rest));
	return out;
}

function integer(field: number, value: number): Uint8Array {
	return Uint8Array.from([...varint(field * 8), ...varint(value)]);
}

function float(field: number, value: number): Uint8Array {
	return message([Uint8Array.from(varint(field * 8 + 5)), new Uint8Array(Float32Array.of(value).buffer)]);
}

function bytes(field: number, value: Uint8Array): Uint8Array {
	return message([Uint8Array.from([...varint(field * 8 + 2), ...varint(value.length)]), value]);
}

function text(field: number, value: string): Uint8Array {
	return bytes(field, encoder.encode(value));
}

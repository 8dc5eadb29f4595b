// The least ONNX writer that the tests of this folder need. The real one is graph/toOnnx, which lies above us.

export interface TestValue {
	name: string;
	/** TensorProto.DataType; 1 is float32. */
	type?: number;
	/** A string is a symbolic dimension. */
	shape: readonly (number | string)[];
}

export interface TestNode {
	op: string;
	inputs: readonly string[];
	outputs: readonly string[];
	name?: string;
	domain?: string;
	/** Integer attributes only. */
	attributes?: Record<string, number>;
}

export interface TestGraph {
	nodes: readonly TestNode[];
	inputs: readonly TestValue[];
	outputs: readonly TestValue[];
	/** Initializers without data: the session gets them as tensors. */
	initializers?: readonly TestValue[];
}

/** The bytes of a ModelProto. */
export function encodeModel(graph: TestGraph): Uint8Array {
	const body = [
		...graph.nodes.map((node) => message(1, encodeNode(node))),
		text(2, "test"),
		...(graph.initializers ?? []).map((value) => message(5, encodeInitializer(value))),
		...graph.inputs.map((value) => message(11, encodeValue(value))),
		...graph.outputs.map((value) => message(12, encodeValue(value))),
	].flat();
	const opset = (domain: string, version: number) => message(8, [...text(1, domain), ...integer(2, version)]);
	return Uint8Array.from([...integer(1, 10), ...message(7, body), ...opset("", 21), ...opset("com.microsoft", 1)]);
}

function encodeNode({ op, inputs, outputs, name = "", domain = "", attributes = {} }: TestNode): number[] {
	return [
		...inputs.flatMap((input) => text(1, input)),
		...outputs.flatMap((output) => text(2, output)),
		...text(3, name),
		...text(4, op),
		...Object.entries(attributes).flatMap(([key, value]) =>
			message(5, [...text(1, key), ...integer(3, value), ...integer(20, 2)]),
		),
		...text(7, domain),
	];
}

function encodeValue({ name, type = 1, shape }: TestValue): number[] {
	const dims = shape.flatMap((size) => message(1, typeof size === "string" ? text(2, size) : integer(1, size)));
	return [...text(1, name), ...message(2, message(1, [...integer(1, type), ...message(2, dims)]))];
}

function encodeInitializer({ name, type = 1, shape }: TestValue): number[] {
	const entry = [...text(1, "location"), ...text(2, "memory")];
	const dims = shape.flatMap((size) => integer(1, size as number));
	return [...dims, ...integer(2, type), ...text(8, name), ...message(13, entry), ...integer(14, 1)];
}

function message(field: number, bytes: readonly number[]): number[] {
	return [...varint(field * 8 + 2), ...varint(bytes.length), ...bytes];
}

function text(field: number, value: string): number[] {
	return message(field, [...new TextEncoder().encode(value)]);
}

function integer(field: number, value: number): number[] {
	return [...varint(field * 8), ...varint(value)];
}

function varint(value: number): number[] {
	const bytes: number[] = [];
	let rest = BigInt.asUintN(64, BigInt(value));
	while (rest > 127n) {
		bytes.push(Number(rest & 127n) | 128);
		rest >>= 7n;
	}
	return [...bytes, Number(rest)];
}

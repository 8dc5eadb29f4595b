// The bytes of a model, read by a reader of protobuf that shares nothing with the writer. Field numbers are onnx.proto's.
import { describe, expect, test } from "vitest";
import { Session, Tensor } from "../runtime/index.ts";
import {
	abs,
	add,
	exp,
	fusedMatMul,
	Graph,
	matMul,
	mul,
	neg,
	nodesInOrder,
	reduceSum,
	reshape,
	scatterAddRows,
	softmax,
	split,
	tanh,
	toOnnx,
	transpose,
	type Value,
	where,
} from "./index.ts";

type Field = bigint | Uint8Array;
type Message = Map<number, Field[]>;

/** Numbers and 32-bit floats come as bigint and as four bytes. */
function read(bytes: Uint8Array): Message {
	const out: Message = new Map();
	let at = 0;
	const varint = () => {
		let value = 0n;
		for (let shift = 0n; ; shift += 7n) {
			const byte = bytes[at++];
			if (byte === undefined) throw new Error("cut off");
			value |= BigInt(byte & 127) << shift;
			if (byte < 128) return value;
		}
	};
	const take = (length: number) => {
		if (at + length > bytes.length) throw new Error("cut off");
		at += length;
		return bytes.slice(at - length, at);
	};
	while (at < bytes.length) {
		const key = Number(varint());
		const wire = key % 8;
		if (![0, 2, 5].includes(wire)) throw new Error(`wire type ${wire}`);
		const field = wire === 0 ? varint() : take(wire === 5 ? 4 : Number(varint()));
		out.set(Math.floor(key / 8), [...(out.get(Math.floor(key / 8)) ?? []), field]);
	}
	return out;
}

const all = (message: Message, field: number) => message.get(field) ?? [];
const messages = (message: Message, field: number) => all(message, field).map((bytes) => read(bytes as Uint8Array));
const message = (parent: Message, field: number) => messages(parent, field)[0] as Message;
const texts = (message: Message, field: number) =>
	all(message, field).map((bytes) => new TextDecoder().decode(bytes as Uint8Array));
const text = (message: Message, field: number) => texts(message, field)[0];
const ints = (message: Message, field: number) =>
	all(message, field).map((value) => Number(BigInt.asIntN(64, value as bigint)));

function attribute(node: Message, name: string) {
	const found = messages(node, 5).find((attribute) => text(attribute, 1) === name) as Message;
	const [type] = ints(found, 20);
	const f = all(found, 2)[0] as Uint8Array | undefined;
	// AttributeProto.type: 1 FLOAT, 2 INT, 3 STRING, 7 INTS.
	if (type === 1) return new DataView((f as Uint8Array).buffer).getFloat32(0, true);
	if (type === 2) return ints(found, 3)[0];
	if (type === 3) return text(found, 4);
	if (type === 7) return ints(found, 8);
	throw new Error(`attribute type ${type}`);
}

function valueInfo(info: Message) {
	const tensor = message(message(info, 2), 1);
	const shape = messages(message(tensor, 2), 1).map((dim) => text(dim, 2) ?? ints(dim, 1)[0]);
	return { name: text(info, 1), type: ints(tensor, 1)[0], shape };
}

function decode(graph: Graph) {
	const model = read(toOnnx(graph));
	const body = message(model, 7);
	return {
		model,
		nodes: messages(body, 1),
		initializers: messages(body, 5),
		inputs: messages(body, 11).map(valueInfo),
		outputs: messages(body, 12).map(valueInfo),
		node: (op: string) => messages(body, 1).find((node) => text(node, 4) === op) as Message,
	};
}

describe("what is written", () => {
	test("versions and domains", () => {
		const { model } = decode(new Graph());
		expect(ints(model, 1)).toEqual([10]);
		expect(messages(model, 8).map((opset) => [text(opset, 1), ints(opset, 2)[0]])).toEqual([
			["", 21],
			["com.microsoft", 1],
		]);
	});

	test("inputs and outputs with names for unknown sizes", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["B", "T", 300]);
		const ids = graph.input("ids", "int64", []);
		graph.output("flat", reshape(x, ["B*T", 300]));
		graph.output("number", neg(ids));
		graph.output("yes", where(graph.input("flag", "bool", ["B"]), 1, 0));
		const { inputs, outputs } = decode(graph);
		expect(inputs).toEqual([
			{ name: "x", type: 1, shape: ["B", "T", 300] },
			{ name: "ids", type: 7, shape: [] },
			{ name: "flag", type: 9, shape: ["B"] },
		]);
		expect(outputs).toEqual([
			{ name: "flat", type: 1, shape: ["B*T", 300] },
			{ name: "number", type: 7, shape: [] },
			{ name: "yes", type: 1, shape: ["B"] },
		]);
	});

	test("attributes of every kind, negative ones too", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", [2, 2]);
		const scattered = scatterAddRows(x, graph.int64([0, 1]), transpose(softmax(x), [1, 0]));
		graph.output("y", fusedMatMul(scattered, x, { transB: true, alpha: -0.125 }));
		const { node } = decode(graph);
		expect(attribute(node("Softmax"), "axis")).toBe(-1);
		expect(attribute(node("Transpose"), "perm")).toEqual([1, 0]);
		expect(attribute(node("ScatterElements"), "reduction")).toBe("add");
		expect(attribute(node("FusedMatMul"), "alpha")).toBe(-0.125);
		expect(attribute(node("FusedMatMul"), "transA")).toBe(0);
		expect(attribute(node("FusedMatMul"), "transB")).toBe(1);
		expect(text(node("FusedMatMul"), 7)).toBe("com.microsoft");
		expect(text(node("Softmax"), 7)).toBeUndefined();
	});

	test("absent inputs keep their place", () => {
		const graph = new Graph();
		const query = graph.input("query", "float32", ["B", 1, 24]);
		const past = graph.input("past", "float32", ["B", 1, 4, 8]);
		const last = graph.input("last", "int32", ["B"]);
		const attributes = { num_heads: 1, kv_num_heads: 1 };
		const outputs = graph.add("GroupQueryAttention", [query, undefined, undefined, past, past, last, last], attributes);
		graph.output("y", outputs[0] as Value);
		const { node } = decode(graph);
		expect(texts(node("GroupQueryAttention"), 1)).toEqual(["query", "", "", "past", "past", "last", "last"]);
		expect(texts(node("GroupQueryAttention"), 2)).toHaveLength(3);
	});

	test("constants as bytes, once each; int64 beyond 32 bits", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", [2]);
		const ids = graph.input("ids", "int64", [2]);
		const big = graph.constant(BigInt64Array.of(-(2n ** 40n), 5n), [2], "int64");
		graph.output("y", mul(add(x, 2), 2));
		graph.output("z", add(ids, big));
		const { initializers } = decode(graph);
		const contents = initializers.map((tensor) => [
			ints(tensor, 1),
			ints(tensor, 2)[0],
			all(tensor, 9)[0] as Uint8Array,
		]);
		expect(contents).toEqual([
			[[2], 7, new Uint8Array(BigInt64Array.of(-(2n ** 40n), 5n).buffer)],
			[[], 1, new Uint8Array(Float32Array.of(2).buffer)],
		]);
	});

	test("initializers as external data, without bytes", () => {
		const graph = new Graph();
		const w = graph.initializer("w", "float32", [3, 1000]);
		graph.output("y", matMul(graph.input("x", "float32", ["N", 3]), w));
		const [tensor] = decode(graph).initializers as [Message];
		expect([text(tensor, 8), ints(tensor, 1), ints(tensor, 2), ints(tensor, 14)]).toEqual(["w", [3, 1000], [1], [1]]);
		expect(all(tensor, 9)).toEqual([]);
		expect(text(message(tensor, 13), 1)).toBe("location");
	});

	test("nodes that no output needs are left out, with their constants", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", [2]);
		const used = tanh(x);
		mul(neg(used), 7);
		graph.output("y", split(used, { axis: 0, parts: 2 })[1] as Value);
		const { nodes, initializers, inputs } = decode(graph);
		expect(nodes.map((node) => text(node, 4))).toEqual(["Tanh", "Split"]);
		expect(initializers).toEqual([]);
		expect(inputs).toHaveLength(1);
	});
});

describe("what runs", () => {
	test("an output that is an input, a constant, declared twice, or used further", async () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["N"]);
		const sum = reduceSum(x);
		graph.output("same", x);
		graph.output("seven", graph.scalar(7));
		graph.output("sum", sum);
		graph.output("sum again", sum);
		graph.output("more", add(sum, 1));
		const session = await Session.create(toOnnx(graph), { threads: 1 });
		expect(session.outputs).toEqual(["same", "seven", "sum", "sum again", "more"]);
		const wanted = Object.fromEntries(session.outputs.map((name) => [name, "allocate" as const]));
		const results = await session.run({ x: Tensor.from(Float32Array.of(1, 2), [2]) }, wanted);
		session.dispose();
		const data = Object.values(results).map((tensor) => [...tensor.data]);
		expect(data).toEqual([[1, 2], [7], [3], [3], [4]]);
	});

	test("initializers that the session is given", async () => {
		const graph = new Graph();
		const w = graph.initializer("w", "float32", [2, 64]);
		const scale = graph.initializer("scale", "float32", []);
		graph.output("y", mul(matMul(graph.input("x", "float32", ["N", 2]), w), scale));
		const weights = Float32Array.from({ length: 128 }, (_, i) => i);
		const session = await Session.create(toOnnx(graph), {
			threads: 1,
			initializers: { w: Tensor.from(weights, [2, 64]), scale: Tensor.from(Float32Array.of(10), []) },
		});
		const { y } = await session.run({ x: Tensor.from(Float32Array.of(1, 0, 1, 1), [2, 2]) }, { y: "allocate" });
		session.dispose();
		const row = [...weights.slice(0, 64)];
		expect(y?.shape).toEqual([2, 64]);
		expect([...(y as Tensor).data]).toEqual([...row.map((x) => 10 * x), ...row.map((x) => 10 * (2 * x + 64))]);
	});
});

describe("the order of the nodes", () => {
	test("results that nobody reads come last, the one that is ready first at the very end", () => {
		const graph = new Graph();
		const x = graph.input("x", "float32", ["N"]);
		const [a, b, c] = [exp(x), exp(x), exp(x)].map((value) => neg(value)) as [Value, Value, Value];
		graph.output("second", neg(add(a, b)));
		graph.output("third", add(neg(neg(neg(c))), x));
		graph.output("first", abs(a));
		graph.output("read", b);
		tanh(x);
		const ops = nodesInOrder(graph).map(({ op }) => op);
		expect(ops.slice(-3)).toEqual(["Add", "Neg", "Abs"]);
		expect(ops).not.toContain("Tanh");
		const place = new Map(nodesInOrder(graph).map((node, i) => [node, i]));
		for (const [node, at] of place) {
			for (const input of node.inputs) if (input?.node) expect(place.get(input.node)).toBeLessThan(at);
		}
	});
});

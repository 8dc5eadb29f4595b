import { describe, expect, test } from "vitest";
import { encodeModel } from "./onnx.fixture.ts";
import { Session } from "./session.ts";
import { type DType, Tensor, type TypedArray } from "./tensor.ts";

/** TensorProto.DataType, written once more: the table under test has its own. */
const elementTypes: [dtype: DType, type: number, data: TypedArray][] = [
	["float32", 1, Float32Array.of(1.5, -2)],
	["uint8", 2, Uint8Array.of(0, 255)],
	["int8", 3, Int8Array.of(-128, 127)],
	["uint16", 4, Uint16Array.of(0, 65535)],
	["int16", 5, Int16Array.of(-32768, 32767)],
	["int32", 6, Int32Array.of(-(2 ** 31), 2 ** 31 - 1)],
	["int64", 7, BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n)],
	["bool", 9, Uint8Array.of(0, 1)],
	["float16", 10, Uint16Array.of(0x3c00, 0xc000)],
	["float64", 11, Float64Array.of(Math.PI, -0)],
	["uint32", 12, Uint32Array.of(0, 2 ** 32 - 1)],
	["uint64", 13, BigUint64Array.of(0n, 2n ** 64n - 1n)],
	["bfloat16", 16, Uint16Array.of(0x3f80, 0xbf80)],
];

function identity(type: number, shape: (number | string)[] = ["n"]) {
	return encodeModel({
		nodes: [{ op: "Identity", inputs: ["x"], outputs: ["y"] }],
		inputs: [{ name: "x", type, shape }],
		outputs: [{ name: "y", type, shape }],
	});
}

describe("through ONNX Runtime and back", () => {
	test.each(elementTypes)("%s", async (dtype, type, data) => {
		const session = await Session.create(identity(type));
		const { y } = session.runSync({ x: Tensor.from(data, [2], dtype) }, { y: "allocate" });
		expect(y).toMatchObject({ dtype, shape: [2], data });
		session.dispose();
	});

	test.each([
		["a scalar", [], 1],
		["no elements", [0], 0],
		["no elements in three axes", [2, 0, 3], 0],
		["eight axes", [1, 2, 1, 2, 1, 2, 1, 2], 16],
	])("%s", async (_, shape, size) => {
		const session = await Session.create(
			identity(
				1,
				shape.map((_, i) => `d${i}`),
			),
		);
		const data = Float32Array.from({ length: size }, (_, i) => i + 1);
		const x = Tensor.from(data, shape);
		expect(session.runSync({ x }, { y: "allocate" }).y).toMatchObject({ shape, data });
		const y = Tensor.from(new Float32Array(size), shape);
		await session.run({ x }, { y });
		expect(y.data).toEqual(data);
		session.dispose();
	});

	test("a view in the middle of a buffer", async () => {
		const session = await Session.create(identity(1));
		const buffer = Float32Array.of(1, 2, 3, 4, 5, 6);
		const x = Tensor.from(buffer.subarray(0, 2), [2]);
		const y = Tensor.from(buffer.subarray(3, 5), [2]);
		session.runSync({ x }, { y });
		expect([...buffer]).toEqual([1, 2, 3, 1, 2, 6]);
		session.dispose();
	});
});

test("bool, float16 and bfloat16 must be named", () => {
	expect(Tensor.from(new Uint8Array(1), [1]).dtype).toBe("uint8");
	expect(Tensor.from(new Uint16Array(1), [1]).dtype).toBe("uint16");
	expect(Tensor.from(Buffer.from([7]), [1]).dtype).toBe("uint8");
});

test("array, shape and type must agree", () => {
	expect(() => Tensor.from(new Float32Array(6), [2, 2])).toThrow("Shape [2,2] has 4 elements, the array 6.");
	expect(() => Tensor.from(new Float32Array(6), [-2, -3])).toThrow("whole, non-negative");
	expect(() => Tensor.from(new Float32Array(3), [1.5, 2])).toThrow("whole, non-negative");
	expect(() => Tensor.from(new Float32Array(1), [1], "int64")).toThrow("needs a BigInt64Array, not a Float32Array");
	expect(() => Tensor.from([1] as unknown as TypedArray, [1])).toThrow("needs a typed array");
});

test("the shape is the tensor's own", () => {
	const shape = [2];
	const tensor = Tensor.from(new Float32Array(2), shape);
	shape[0] = 3;
	expect(tensor.shape).toEqual([2]);
});

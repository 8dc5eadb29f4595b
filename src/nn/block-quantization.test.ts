// The quantiser against its bound, its slow twin against ONNX Runtime, which reads the same memory.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { dequantizeLinear, Graph, toOnnx } from "../graph/index.ts";
import { Session, Tensor } from "../runtime/index.ts";
import { Rng } from "../util/rng.ts";
import { blocksOf, dequantizeBlocks, type QuantizedMatrix, quantizeBlocks } from "./block-quantization.ts";

const normal = (length: number, seed = 1) => {
	const rng = new Rng(seed);
	return Float32Array.from({ length }, () => rng.normal());
};

/** What ONNX Runtime makes of the memory. */
async function unpacked(matrix: QuantizedMatrix): Promise<Float32Array> {
	const dtype = matrix.bits === 4 ? "uint4" : "uint8";
	const perBlock = [matrix.shape[0], blocksOf(matrix.shape[1], matrix)];
	const graph = new Graph();
	const scale = graph.input("scale", "float32", perBlock);
	const zero = graph.input("zero", dtype, perBlock);
	const { blockSize } = matrix;
	graph.output("y", dequantizeLinear(graph.input("x", dtype, matrix.shape), { scale, zero, blockSize }));
	const session = await Session.create(toOnnx(graph), { threads: 1 });
	const feeds = {
		x: Tensor.from(matrix.values, matrix.shape, dtype),
		scale: Tensor.from(matrix.scales, perBlock),
		zero: Tensor.from(matrix.zeros, perBlock, dtype),
	};
	const { y } = await session.run(feeds, { y: "allocate" });
	session.dispose();
	return y?.data as Float32Array;
}

describe.each([4, 8] as const)("%s bits", (bits) => {
	test("no number is further off than a step of its block", () => {
		const number = fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 100), max: 2 ** 100 });
		const matrix = fc
			.record({ rows: fc.integer({ min: 1, max: 5 }), columns: fc.integer({ min: 1, max: 40 }) })
			.chain(({ rows, columns }) =>
				fc.record({
					shape: fc.constant([rows, columns] as [number, number]),
					blockSize: fc.constantFrom(4, 16, 64),
					values: fc.array(number, { minLength: rows * columns, maxLength: rows * columns }),
				}),
			);
		fc.assert(
			fc.property(matrix, ({ shape, blockSize, values }) => {
				const data = Float32Array.from(values);
				const back = dequantizeBlocks(quantizeBlocks(data, { shape, bits, blockSize }));
				for (let row = 0; row < shape[0]; row++) {
					for (let start = 0; start < shape[1]; start += blockSize) {
						const from = row * shape[1] + start;
						const to = row * shape[1] + Math.min(start + blockSize, shape[1]);
						const block = data.subarray(from, to);
						const step = (Math.max(0, ...block) - Math.min(0, ...block)) / (2 ** bits - 1);
						block.forEach((value, i) => {
							expect(Math.abs((back[from + i] as number) - value)).toBeLessThanOrEqual(1.001 * step + 1e-37);
						});
					}
				}
			}),
			{ numRuns: 100 },
		);
	});

	test.each<[number, number]>([
		[3, 128],
		[5, 100],
		[1, 33],
		[7, 1],
	])("ONNX Runtime reads the slow twin's numbers: %s x %s", async (rows, columns) => {
		const data = normal(rows * columns);
		const matrix = quantizeBlocks(data, { shape: [rows, columns], bits, blockSize: 64 });
		expect(await unpacked(matrix)).toEqual(dequantizeBlocks(matrix));
	});

	test("zero stays zero, one sign keeps its end, and all-equal blocks survive", () => {
		const data = Float32Array.of(0, 0, 0, 0, 1, 2, 3, 4, -4, -3, -2, -1, 7, 7, 7, 7);
		const back = dequantizeBlocks(quantizeBlocks(data, { shape: [4, 4], bits, blockSize: 4 }));
		expect([...back.subarray(0, 4)]).toEqual([0, 0, 0, 0]);
		for (const i of [7, 8, 12, 15]) expect(back[i]).toBeCloseTo(data[i] as number, 5);
	});

	test("the error on normal numbers is what the step makes it", () => {
		const data = normal(64 * 256);
		const back = dequantizeBlocks(quantizeBlocks(data, { shape: [64, 256], bits, blockSize: 64 }));
		const error = Math.sqrt(data.reduce((sum, value, i) => sum + (value - (back[i] as number)) ** 2, 0) / data.length);
		// A block of 64 spans about 4.8 deviations; rounding is off by step / sqrt(12).
		const expected = 4.8 / (2 ** bits - 1) / Math.sqrt(12);
		expect(error / expected).toBeGreaterThan(0.85);
		expect(error / expected).toBeLessThan(1.15);
	});
});

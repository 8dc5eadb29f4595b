// Matrices in 8 or 4 bits: `blockSize` numbers of a row share a scale and a zero, and each is rounded to the nearest of
// the 256 or 16 values (q - zero) * scale (as in QLoRA's frozen weights, but evenly spaced). In memory they are what
// DequantizeLinear reads: two numbers of 4 bits in a byte, the first in the low half.

export interface BlockFormat {
	readonly bits: 4 | 8;
	/** Numbers along the last axis that share a scale. */
	readonly blockSize: number;
}

export interface QuantizedMatrix extends BlockFormat {
	readonly shape: readonly [rows: number, columns: number];
	/** [rows, columns] */
	readonly values: Uint8Array;
	/** [rows, blocks] */
	readonly scales: Float32Array;
	/** [rows, blocks] */
	readonly zeros: Uint8Array;
}

export const blocksOf = (columns: number, { blockSize }: BlockFormat) => Math.ceil(columns / blockSize);

/**
 * Numbers must be finite. The step of a block is (largest - smallest of its numbers and 0) / (2^bits - 1). Each number is
 * off by half a step at most, at the ends of the range by a whole one, since 0 is to stay exactly 0.
 */
export function quantizeBlocks(
	data: Float32Array,
	{ shape, bits, blockSize }: BlockFormat & { shape: readonly [number, number] },
): QuantizedMatrix {
	const [rows, columns] = shape;
	const blocks = blocksOf(columns, { bits, blockSize });
	const levels = 2 ** bits - 1;
	const scales = new Float32Array(rows * blocks);
	const zeros = new Uint8Array(rows * blocks);
	const values = new Uint8Array(rows * columns);
	for (let block = 0; block < scales.length; block++) {
		const row = Math.floor(block / blocks);
		const start = row * columns + (block % blocks) * blockSize;
		const end = Math.min(start + blockSize, (row + 1) * columns);
		let low = 0;
		let high = 0;
		for (let i = start; i < end; i++) {
			const value = data[i] as number;
			if (value < low) low = value;
			else if (value > high) high = value;
		}
		scales[block] = (high - low) / levels;
		// The scale as it is stored, so that what is rounded is what will be read.
		const scale = scales[block] as number;
		if (scale === 0) continue;
		const zero = Math.min(Math.round(-low / scale), levels);
		zeros[block] = zero;
		for (let i = start; i < end; i++) {
			const level = Math.round((data[i] as number) / scale) + zero;
			values[i] = Math.min(Math.max(level, 0), levels);
		}
	}
	if (bits === 8) return { bits, blockSize, shape, values, scales, zeros };
	return { bits, blockSize, shape, values: packed(values), scales, zeros: packed(zeros) };
}

/** The numbers that a matrix stands for, [rows, columns]: the slow twin of DequantizeLinear. */
export function dequantizeBlocks(matrix: QuantizedMatrix): Float32Array {
	const { shape, bits, blockSize, values, scales, zeros } = matrix;
	const [rows, columns] = shape;
	const blocks = blocksOf(columns, matrix);
	const level = (levels: Uint8Array, i: number) =>
		bits === 8 ? (levels[i] as number) : ((levels[i >> 1] as number) >> (4 * (i & 1))) & 15;
	return Float32Array.from({ length: rows * columns }, (_, i) => {
		const block = Math.floor(i / columns) * blocks + Math.floor((i % columns) / blockSize);
		return (level(values, i) - level(zeros, block)) * (scales[block] as number);
	});
}

/** Two numbers below 16 in each byte. */
function packed(numbers: Uint8Array): Uint8Array {
	const bytes = new Uint8Array(Math.ceil(numbers.length / 2));
	for (let i = 0; i < numbers.length; i++) {
		bytes[i >> 1] = (bytes[i >> 1] as number) | ((numbers[i] as number) << (4 * (i & 1)));
	}
	return bytes;
}

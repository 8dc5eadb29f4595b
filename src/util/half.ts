// Half precision, held as 16 bits a number: IEEE 754 binary16 ("F16") and bfloat16 ("BF16"), to and from float32.
// Arrays at a time: this is the inner loop of loading and saving a model. Rounding is to nearest, ties to even.
//
// The finite checks ride on the conversion: an exponent of all ones is infinity or not a number, and adding one to it
// carries into the next bit, which a running OR collects without a branch.

let table: Uint32Array | undefined;

/** Both arrays have the same length. Returns false when a number was infinite or not a number. */
export function float16ToFloat32(source: Uint16Array, target: Float32Array): boolean {
	table ??= makeFloat16Table();
	const bits = bitsOf(target);
	let carries = 0;
	for (let i = 0; i < source.length; i++) {
		const half = source[i] as number;
		carries |= (half & 0x7c00) + 0x0400;
		bits[i] = table[half] as number;
	}
	return (carries & 0x8000) === 0;
}

/** Both arrays have the same length. Returns false when a number was infinite or not a number. */
export function bfloat16ToFloat32(source: Uint16Array, target: Float32Array): boolean {
	const bits = bitsOf(target);
	let carries = 0;
	for (let i = 0; i < source.length; i++) {
		const half = source[i] as number;
		carries |= (half & 0x7f80) + 0x0080;
		bits[i] = half << 16;
	}
	return (carries & 0x8000) === 0;
}

/** Numbers above 65,504 become infinite. Returns false when a result is infinite or not a number. */
export function float32ToFloat16(source: Float32Array, target: Uint16Array): boolean {
	const bits = bitsOf(source);
	let carries = 0;
	for (let i = 0; i < source.length; i++) {
		const word = bits[i] as number;
		const size = word & 0x7fffffff;
		let half: number;
		if (size >= 0x47800000) {
			half = size > 0x7f800000 ? 0x7e00 : 0x7c00;
		} else if (size < 0x38800000) {
			// Subnormal in half precision: a multiple of 2^-24. Adding 2^52 rounds a double to an integer, ties to even.
			half = Math.abs(source[i] as number) * 0x1000000 + 0x10000000000000 - 0x10000000000000;
		} else {
			half = (size - 0x38000000 + 0x0fff + ((size >>> 13) & 1)) >>> 13;
		}
		carries |= (half & 0x7c00) + 0x0400;
		target[i] = ((word >>> 16) & 0x8000) | half;
	}
	return (carries & 0x8000) === 0;
}

/** Returns false when a result is infinite or not a number. */
export function float32ToBfloat16(source: Float32Array, target: Uint16Array): boolean {
	const bits = bitsOf(source);
	let carries = 0;
	for (let i = 0; i < source.length; i++) {
		const word = bits[i] as number;
		// A number that is none must not round up into infinity: it gets a quiet bit instead.
		const half =
			(word & 0x7fffffff) > 0x7f800000 ? (word >>> 16) | 0x0040 : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
		carries |= (half & 0x7f80) + 0x0080;
		target[i] = half;
	}
	return (carries & 0x8000) === 0;
}

/** False when a number is infinite or not a number. */
export function allFinite(numbers: Float32Array): boolean {
	const bits = new Int32Array(numbers.buffer, numbers.byteOffset, numbers.length);
	let carries = 0;
	for (let i = 0; i < bits.length; i++) carries |= ((bits[i] as number) & 0x7f800000) + 0x00800000;
	return carries >= 0;
}

function bitsOf(numbers: Float32Array): Uint32Array {
	return new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);
}

/** The float32 bits of every F16: the definition, once, at first use. */
function makeFloat16Table(): Uint32Array {
	const numbers = new Float32Array(0x10000);
	for (let half = 0; half < 0x10000; half++) {
		const sign = half & 0x8000 ? -1 : 1;
		const exponent = (half >>> 10) & 0x1f;
		const fraction = half & 0x03ff;
		if (exponent === 0) numbers[half] = sign * fraction * 2 ** -24;
		else if (exponent < 0x1f) numbers[half] = sign * (0x400 + fraction) * 2 ** (exponent - 25);
		else numbers[half] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
	}
	return bitsOf(numbers);
}

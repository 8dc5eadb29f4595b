// A tensor: a typed array, a shape, and the OrtValue that points at the array's memory. Nothing is copied: what a run
// writes is seen in `data`, and what is written to `data` is seen by the next run.

import koffi from "koffi";
import type { Pointer } from "./api.ts";
import { out, RuntimeError } from "./errors.ts";
import { disposeWith, Handle } from "./handle.ts";
import { library } from "./library.ts";

/** Element types, with ONNX's number for each (TensorProto.DataType) and the typed array that holds it. */
const DTYPES = {
	float32: { code: 1, array: Float32Array },
	uint8: { code: 2, array: Uint8Array },
	int8: { code: 3, array: Int8Array },
	uint16: { code: 4, array: Uint16Array },
	int16: { code: 5, array: Int16Array },
	int32: { code: 6, array: Int32Array },
	int64: { code: 7, array: BigInt64Array },
	bool: { code: 9, array: Uint8Array },
	float16: { code: 10, array: Uint16Array },
	float64: { code: 11, array: Float64Array },
	uint32: { code: 12, array: Uint32Array },
	uint64: { code: 13, array: BigUint64Array },
	bfloat16: { code: 16, array: Uint16Array },
	/** Two elements a byte, the first in the low half. */
	uint4: { code: 21, array: Uint8Array },
} as const;

export type DType = keyof typeof DTYPES;
export type TypedArray =
	| Float32Array
	| Float64Array
	| Int8Array
	| Int16Array
	| Int32Array
	| Uint8Array
	| Uint16Array
	| Uint32Array
	| BigInt64Array
	| BigUint64Array;

/**
 * A view over a typed array owned by JavaScript. It keeps the array alive; the array must not be transferred to another
 * thread while the tensor is in use. bool is a Uint8Array of 0 and 1; float16 and bfloat16 are the bits in a Uint16Array.
 */
export class Tensor {
	readonly dtype: DType;
	readonly shape: readonly number[];
	readonly data: TypedArray;
	#handle: Handle<Pointer> | undefined;

	private constructor(data: TypedArray, options: { shape: readonly number[]; dtype: DType }) {
		this.data = data;
		this.shape = options.shape;
		this.dtype = options.dtype;
	}

	/** `dtype` follows from the array, except for bool, float16, bfloat16 and uint4, which must be named. */
	static from(data: TypedArray, shape: readonly number[], dtype: DType = dtypeOf(data)): Tensor {
		if (!(data instanceof DTYPES[dtype].array)) {
			throw new TypeError(`A ${dtype} tensor needs a ${DTYPES[dtype].array.name}, not a ${data.constructor.name}.`);
		}
		if (shape.some((size) => !Number.isSafeInteger(size) || size < 0)) {
			throw new RangeError(`A shape has whole, non-negative sizes, not [${shape}].`);
		}
		const elements = dtype === "uint4" ? Math.ceil(sizeOf(shape) / 2) : sizeOf(shape);
		if (elements !== data.length) {
			throw new RangeError(`Shape [${shape}] has ${elements} elements, the array ${data.length}.`);
		}
		return new Tensor(data, { shape: [...shape], dtype });
	}

	/** The OrtValue, made when it is first needed and kept until dispose(). For this folder; the caller retains it to use it. */
	get handle(): Handle<Pointer> {
		if (this.#handle === undefined) {
			this.#handle = createValue(this);
			disposeWith(this, this.#handle);
		}
		return this.#handle;
	}

	/** Frees the OrtValue (a few hundred bytes), now or when the runs that use it are done. `data` stays, and so may the tensor. */
	dispose(): void {
		this.#handle?.dispose();
		this.#handle = undefined;
	}
}

/** Copies an OrtValue that ONNX Runtime allocated into a tensor of our own. The value stays the caller's to free. */
export function copyOut(value: Pointer, where: string): Tensor {
	const { api } = library();
	const get = (call: (result: BigUint64Array) => Pointer | null) => out(api, where, call);
	const info = get((result) => api.GetTensorTypeAndShape(value, result));
	try {
		const code = Number(get((result) => api.GetTensorElementType(info, result)));
		const dims = new BigInt64Array(Number(get((result) => api.GetDimensionsCount(info, result))));
		get(() => api.GetDimensions(info, dims, dims.length));
		const shape = Array.from(dims, Number);
		const dtype = (Object.keys(DTYPES) as DType[]).find((name) => DTYPES[name].code === code);
		if (dtype === undefined) throw new RuntimeError("ONNX_RUNTIME", `an output has element type ${code}`, where);
		const { array: ArrayType } = DTYPES[dtype];
		const bytes = sizeOf(shape) * ArrayType.BYTES_PER_ELEMENT;
		const address = get((result) => api.GetTensorMutableData(value, result));
		const data = bytes === 0 ? new ArrayBuffer(0) : koffi.view(address, bytes).slice(0);
		return Tensor.from(new ArrayType(data), shape, dtype);
	} finally {
		api.ReleaseTensorTypeAndShapeInfo(info);
	}
}

/**
 * The address of a typed array's memory, valid while the array lives. Reading `buffer` first moves an array of up to
 * 64 bytes out of V8's heap, where the garbage collector would move it under us.
 */
export function addressOf(array: ArrayBufferView): Pointer {
	return array.buffer.byteLength === 0 ? 0n : koffi.address(array);
}

function createValue(tensor: Tensor): Handle<Pointer> {
	const { api, cpuMemory } = library();
	const { dtype, data } = tensor;
	const what = `tensor ${dtype}[${tensor.shape}]`;
	const shape = BigInt64Array.from(tensor.shape, BigInt);
	const pointer = out(api, what, (result) =>
		api.CreateTensorWithDataAsOrtValue(
			cpuMemory,
			data.length === 0 ? NOTHING : addressOf(data),
			data.byteLength,
			shape,
			shape.length,
			DTYPES[dtype].code,
			result,
		),
	);
	return new Handle(pointer, { what, free: releaseValue });
}

// Not a closure inside createValue: it would hold the tensor, which then could never be collected.
function releaseValue(value: Pointer): void {
	library().api.ReleaseValue(value);
}

/** Stands for the memory of a tensor without elements: ONNX Runtime takes no null here. */
const NOTHING = new Uint8Array(1);

function sizeOf(shape: readonly number[]): number {
	return shape.reduce((product, size) => product * size, 1);
}

function dtypeOf(data: TypedArray): DType {
	const dtype = (Object.keys(DTYPES) as DType[]).find((name) => data instanceof DTYPES[name].array);
	if (dtype === undefined) throw new TypeError("A tensor needs a typed array.");
	return dtype;
}

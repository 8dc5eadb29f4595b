// Writing safetensors: streamed from the caller's arrays to a file aside, then renamed. The order of the tensors and the
// header are the reference's (dtype from large to small alignment, then name), so the same tensors give the same bytes,
// here and in Python.
import type { FileHandle } from "node:fs/promises";
import { writeFileAside } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { float32ToBfloat16, float32ToFloat16 } from "../util/half.ts";
import { storedAs, type TensorArray } from "./safetensors.ts";
import { type Dtype, dtypes, formatHeader, type TensorDescription, tensorBytes } from "./safetensors-header.ts";

export interface TensorEntry {
	name: string;
	shape: readonly number[];
	/** Read while writing and never changed: the caller keeps it as it is until the promise is settled. */
	data: TensorArray;
	/** F16 and BF16 round a Float32Array. Default: F32, I64, ... after the array's own type; U8 for a Uint8Array. */
	as?: Dtype;
}

export interface WriteOptions {
	/** Default: `{ format: "pt" }`, which Hugging Face Transformers asks for. */
	metadata?: Readonly<Record<string, string>>;
	/** Aborting leaves the old file, if there was one, as it was. */
	signal?: AbortSignal;
}

/**
 * Writes a whole file, or nothing. Throws UserError for a full disk, a path that cannot be written, a name that stands
 * twice, or a number that F16 cannot hold.
 */
export async function writeSafetensors(
	path: string,
	entries: Iterable<TensorEntry>,
	options: WriteOptions = {},
): Promise<void> {
	await writeFileAside(path, (file) => streamSafetensors(file, entries, options));
}

/** Writes the same bytes to an open file, from where it stands. */
export async function streamSafetensors(
	file: FileHandle,
	entries: Iterable<TensorEntry>,
	{ metadata = { format: "pt" }, signal }: WriteOptions = {},
): Promise<void> {
	const tensors = [...entries].map(describe).sort(byAlignmentThenName);
	for (const [i, { name }] of tensors.entries()) {
		if (name === tensors[i - 1]?.name) throw new Error(`two tensors are named ${name}`);
	}
	await writeAll(file, formatHeader(tensors, { metadata }));
	for (const tensor of tensors) {
		for (const piece of pieces(tensor)) {
			signal?.throwIfAborted();
			await writeAll(file, piece);
		}
	}
}

type Described = TensorDescription & { data: TensorArray };

const pieceBytes = 8 * 1024 * 1024;

const roundFloat32: Partial<Record<Dtype, (source: Float32Array, target: Uint16Array) => boolean>> = {
	F16: float32ToFloat16,
	BF16: float32ToBfloat16,
};

function describe({ name, shape, data, as }: TensorEntry): Described {
	const dtype = as ?? ownDtype(data);
	const rounds = data instanceof Float32Array && roundFloat32[dtype] !== undefined;
	if (name === "__metadata__") throw new Error("a tensor cannot be named __metadata__");
	if (!rounds && !(data instanceof storedAs[dtype]))
		throw new Error(`${name}: a ${data.constructor.name} cannot be ${dtype}`);
	const bytes = rounds ? data.length * 2 : data.byteLength;
	if (bytes !== tensorBytes(dtype, shape))
		throw new Error(`${name}: ${data.length} elements are not of shape [${shape}]`);
	return { name, dtype, shape, data };
}

function ownDtype(data: TensorArray): Dtype {
	if (data instanceof Uint8Array) return "U8";
	if (data instanceof Uint16Array) return "U16";
	return dtypes.find((dtype) => data instanceof storedAs[dtype]) as Dtype;
}

function byAlignmentThenName(a: Described, b: Described): number {
	return dtypes.indexOf(b.dtype) - dtypes.indexOf(a.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

/** The tensor's bytes, piece by piece. A piece is used up before the next is asked for: rounded ones share a buffer. */
function* pieces({ name, dtype, data }: Described): Generator<Uint8Array> {
	const round = roundFloat32[dtype];
	if (round === undefined || !(data instanceof Float32Array)) {
		for (let start = 0; start < data.byteLength; start += pieceBytes) {
			yield new Uint8Array(data.buffer, data.byteOffset + start, Math.min(pieceBytes, data.byteLength - start));
		}
		return;
	}
	const buffer = new Uint16Array(Math.min(data.length, pieceBytes / 2));
	for (let start = 0; start < data.length; start += buffer.length) {
		const source = data.subarray(start, Math.min(start + buffer.length, data.length));
		const rounded = buffer.subarray(0, source.length);
		if (!round(source, rounded)) throw notHeld(name, { dtype, source });
		yield new Uint8Array(rounded.buffer, 0, rounded.byteLength);
	}
}

function notHeld(name: string, { dtype, source }: { dtype: Dtype; source: Float32Array }): UserError {
	const limit = dtype === "F16" ? 65_520 : 3.39e38;
	const found = source.find((number) => !(Math.abs(number) < limit));
	return new UserError("TENSOR_NOT_FINITE", `Tensor ${name} holds ${found}, which ${dtype} cannot hold.`, {
		found: `${found}`,
		hint: "Save as F32 or BF16; when the number is not finite, take an earlier checkpoint.",
	});
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
	let done = 0;
	while (done < bytes.length) done += (await file.write(bytes, done, bytes.length - done)).bytesWritten;
}

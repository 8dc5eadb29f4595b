// Reading safetensors: the header is checked before anything else, then each tensor is streamed into the array that the
// caller gives, in pieces, so that a file of any size costs no memory of its own. Writing is safetensors-write.ts.
//
// Positioned reads rather than a memory map: Node has none, and each number is converted or checked anyway.
import { type FileHandle, open, stat } from "node:fs/promises";
import { closest, UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { allFinite, bfloat16ToFloat32, float16ToFloat32 } from "../util/half.ts";
import { isPickleName, isPickleStart, pickleError } from "./pickle.ts";
import {
	type Dtype,
	malformed,
	parseHeader,
	parseHeaderLength,
	type SafetensorsHeader,
	type TensorInfo,
} from "./safetensors-header.ts";

export type TensorArray =
	| Float32Array
	| Float64Array
	| Int8Array
	| Int16Array
	| Int32Array
	| BigInt64Array
	| Uint8Array
	| Uint16Array
	| Uint32Array
	| BigUint64Array;

export interface ReadOptions {
	/** Take infinite numbers and NaN too; otherwise they are a UserError that names the tensor. */
	allowNonFinite?: boolean;
	signal?: AbortSignal;
}

/** Tensors by name, from one file or from several. Reads may overlap. The caller closes it, once. */
export interface WeightsReader {
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	readonly metadata: Readonly<Record<string, string>>;
	/**
	 * Fills `target`, which has one element for each of the tensor's: a Float32Array takes F32, F16, BF16 and F64; the
	 * array of the tensor's own type (see `storedAs`) takes its bits unchanged.
	 */
	readInto(name: string, target: TensorArray, options?: ReadOptions): Promise<void>;
	/** F32, F16 and BF16 as a Float32Array; everything else in the array of its own type. */
	read(name: string, options?: ReadOptions): Promise<TensorArray>;
	close(): Promise<void>;
}

export interface SafetensorsFile extends WeightsReader {
	readonly path: string;
}

/** The array that holds each dtype's bits unchanged. Types without an array in JavaScript are bytes. */
export const storedAs = {
	BOOL: Uint8Array,
	F4: Uint8Array,
	F6_E2M3: Uint8Array,
	F6_E3M2: Uint8Array,
	U8: Uint8Array,
	I8: Int8Array,
	F8_E5M2: Uint8Array,
	F8_E4M3: Uint8Array,
	F8_E8M0: Uint8Array,
	I16: Int16Array,
	U16: Uint16Array,
	F16: Uint16Array,
	BF16: Uint16Array,
	I32: Int32Array,
	U32: Uint32Array,
	F32: Float32Array,
	C64: Uint8Array,
	F64: Float64Array,
	I64: BigInt64Array,
	U64: BigUint64Array,
} as const satisfies Record<Dtype, new (length: number) => TensorArray>;

/** Fills a Float32Array from a piece of the file; false when a number is not finite. */
const toFloat32: Partial<Record<Dtype, (source: TensorArray, target: Float32Array) => boolean>> = {
	F16: (source, target) => float16ToFloat32(source as Uint16Array, target),
	BF16: (source, target) => bfloat16ToFloat32(source as Uint16Array, target),
	F64: (source, target) => {
		target.set(source as Float64Array);
		return allFinite(target);
	},
};

const pieceBytes = 4 * 1024 * 1024;

/** Opens a file and checks its header. Throws UserError for what is missing, malformed or a pickle. */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
	let file: FileHandle | undefined;
	try {
		// Before open: opening a named pipe would wait for ever.
		const { size, isRegular } = await stat(path).then((found) => ({ size: found.size, isRegular: found.isFile() }));
		if (!isRegular) throw malformed("NOT_A_FILE", path, "It is not a regular file.");
		file = await open(path, "r");
		const header = await readHeader(file, { path, fileBytes: size });
		return new OpenFile(file, { path, header });
	} catch (error) {
		await file?.close();
		throw fileError(error, { doing: "read", path });
	}
}

async function readHeader(file: FileHandle, { path, fileBytes }: { path: string; fileBytes: number }) {
	const start = new Uint8Array(Math.min(8, fileBytes));
	await fill(file, start, { position: 0, path });
	if (isPickleStart(start) || (isPickleName(path) && fileBytes > 0)) throw pickleError(path);
	const json = new Uint8Array(parseHeaderLength(start, { fileBytes, path }));
	await fill(file, json, { position: 8, path });
	return parseHeader(json, { fileBytes, path });
}

class OpenFile implements SafetensorsFile {
	readonly path: string;
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	readonly metadata: Readonly<Record<string, string>>;
	readonly #file: FileHandle;

	constructor(file: FileHandle, { path, header }: { path: string; header: SafetensorsHeader }) {
		this.#file = file;
		this.path = path;
		this.tensors = header.tensors;
		this.metadata = header.metadata;
	}

	async read(name: string, options: ReadOptions = {}): Promise<TensorArray> {
		const { dtype, elements, bytes } = tensorOf(this, name);
		const asFloat32 = dtype === "F16" || dtype === "BF16";
		const Stored = storedAs[dtype];
		const target = asFloat32 ? new Float32Array(elements) : new Stored(bytes / Stored.BYTES_PER_ELEMENT);
		await this.readInto(name, target, options);
		return target;
	}

	async readInto(name: string, target: TensorArray, options: ReadOptions = {}): Promise<void> {
		const info = tensorOf(this, name);
		const convert = target instanceof Float32Array ? toFloat32[info.dtype] : undefined;
		const Stored = storedAs[info.dtype];
		if (convert === undefined && !(target instanceof Stored)) {
			throw new UserError(
				"TENSOR_DTYPE",
				`Tensor ${name} is ${info.dtype}, which does not fit a ${target.constructor.name}.`,
				{
					where: this.path,
					expected: target instanceof Float32Array ? "F32, F16, BF16 or F64" : `an array of ${Stored.name}`,
					found: info.dtype,
				},
			);
		}
		const length = convert === undefined ? info.bytes / Stored.BYTES_PER_ELEMENT : info.elements;
		if (target.length !== length) {
			throw new UserError("TENSOR_SHAPE", `Tensor ${name} has ${length} elements, not ${target.length}.`, {
				where: this.path,
				expected: `${target.length} elements`,
				found: `shape [${info.shape}]`,
			});
		}
		const pieces =
			convert === undefined ? directPieces(target) : convertedPieces(target as Float32Array, { Stored, convert });
		const finite = await this.#stream(pieces, { position: info.offset, signal: options.signal });
		if (!finite && options.allowNonFinite !== true) throw nonFiniteError(name, { info, target, path: this.path });
	}

	async close(): Promise<void> {
		await this.#file.close();
	}

	/** Reads piece after piece; each is used while the next is on its way from the disk. True when all were finite. */
	async #stream(
		pieces: Iterable<Piece>,
		{ position, signal }: { position: number; signal: AbortSignal | undefined },
	): Promise<boolean> {
		let at = position;
		let finite = true;
		let arrived: Piece | undefined;
		for (const piece of pieces) {
			signal?.throwIfAborted();
			const reading = fill(this.#file, piece.bytes, { position: at, path: this.path });
			if (arrived !== undefined) finite = arrived.use() && finite;
			await reading;
			at += piece.bytes.byteLength;
			arrived = piece;
		}
		if (arrived !== undefined) finite = arrived.use() && finite;
		return finite;
	}
}

/** Where some bytes of the file go, and what is done with them there; false when a number is not finite. Never throws. */
interface Piece {
	bytes: Uint8Array;
	use: () => boolean;
}

function* directPieces(target: TensorArray): Generator<Piece> {
	for (let start = 0; start < target.byteLength; start += pieceBytes) {
		const bytes = new Uint8Array(
			target.buffer,
			target.byteOffset + start,
			Math.min(pieceBytes, target.byteLength - start),
		);
		const use =
			target instanceof Float32Array
				? () => allFinite(new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4))
				: () => true;
		yield { bytes, use };
	}
}

function* convertedPieces(
	target: Float32Array,
	{
		Stored,
		convert,
	}: { Stored: (typeof storedAs)[Dtype]; convert: (source: TensorArray, target: Float32Array) => boolean },
): Generator<Piece> {
	const length = Math.min(target.length, pieceBytes / Stored.BYTES_PER_ELEMENT);
	// Two, because one is filled while the other is converted.
	const buffers = [new Stored(length), new Stored(target.length > length ? length : 0)] as const;
	for (let start = 0, turn = 0; start < target.length; start += length, turn = 1 - turn) {
		const end = Math.min(start + length, target.length);
		const source = (buffers[turn] as TensorArray).subarray(0, end - start);
		yield {
			bytes: new Uint8Array(source.buffer, source.byteOffset, source.byteLength),
			use: () => convert(source, target.subarray(start, end)),
		};
	}
}

async function fill(
	file: FileHandle,
	bytes: Uint8Array,
	{ position, path }: { position: number; path: string },
): Promise<void> {
	let done = 0;
	while (done < bytes.length) {
		const { bytesRead } = await file.read(bytes, done, bytes.length - done, position + done);
		if (bytesRead === 0) throw malformed("FILE_SIZE", path, "The file became shorter while it was read.");
		done += bytesRead;
	}
}

/** The entry of a tensor that is known to be wanted. Throws UserError with the nearest name when it is not there. */
export function tensorOf(reader: WeightsReader & { path: string }, name: string): TensorInfo {
	const info = reader.tensors.get(name);
	if (info !== undefined) return info;
	const near = closest(name, reader.tensors.keys());
	throw new UserError(
		"TENSOR_MISSING",
		`There is no tensor ${name}${near === undefined ? "" : `; there is ${near}`}.`,
		{
			where: reader.path,
		},
	);
}

function nonFiniteError(
	name: string,
	{ info, target, path }: { info: TensorInfo; target: TensorArray; path: string },
): UserError {
	const numbers = target as Float32Array;
	const first = numbers.findIndex((number) => !Number.isFinite(number));
	let rest = first;
	const index = info.shape
		.map((size) => size)
		.reverse()
		.map((size) => {
			const coordinate = rest % size;
			rest = Math.floor(rest / size);
			return coordinate;
		})
		.reverse();
	return new UserError("TENSOR_NOT_FINITE", `Tensor ${name} holds ${numbers[first]} at [${index.join(", ")}].`, {
		where: path,
		expected: "finite numbers",
		found: `${numbers[first]}`,
		hint: "The model was damaged while it was trained or converted: take an earlier checkpoint or another copy.",
	});
}

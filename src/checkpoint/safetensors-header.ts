// The header of a safetensors file: bytes to a checked table of tensors, and back. No file is opened here.
// Format: https://github.com/huggingface/safetensors (8 bytes of length, JSON, data). The checks are those of its Rust
// reference (`tensor.rs`) and the duplicate keys that it leaves to the JSON library.
import { UserError } from "../util/errors.ts";

/** Bits of one element. The order is the reference's: from small to large alignment, which sorts the tensors of a file. */
export const dtypeBits = {
	BOOL: 8,
	F4: 4,
	F6_E2M3: 6,
	F6_E3M2: 6,
	U8: 8,
	I8: 8,
	F8_E5M2: 8,
	F8_E4M3: 8,
	F8_E8M0: 8,
	I16: 16,
	U16: 16,
	F16: 16,
	BF16: 16,
	I32: 32,
	U32: 32,
	F32: 32,
	C64: 64,
	F64: 64,
	I64: 64,
	U64: 64,
} as const;

export type Dtype = keyof typeof dtypeBits;

/** Dtypes from small to large alignment. */
export const dtypes = Object.keys(dtypeBits) as Dtype[];

export interface TensorInfo {
	readonly dtype: Dtype;
	readonly shape: readonly number[];
	/** Number of elements: the product of the shape; 1 for a scalar. */
	readonly elements: number;
	/** First byte of the data, counted from the start of the file. */
	readonly offset: number;
	readonly bytes: number;
}

export interface SafetensorsHeader {
	/** In the order of their data. */
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	readonly metadata: Readonly<Record<string, string>>;
}

export const maxHeaderBytes = 100_000_000;
const lengthBytes = 8;
const metadataKey = "__metadata__";

/** Length of the JSON from the file's first bytes. Throws UserError when the file cannot hold such a header. */
export function parseHeaderLength(start: Uint8Array, { fileBytes, path }: { fileBytes: number; path: string }): number {
	if (start.length < lengthBytes) {
		throw malformed("HEADER_TOO_SMALL", path, `The file has ${fileBytes} bytes; a header alone has more.`);
	}
	const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
	if (length > BigInt(maxHeaderBytes)) {
		throw malformed("HEADER_TOO_LARGE", path, `The header is said to have ${length} bytes; the limit is 100,000,000.`);
	}
	if (Number(length) > fileBytes - lengthBytes) {
		throw malformed(
			"HEADER_LENGTH",
			path,
			`The header is said to have ${length} bytes; only ${fileBytes - lengthBytes} follow.`,
		);
	}
	return Number(length);
}

/** `json`: the bytes behind the length. Throws UserError that names the tensor when anything is not as it should be. */
export function parseHeader(
	json: Uint8Array,
	{ fileBytes, path }: { fileBytes: number; path: string },
): SafetensorsHeader {
	const dataStart = lengthBytes + json.length;
	const tensors: [string, TensorInfo][] = [];
	let metadata: Record<string, string> = {};
	for (const [name, value] of Object.entries(parseObject(json, path))) {
		if (name === metadataKey) metadata = parseMetadata(value, path);
		else tensors.push([name, parseTensor(value, { name, dataStart, path })]);
	}
	tensors.sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);

	let end = dataStart;
	let before: string | undefined;
	for (const [name, { offset, bytes }] of tensors) {
		if (offset !== end) {
			const place = before === undefined ? "the start of the data" : `the end of ${quote(before)}`;
			const problem = offset < end ? "overlaps what lies before it" : "leaves a hole before it";
			throw malformed(
				"OFFSETS",
				path,
				`Tensor ${quote(name)} ${problem}: it starts at byte ${offset - dataStart} of the data, ${place} is at ${end - dataStart}.`,
			);
		}
		end = offset + bytes;
		before = name;
	}
	if (end !== fileBytes) {
		const last = before === undefined ? "The header" : `Tensor ${quote(before)}`;
		throw malformed(
			"FILE_SIZE",
			path,
			end > fileBytes
				? `${last} ends at byte ${end}, the file has only ${fileBytes}: it was cut off.`
				: `${last} ends at byte ${end}, but ${fileBytes - end} bytes more follow.`,
		);
	}
	return { tensors: new Map(tensors), metadata };
}

/** What a header is made of, for writing. */
export interface TensorDescription {
	name: string;
	dtype: Dtype;
	shape: readonly number[];
}

/**
 * The first bytes of a file (length and JSON, padded to 8 bytes) for tensors in the order of their data. Byte for byte
 * what the reference writes.
 */
export function formatHeader(
	tensors: readonly TensorDescription[],
	{ metadata = {} }: { metadata?: Readonly<Record<string, string>> } = {},
): Uint8Array {
	const fields: string[] = [];
	const keys = Object.keys(metadata).sort();
	if (keys.length > 0) {
		const pairs = keys.map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
		fields.push(`"${metadataKey}":{${pairs.join(",")}}`);
	}
	let begin = 0;
	for (const { name, dtype, shape } of tensors) {
		const end = begin + tensorBytes(dtype, shape);
		fields.push(
			`${JSON.stringify(name)}:{"dtype":"${dtype}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
		);
		begin = end;
	}
	const json = Buffer.from(`{${fields.join(",")}}`);
	const length = Math.ceil(json.length / 8) * 8;
	const header = new Uint8Array(lengthBytes + length).fill(0x20);
	new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
	header.set(json, lengthBytes);
	return header;
}

/** Bytes of a tensor's data. */
export function tensorBytes(dtype: Dtype, shape: readonly number[]): number {
	return (shape.reduce((product, size) => product * size, 1) * dtypeBits[dtype]) / 8;
}

export function malformed(code: string, path: string, message: string, cause?: unknown): UserError {
	return new UserError(`SAFETENSORS_${code}`, `Malformed safetensors file. ${message}`, {
		where: path,
		hint: "Download or export the file again.",
		...(cause === undefined ? {} : { cause }),
	});
}

function parseObject(json: Uint8Array, path: string): Record<string, unknown> {
	let text: string;
	try {
		// A byte order mark is not JSON; the decoder would swallow it.
		text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(json);
	} catch (cause) {
		throw malformed("HEADER_NOT_UTF8", path, "The header is not UTF-8.", cause);
	}
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (cause) {
		throw malformed("HEADER_NOT_JSON", path, `The header is not JSON: ${(cause as Error).message}`, cause);
	}
	if (!isObject(value)) throw malformed("HEADER_INVALID", path, "The header is JSON, but not an object.");
	const duplicate = findDuplicateKey(text);
	if (duplicate !== undefined) throw malformed("HEADER_INVALID", path, `The header has ${quote(duplicate)} twice.`);
	return value;
}

function parseMetadata(value: unknown, path: string): Record<string, string> {
	if (!isObject(value)) throw malformed("HEADER_INVALID", path, `${metadataKey} is not an object.`);
	for (const [key, text] of Object.entries(value)) {
		if (typeof text !== "string") {
			throw malformed("HEADER_INVALID", path, `${metadataKey} must hold strings; ${quote(key)} is none.`);
		}
	}
	return value as Record<string, string>;
}

function parseTensor(
	value: unknown,
	{ name, dataStart, path }: { name: string; dataStart: number; path: string },
): TensorInfo {
	const fail = (code: string, message: string) => malformed(code, path, `Tensor ${quote(name)}: ${message}`);
	const count = (number: unknown, what: string): number => {
		if (typeof number !== "number" || !Number.isInteger(number) || number < 0) {
			throw fail("HEADER_INVALID", `${what} must be a whole number of at least 0, not ${preview(number)}.`);
		}
		if (number > Number.MAX_SAFE_INTEGER) throw fail("OVERFLOW", `${what} is too large: ${number}.`);
		return number;
	};

	if (!isObject(value)) throw fail("HEADER_INVALID", `its entry is ${preview(value)}, not an object.`);
	const { dtype, shape, data_offsets: offsets } = value;
	if (typeof dtype !== "string" || !Object.hasOwn(dtypeBits, dtype)) {
		throw fail("HEADER_INVALID", `unknown dtype ${preview(dtype)}; known are ${dtypes.join(", ")}.`);
	}
	if (!Array.isArray(shape)) throw fail("HEADER_INVALID", `shape must be a list, not ${preview(shape)}.`);
	if (!Array.isArray(offsets) || offsets.length !== 2) {
		throw fail("HEADER_INVALID", `data_offsets must be two numbers, not ${preview(offsets)}.`);
	}
	const begin = count(offsets[0], "data_offsets[0]");
	const end = count(offsets[1], "data_offsets[1]");
	const bits = dtypeBits[dtype as Dtype];
	let elements = 1;
	for (const [axis, size] of shape.entries()) {
		elements *= count(size, `shape[${axis}]`);
		if (elements * bits > Number.MAX_SAFE_INTEGER) {
			throw fail("OVERFLOW", `a ${dtype} tensor of shape [${shape}] is larger than any file.`);
		}
	}
	const bytes = (elements * bits) / 8;
	if (end - begin !== bytes) {
		throw fail(
			"TENSOR_INVALID",
			`${dtype} [${shape}] has ${bytes} bytes, its data_offsets [${offsets}] span ${end - begin}.`,
		);
	}
	if (dataStart + end > Number.MAX_SAFE_INTEGER) throw fail("OVERFLOW", `data_offsets end at byte ${end}.`);
	return { dtype: dtype as Dtype, shape, elements, offset: dataStart + begin, bytes };
}

/** First key that stands twice in one object. `json` is valid JSON: JSON.parse has taken it, keeping the last of each. */
function findDuplicateKey(json: string): string | undefined {
	const open: (Set<string> | undefined)[] = [];
	let at = 0;
	while (at < json.length) {
		const char = json[at];
		if (char === '"') {
			const start = at++;
			while (json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
			at++;
			const end = at;
			while (isSpace(json[at])) at++;
			if (json[at] !== ":") continue;
			const key = JSON.parse(json.slice(start, end)) as string;
			const keys = open.at(-1) as Set<string>;
			if (keys.has(key)) return key;
			keys.add(key);
			continue;
		}
		if (char === "{") open.push(new Set());
		else if (char === "[") open.push(undefined);
		else if (char === "}" || char === "]") open.pop();
		at++;
	}
	return undefined;
}

function isSpace(char: string | undefined): boolean {
	return char === " " || char === "\n" || char === "\r" || char === "\t";
}

function isObject(value: unknown): value is Record<string, unknown> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

function quote(name: string): string {
	return JSON.stringify(name.length > 200 ? `${name.slice(0, 200)}...` : name);
}

function preview(value: unknown): string {
	const text = JSON.stringify(value) ?? "nothing";
	return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

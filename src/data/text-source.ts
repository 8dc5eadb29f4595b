// Reads a text file as a stream of strings: UTF-8 checked to the byte, byte order mark removed, CRLF turned into LF.
// It knows nothing of formats. Memory is one chunk, whatever the file's size.
import { isUtf8 } from "node:buffer";
import { createReadStream } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { closest, UserError } from "../util/errors.ts";
import { fileError, isNotFound } from "../util/file-errors.ts";

export interface TextSource {
	file: string;
	bytes: number;
	/** Bytes handed out so far. */
	readonly bytesRead: number;
	/** The text in order, once. Ends early when `signal` aborts. */
	chunks: AsyncIterable<string>;
}

/**
 * Opens `file` for reading. Nothing is read before `chunks` is iterated.
 * Errors: FILE_NOT_FOUND, FILE_DENIED, NOT_A_FILE, EMPTY_FILE; while iterating NOT_UTF8 with byte offset and line.
 */
export async function openText(file: string, options: { signal?: AbortSignal } = {}): Promise<TextSource> {
	const bytes = await checkFile(file);
	const source = {
		file,
		bytes,
		bytesRead: 0,
		chunks: decode(file, (read) => {
			source.bytesRead += read;
			options.signal?.throwIfAborted();
		}),
	};
	return source;
}

/** The first `maxBytes` of the file as text, and whether that is all of it. */
export async function readHead(file: string, maxBytes = 65_536): Promise<{ head: string; complete: boolean }> {
	const bytes = await checkFile(file);
	const handle = await open(file).catch((error: unknown) => {
		throw fileError(error, { doing: "read", path: file });
	});
	try {
		const buffer = Buffer.alloc(Math.min(bytes, maxBytes));
		const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
		const complete = bytesRead >= bytes;
		const part = buffer.subarray(0, bytesRead);
		const whole = complete ? part : part.subarray(0, bytesRead - incompleteTail(part));
		checkUtf8(whole, { file, offset: 0, line: 1 });
		return { head: normalise(stripMark(whole).toString("utf8")), complete };
	} finally {
		await handle.close();
	}
}

async function checkFile(file: string): Promise<number> {
	const info = await stat(file).catch(async (cause: unknown) => {
		const neighbours = isNotFound(cause) ? await readdir(dirname(file)).catch(() => []) : [];
		const near = closest(basename(file), neighbours);
		if (near === undefined) throw fileError(cause, { doing: "read", path: file });
		throw new UserError("FILE_NOT_FOUND", `There is no file ${file}.`, { hint: `did you mean ${near}?`, cause });
	});
	if (info.isDirectory()) {
		throw new UserError("NOT_A_FILE", `${file} is a directory.`, {
			where: file,
			expected: "a file of dialogues or text",
		});
	}
	if (info.size === 0 && info.isFile()) throw emptyFile(file);
	return info.size;
}

export function emptyFile(file: string): UserError {
	return new UserError("EMPTY_FILE", `${file} is empty.`, {
		where: file,
		expected: "at least one row",
		hint: "Check that this is the file that was meant, and that what wrote it came to its end.",
	});
}

async function* decode(file: string, onRead: (bytes: number) => void): AsyncGenerator<string> {
	let carry: Buffer = Buffer.alloc(0);
	let offset = 0;
	let line = 1;
	let heldReturn = "";
	for await (const chunk of createReadStream(file, { highWaterMark: 1 << 18 })) {
		onRead((chunk as Buffer).length);
		let bytes: Buffer = carry.length === 0 ? (chunk as Buffer) : Buffer.concat([carry, chunk as Buffer]);
		const tail = incompleteTail(bytes);
		carry = bytes.subarray(bytes.length - tail);
		bytes = bytes.subarray(0, bytes.length - tail);
		checkUtf8(bytes, { file, offset, line });
		const raw = heldReturn + (offset === 0 ? stripMark(bytes) : bytes).toString("utf8");
		offset += bytes.length;
		for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, at + 1)) line++;
		// A carriage return at the very end may be the first half of CRLF.
		heldReturn = raw.endsWith("\r") ? "\r" : "";
		const text = normalise(heldReturn === "" ? raw : raw.slice(0, -1));
		if (text !== "") yield text;
	}
	checkUtf8(carry, { file, offset, line });
	if (heldReturn !== "") yield heldReturn;
}

const normalise = (text: string) => (text.includes("\r\n") ? text.replaceAll("\r\n", "\n") : text);

function stripMark(bytes: Buffer): Buffer {
	return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes;
}

/** How many bytes at the end begin a character that does not end here: 0 to 3. */
function incompleteTail(bytes: Buffer): number {
	for (let back = 1; back <= Math.min(3, bytes.length); back++) {
		const byte = bytes[bytes.length - back] as number;
		if (byte < 0x80) return 0;
		if (byte >= 0xc0) {
			const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
			return length > back ? back : 0;
		}
	}
	return 0;
}

function checkUtf8(bytes: Buffer, at: { file: string; offset: number; line: number }): void {
	if (isUtf8(bytes)) return;
	const bad = firstInvalidByte(bytes);
	let line = at.line;
	for (let next = bytes.indexOf(10); next !== -1 && next < bad; next = bytes.indexOf(10, next + 1)) line++;
	const mark = at.offset === 0 ? bytes.subarray(0, 2).toString("hex") : "";
	const utf16 = mark === "fffe" || mark === "feff";
	const encoding = utf16 ? (mark === "fffe" ? "UTF-16LE" : "UTF-16BE") : "GB18030";
	throw new UserError(
		"NOT_UTF8",
		`${at.file} is not UTF-8: byte ${at.offset + bad} on line ${line} fits no character.`,
		{
			where: `${at.file}:${line}, byte offset ${at.offset + bad}`,
			expected: "UTF-8, with or without a byte order mark",
			found: `byte 0x${(bytes[bad] as number).toString(16).padStart(2, "0")}${utf16 ? " (the file begins like UTF-16)" : ""}`,
			hint: `save the file as UTF-8; if it is ${encoding}: iconv -f ${encoding} -t UTF-8 ${at.file} > converted`,
		},
	);
}

/** Offset of the first byte that is not part of a valid character. `bytes` is known to hold one. */
function firstInvalidByte(bytes: Buffer): number {
	let low = 0;
	while (low < bytes.length) {
		const byte = bytes[low] as number;
		const length = byte < 0x80 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0;
		if (length === 0 || !isUtf8(bytes.subarray(low, low + length))) return low;
		low += length;
	}
	return low;
}

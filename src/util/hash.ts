// SHA-256 of files and of numbers in memory, as 64 hexadecimal digits. Files are streamed, whatever their size.
import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { fileError } from "./file-errors.ts";

const pieceBytes = 4 * 1024 * 1024;

/** Throws UserError when the file cannot be read. */
export async function sha256OfFile(path: string, { signal }: { signal?: AbortSignal } = {}): Promise<string> {
	const hash = createHash("sha256");
	try {
		const file = await open(path, "r");
		try {
			const piece = new Uint8Array(pieceBytes);
			for (;;) {
				signal?.throwIfAborted();
				const { bytesRead } = await file.read(piece, 0, pieceBytes, null);
				if (bytesRead === 0) break;
				hash.update(piece.subarray(0, bytesRead));
			}
		} finally {
			await file.close();
		}
	} catch (error) {
		throw fileError(error, { doing: "read", path });
	}
	return hash.digest("hex");
}

/** Of the UTF-8 bytes of a string, or of the memory of a typed array as it lies there (little-endian on every machine we know). */
export function sha256(data: string | ArrayBufferView): string {
	const hash = createHash("sha256");
	if (typeof data === "string") return hash.update(data).digest("hex");
	// One update takes at most 2^31 - 1 bytes.
	for (let offset = 0; offset < data.byteLength; offset += pieceBytes) {
		const length = Math.min(pieceBytes, data.byteLength - offset);
		hash.update(new Uint8Array(data.buffer, data.byteOffset + offset, length));
	}
	return hash.digest("hex");
}

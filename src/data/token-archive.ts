// A long row of 32-bit integers, appended once and then read anywhere, in bounded memory: it lives in typed arrays up to
// a limit and in a temporary file beyond. It knows nothing of what the integers mean.
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileError } from "../util/file-errors.ts";

export interface ArchiveOptions {
	/** Beyond this many bytes the integers go to a file. Default 64 MiB. */
	maxBytes?: number;
	/** Where that file is made; the system's directory for temporary files by default. */
	directory?: string;
}

const chunkLength = 1 << 18;

/** Dispose of it once: it may hold an open file. The file has no name on POSIX, so a killed process leaves nothing. */
export class TokenArchive {
	readonly #options: Required<ArchiveOptions>;
	/** Full chunks and, last, the one being filled. With a file: the last one alone. */
	#chunks: Int32Array[] = [new Int32Array(chunkLength)];
	/** Integers in the file; the chunks follow them. */
	#written = 0;
	#length = 0;
	#hash: [number, number] = [0x811c9dc5, 0x01234567];
	#file: { descriptor: number; folder: string } | undefined;

	constructor(options: ArchiveOptions = {}) {
		this.#options = { maxBytes: options.maxBytes ?? 64 << 20, directory: options.directory ?? tmpdir() };
	}

	/** Number of integers. */
	get length(): number {
		return this.#length;
	}

	/** Whether they are in a file. */
	get spilled(): boolean {
		return this.#file !== undefined;
	}

	/** Hash of all integers in order. */
	get fingerprint(): string {
		const words = [...this.#hash, this.#length].map((word) => (word >>> 0).toString(16).padStart(8, "0"));
		return words.join("");
	}

	/** Adds the values at the end and returns the offset of the first. Error: DISK_FULL and its kin. */
	append(values: Int32Array): number {
		const offset = this.#length;
		let [a, b] = this.#hash;
		for (const value of values) {
			a = Math.imul(a ^ value, 0x01000193);
			b = Math.imul(b + value, 0x9e3779b1) ^ (b >>> 15);
		}
		this.#hash = [a, b];
		for (let from = 0; from < values.length; ) {
			const used = (this.#length - this.#written) % chunkLength;
			const room = this.#room(used);
			const part = values.subarray(from, from + chunkLength - used);
			room.set(part, used);
			this.#length += part.length;
			from += part.length;
		}
		return offset;
	}

	/** A copy of `length` integers from `offset` on. */
	read(offset: number, length: number): Int32Array {
		if (offset < 0 || offset + length > this.#length) {
			throw new RangeError(`read of ${length} at ${offset} in an archive of ${this.#length}`);
		}
		const result = new Int32Array(length);
		const inFile = Math.min(length, Math.max(0, this.#written - offset));
		if (inFile > 0) this.#readFile(offset, result.subarray(0, inFile));
		for (let done = inFile; done < length; ) {
			const at = offset + done - this.#written;
			const chunk = this.#chunks[Math.floor(at / chunkLength)] as Int32Array;
			const part = chunk.subarray(at % chunkLength, Math.min(chunkLength, (at % chunkLength) + length - done));
			result.set(part, done);
			done += part.length;
		}
		return result;
	}

	dispose(): void {
		if (this.#file !== undefined) {
			closeSync(this.#file.descriptor);
			rmSync(this.#file.folder, { recursive: true, force: true });
		}
		this.#file = undefined;
		this.#chunks = [];
		this.#length = 0;
		this.#written = 0;
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	/** The chunk to write into, of which `used` integers are taken; a full one is followed by a new one, or spilled. */
	#room(used: number): Int32Array {
		if (used > 0 || this.#length === this.#written) return this.#chunks.at(-1) as Int32Array;
		const spill = this.#file !== undefined || (this.#length + chunkLength) * 4 > this.#options.maxBytes;
		if (spill) {
			for (const chunk of this.#chunks) this.#writeFile(chunk);
			this.#chunks = this.#chunks.slice(-1);
		} else this.#chunks.push(new Int32Array(chunkLength));
		return this.#chunks.at(-1) as Int32Array;
	}

	#writeFile(chunk: Int32Array): void {
		const { directory } = this.#options;
		try {
			this.#file ??= openNameless(directory);
			const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
			for (let done = 0; done < bytes.length; ) {
				done += writeSync(this.#file.descriptor, bytes, done, bytes.length - done, this.#written * 4 + done);
			}
		} catch (cause) {
			throw fileError(cause, { doing: "write", path: directory });
		}
		this.#written += chunk.length;
	}

	#readFile(offset: number, into: Int32Array): void {
		const bytes = Buffer.from(into.buffer, into.byteOffset, into.byteLength);
		const descriptor = this.#file?.descriptor as number;
		for (let done = 0; done < bytes.length; ) {
			const read = readSync(descriptor, bytes, done, bytes.length - done, offset * 4 + done);
			if (read === 0) throw new Error("the temporary file of tokens is shorter than it was written");
			done += read;
		}
	}
}

function openNameless(directory: string): { descriptor: number; folder: string } {
	const folder = mkdtempSync(join(directory, "attune-tokens-"));
	const descriptor = openSync(join(folder, "ids"), "wx+", 0o600);
	// Windows keeps an open file's name; dispose removes it there.
	if (process.platform !== "win32") rmSync(folder, { recursive: true });
	return { descriptor, folder };
}

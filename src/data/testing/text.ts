// Text as a source, and text files, for tests.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TextSource } from "../text-source.ts";

/** The text in chunks of `chunkLength` code units, as openText would hand it out. */
export function textSource(text: string, { file = "test", chunkLength = 1 << 16 } = {}): TextSource {
	let bytesRead = 0;
	const chunks = async function* () {
		for (let at = 0; at < text.length; at += chunkLength) {
			const chunk = text.slice(at, at + chunkLength);
			bytesRead += Buffer.byteLength(chunk);
			yield chunk;
		}
	};
	return {
		file,
		bytes: Buffer.byteLength(text),
		get bytesRead() {
			return bytesRead;
		},
		chunks: chunks(),
	};
}

const folder = mkdtempSync(join(tmpdir(), "attune-data-test-"));
let files = 0;

/** Path of a new file with this content. */
export function textFile(content: string | Uint8Array, suffix = ""): string {
	const file = join(folder, `${files++}${suffix}`);
	writeFileSync(file, content);
	return file;
}

/** One JSON value a line. */
export const jsonLinesOf = (rows: readonly unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
	const list: T[] = [];
	for await (const item of items) list.push(item);
	return list;
}

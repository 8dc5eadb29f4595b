// Plain text for pretraining: the file is one document, handed out in pieces that are cut where no tokenizer merges.
import type { DatasetFormat } from "../format.ts";
import type { Row } from "../row.ts";

/** Least length of a piece, in UTF-16 code units. */
const pieceLength = 1 << 16;

export const plainText: DatasetFormat = {
	title: "plain text",
	recognises: () => true,
	read: async function* (source): AsyncIterable<Row> {
		let held = "";
		let line = 1;
		let before = 0;
		const piece = (text: string, progress: number) => {
			const row = { file: source.file, line, text, endsDocument: progress === 1, progress, share: progress - before };
			before = progress;
			line += text.split("\n").length - 1;
			return row;
		};
		for await (const chunk of source.chunks) {
			held += chunk;
			if (held.length < pieceLength) continue;
			const cut = lastCut(held);
			if (cut === 0) continue;
			const text = held.slice(0, cut);
			held = held.slice(cut);
			// Code units stand for bytes: exact for the whole of a file, close within a chunk.
			const pending = (source.bytesRead - before * source.bytes) * (held.length / (held.length + text.length));
			yield piece(text, (source.bytesRead - pending) / source.bytes);
		}
		yield piece(held, 1);
	},
};

/**
 * The last place to cut so that both sides encode as they would together: after a line end between two characters that are
 * not white space, else before such a space. Byte-level pre-tokenizers look at runs of white space, and begin a word with
 * its space. In text without either, as Chinese on one line, anywhere once it grows too long.
 */
function lastCut(text: string): number {
	const isText = (at: number) => /\S/.test(text[at] ?? " ");
	for (let at = text.lastIndexOf("\n"); at > 0; at = text.lastIndexOf("\n", at - 1)) {
		if (isText(at - 1) && isText(at + 1)) return at + 1;
	}
	for (let at = text.lastIndexOf(" "); at > 0; at = text.lastIndexOf(" ", at - 1)) {
		if (isText(at - 1) && isText(at + 1)) return at;
	}
	if (text.length < 16 * pieceLength) return 0;
	const last = text.charCodeAt(text.length - 1);
	return last >= 0xd800 && last < 0xdc00 ? text.length - 1 : text.length;
}

// Questions to answer before and after training: texts, or @FILE with one a line.

import { readFile } from "node:fs/promises";
import { fileError } from "../util/file-errors.ts";

export async function readQuestions(given: readonly string[]): Promise<string[]> {
	const questions: string[] = [];
	for (const item of given) {
		if (!item.startsWith("@")) {
			questions.push(item);
			continue;
		}
		const path = item.slice(1);
		const text = await readFile(path, "utf8").catch((error: unknown) => {
			throw fileError(error, { doing: "read", path });
		});
		questions.push(...text.split(/\r?\n/).filter((line) => line.trim() !== ""));
	}
	return questions;
}

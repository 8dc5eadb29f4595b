// What a person may write where a model is wanted: a directory, a run directory, a hub id, or `builtin`.

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { UserError } from "../util/errors.ts";
import { packageRoot } from "../util/package-root.ts";

/** The directory that a model reference stands for. */
export async function resolveModelReference(reference: string): Promise<string> {
	if (reference === "builtin") return join(packageRoot(), "models", "builtin");
	const found = await stat(reference).catch(() => undefined);
	if (found) return reference;
	throw new UserError("MODEL_NOT_FOUND", `There is no model "${reference}".`, {
		expected: "a directory in the Hugging Face layout, a run directory, or builtin",
		found: "nothing of this name",
		hint: "Check the path.",
	});
}

// What `--model` may say: a directory, `builtin`, or the id of a model on the Hugging Face hub, `org/name@revision`.
import { stat } from "node:fs/promises";
import { UserError } from "../util/errors.ts";
import { downloadModel, type HubOptions } from "./hub.ts";
import type { HubModel } from "./hub-cache.ts";
import { isPickleName, pickleError } from "./pickle.ts";

export type ModelReference =
	| { readonly kind: "builtin" }
	| { readonly kind: "directory"; readonly path: string }
	| ({ readonly kind: "hub" } & HubModel);

const hubId = /^([A-Za-z0-9][\w.-]*(?:\/[A-Za-z0-9][\w.-]*)?)(?:@([\w.-]+(?:\/[\w.-]+)*))?$/;

/**
 * Throws UserError when it can be none of the three. What exists on the disk is a directory, even if the hub has a model
 * of the same name; a path that cannot be an id is one too, so that the error for a missing one says so.
 */
export async function parseModelReference(text: string): Promise<ModelReference> {
	if (text === "builtin") return { kind: "builtin" };
	const exists = await stat(text).then(
		() => true,
		() => false,
	);
	if (exists) return { kind: "directory", path: text };
	if (isPickleName(text)) throw pickleError(text);
	const [, id, revision = "main"] = hubId.exec(text) ?? [];
	if (id !== undefined && !id.includes("..") && !revision.split("/").includes(".."))
		return { kind: "hub", id, revision };
	throw new UserError(
		"MODEL_NOT_FOUND",
		`There is no directory ${JSON.stringify(text)}, and no model can have this name.`,
		{
			where: "--model",
			expected: "a model directory, builtin, or a hub id such as gpt2, org/name or org/name@revision",
			found: JSON.stringify(text),
			hint: "Check the path: it is looked up from the current directory.",
		},
	);
}

export interface LocateOptions extends HubOptions {
	/** Where the built-in model lies. */
	builtinPath: string;
}

/** The directory of a model, downloaded if need be. `commit` and `offline` are known for models of the hub. */
export async function locateModel(
	text: string,
	options: LocateOptions,
): Promise<{ path: string; reference: ModelReference; commit?: string; offline?: boolean }> {
	const reference = await parseModelReference(text);
	if (reference.kind === "builtin") return { path: options.builtinPath, reference };
	if (reference.kind === "directory") return { path: reference.path, reference };
	return { ...(await downloadModel(reference, options)), reference };
}

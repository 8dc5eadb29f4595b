// manifest.json: what a run was made from, so that it explains itself and can be made again. Written once at the start,
// and again only when a resumed run was allowed to change something. The file's shape is checked when it is read.
import { readFile, stat } from "node:fs/promises";
import { cpus } from "node:os";
import * as z from "zod";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { sha256OfFile } from "../util/hash.ts";

export const manifestFile = "manifest.json";

const fileHash = z.object({ path: z.string(), bytes: z.number(), sha256: z.string().regex(/^[0-9a-f]{64}$/) });

const option = z.object({ value: z.json(), origin: z.enum(["default", "config", "flag", "option"]) });

const manifestSchema = z.object({
	tool: z.literal("attune"),
	/** Version of this file's shape. */
	format: z.literal(1),
	/** The job: finetune, pretrain, search, ... */
	recipe: z.string(),
	/** ISO 8601. */
	createdAt: z.string(),
	seed: z.number(),
	/** Every option with its value and where the value came from; "option" is a caller of the library. */
	options: z.record(z.string(), option),
	/** attune, node, onnxruntime, ... */
	versions: z.record(z.string(), z.string()),
	platform: z.object({ system: z.string(), architecture: z.string(), processor: z.string() }),
	/** The model the run started from; null when it started from random weights. */
	base: z.object({ model: z.string(), files: z.array(fileHash) }).nullable(),
	data: z.array(fileHash),
	/** Numbers of the model, adapter included. */
	parameters: z.object({ total: z.int(), trained: z.int() }).optional(),
	/** What a resumed run was allowed to change, in order. */
	changes: z.array(z.object({ step: z.number(), at: z.string(), option: z.string(), from: z.json(), to: z.json() })),
});

export type Manifest = z.infer<typeof manifestSchema>;
export type FileHash = z.infer<typeof fileHash>;

/** Throws UserError when there is none, or when it is not one of ours. */
export async function readManifest(runDirectory: string): Promise<Manifest> {
	const path = `${runDirectory}/${manifestFile}`;
	let text: string;
	try {
		text = await readFile(path, "utf8");
	} catch (cause) {
		const error = fileError(cause, { doing: "read", path });
		if (!(error instanceof UserError)) throw error;
		throw new UserError("NOT_A_RUN", `${runDirectory} is not a run directory of attune.`, {
			where: runDirectory,
			expected: manifestFile,
			found: error.message,
			hint: "Give a directory that attune wrote.",
			cause,
		});
	}
	return parseManifest(text, { path });
}

export function parseManifest(text: string, { path }: { path: string }): Manifest {
	const fail = (found: string, cause?: unknown) =>
		new UserError("MANIFEST_MALFORMED", `${path} is not a manifest of attune.`, { where: path, found, cause });
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (error) {
		throw fail((error as Error).message, error);
	}
	const parsed = manifestSchema.safeParse(value);
	if (parsed.success) return parsed.data;
	const issue = parsed.error.issues[0] as z.core.$ZodIssue;
	throw fail(`${issue.path.join(".") || "the whole"}: ${issue.message}`, parsed.error);
}

export function formatManifest(manifest: Manifest): string {
	return `${JSON.stringify(manifestSchema.parse(manifest), null, "\t")}\n`;
}

/** Path, size and SHA-256 of files, one after the other. Throws UserError for one that cannot be read. */
export async function hashFiles(
	paths: readonly string[],
	{ signal }: { signal?: AbortSignal } = {},
): Promise<FileHash[]> {
	const hashes: FileHash[] = [];
	for (const path of paths) {
		const sha256 = await sha256OfFile(path, signal === undefined ? {} : { signal });
		hashes.push({ path, bytes: (await stat(path)).size, sha256 });
	}
	return hashes;
}

/** The machine this process runs on. */
export function describePlatform(): Manifest["platform"] {
	const processors = cpus();
	return {
		system: process.platform,
		architecture: process.arch,
		processor: `${processors.length} x ${processors[0]?.model.trim() ?? "unknown"}`,
	};
}

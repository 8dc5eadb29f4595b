// The Hugging Face cache on disk: where it is, where a model lies in it, and how a file gets in. The layout is that of
// huggingface_hub in Python, so both find what the other downloaded:
//
//     models--ORG--NAME/refs/main                 the commit that "main" was
//     models--ORG--NAME/blobs/HASH                contents; HASH.incomplete while downloading
//     models--ORG--NAME/snapshots/COMMIT/FILE     links to blobs
import { copyFile, mkdir, readFile, rename, rm, stat, symlink } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, relative } from "node:path";
import { asideOf, writeFileAtomic } from "../util/atomic-file.ts";
import { UserError } from "../util/errors.ts";
import { fileError, isNotFound } from "../util/file-errors.ts";
import { checkRelativeName } from "./inside.ts";
import { configFile } from "./model-directory.ts";
import { openWeights } from "./weights.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

const commitPattern = /^[0-9a-f]{40}$/;

/** `id`: gpt2 or org/name. `revision`: a branch, tag or commit. */
export interface HubModel {
	readonly id: string;
	readonly revision: string;
}

/** As huggingface_hub looks for it: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, then below the user's cache. */
export function hubCacheDirectory(env: Environment): string {
	const given = env.HF_HUB_CACHE ?? env.HUGGINGFACE_HUB_CACHE;
	return given === undefined ? join(huggingFaceHome(env), "hub") : expandHome(given);
}

/** HF_HOME: holds the cache and the token. */
export function huggingFaceHome(env: Environment): string {
	if (env.HF_HOME !== undefined) return expandHome(env.HF_HOME);
	return join(expandHome(env.XDG_CACHE_HOME ?? join(homedir(), ".cache")), "huggingface");
}

export function modelCachePath(cacheDirectory: string, { id }: HubModel): string {
	return join(cacheDirectory, `models--${id.replaceAll("/", "--")}`);
}

export function snapshotPath(cacheDirectory: string, { model, commit }: { model: HubModel; commit: string }): string {
	return join(modelCachePath(cacheDirectory, model), "snapshots", commit);
}

/** The snapshot of a model that is there completely: config and all weights. Asks nobody. */
export async function findInCache(
	cacheDirectory: string,
	model: HubModel,
): Promise<{ path: string; commit: string } | undefined> {
	const commit = commitPattern.test(model.revision) ? model.revision : await readRef(cacheDirectory, model);
	if (commit === undefined) return undefined;
	const path = snapshotPath(cacheDirectory, { model, commit });
	try {
		await stat(join(path, configFile));
		await (await openWeights(path)).close();
		return { path, commit };
	} catch (error) {
		const missing = error instanceof UserError && ["NOT_A_MODEL", "FILE_NOT_FOUND"].includes(error.code);
		if (missing || isNotFound(error)) return undefined;
		throw error;
	}
}

/** Notes which commit a branch or tag stands for. */
export async function writeRef(
	cacheDirectory: string,
	{ model, commit }: { model: HubModel; commit: string },
): Promise<void> {
	if (model.revision === commit) return;
	const path = refPath(cacheDirectory, model);
	await mkdir(dirname(path), { recursive: true });
	await writeFileAtomic(path, commit);
}

/** Puts a blob into a snapshot under a file's name: as a relative link, or as a copy where the system has no links. */
export async function linkBlob(blob: string, path: string): Promise<void> {
	try {
		await mkdir(dirname(path), { recursive: true });
		const aside = asideOf(path);
		try {
			await symlink(relative(dirname(path), blob), aside);
		} catch {
			await copyFile(blob, aside);
		}
		await rename(aside, path).catch(async (error: unknown) => {
			await rm(aside, { force: true });
			throw error;
		});
	} catch (error) {
		throw fileError(error, { doing: "write", path });
	}
}

async function readRef(cacheDirectory: string, model: HubModel): Promise<string | undefined> {
	const path = refPath(cacheDirectory, model);
	try {
		const commit = (await readFile(path, "utf8")).trim();
		return commitPattern.test(commit) ? commit : undefined;
	} catch (error) {
		if (isNotFound(error)) return undefined;
		throw fileError(error, { doing: "read", path });
	}
}

function refPath(cacheDirectory: string, model: HubModel): string {
	checkRelativeName(model.revision, { where: model.id });
	return join(modelCachePath(cacheDirectory, model), "refs", model.revision);
}

function expandHome(path: string): string {
	return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

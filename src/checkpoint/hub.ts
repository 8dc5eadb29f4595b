// Models from the Hugging Face hub, into the usual Hugging Face cache: only the files that attune reads, never a pickle.
// The hub's protocol is @huggingface/hub; the download itself is ours, because that library starts a broken download from
// the beginning, does not check what it got, and prints to the console.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ListFileEntry } from "@huggingface/hub";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";
import { takeLock } from "../util/process-lock.ts";
import {
	type Environment,
	findInCache,
	type HubModel,
	hubCacheDirectory,
	huggingFaceHome,
	linkBlob,
	modelCachePath,
	snapshotPath,
	writeRef,
} from "./hub-cache.ts";
import { checkRelativeName } from "./inside.ts";
import { configFile } from "./model-directory.ts";
import { isPickleName } from "./pickle.ts";
import { readWeightsIndex, weightsFile, weightsIndexFile } from "./weights.ts";

export interface HubOptions {
	/** HF_HOME, HF_HUB_CACHE, HF_ENDPOINT, HF_TOKEN, HF_TOKEN_PATH and HF_HUB_OFFLINE are respected. */
	env: Environment;
	/** Default: HF_ENDPOINT, then https://huggingface.co. */
	hubUrl?: string;
	signal?: AbortSignal;
	/** Called as bytes arrive: of one file, and of how many in all. */
	onProgress?: (progress: HubProgress) => void;
	/** Wait before the first retry of a broken connection, doubled each time. */
	retryDelayMs?: number;
}

export interface HubProgress {
	file: string;
	receivedBytes: number;
	totalBytes: number;
}

export interface LocalModel {
	/** A directory in the Hugging Face layout. */
	path: string;
	commit: string;
	/** True when the hub could not be asked and the cache had the model. */
	offline: boolean;
}

const retries = 5;

const helpfulFiles = [
	configFile,
	"generation_config.json",
	"tokenizer.json",
	"tokenizer_config.json",
	"special_tokens_map.json",
	"added_tokens.json",
	"vocab.json",
	"merges.txt",
	"chat_template.jinja",
];

/**
 * Downloads what is missing of a model, going on where an earlier download broke off, and returns its directory in the
 * cache. Without network the cache answers. Throws UserError: unknown or gated model, hub out of reach and nothing
 * cached, no safetensors, broken off, corrupt.
 */
export async function downloadModel(model: HubModel, options: HubOptions): Promise<LocalModel> {
	const cacheDirectory = hubCacheDirectory(options.env);
	const offlineBy = /^(1|true|yes|on)$/i.test(options.env.HF_HUB_OFFLINE ?? "") ? "HF_HUB_OFFLINE is set" : undefined;
	try {
		if (offlineBy !== undefined) throw new OutOfReach(offlineBy);
		return await new Download(model, { ...options, cacheDirectory, accessToken: await findToken(options.env) }).run();
	} catch (error) {
		if (!(error instanceof OutOfReach)) throw error;
		const cached = await findInCache(cacheDirectory, model);
		if (cached !== undefined) return { ...cached, offline: true };
		throw new UserError(
			"HUB_UNREACHABLE",
			`There is no directory ${nameOf(model)}, no such model in the cache, and the hub cannot be reached: ${error.message}.`,
			{
				where: cacheDirectory,
				hint: "Check the path; if a model of the Hugging Face hub was meant, connect to the network once.",
				cause: error.cause,
			},
		);
	}
}

/** The hub gave no answer (no network, too busy): the cache may still have one. */
class OutOfReach extends Error {}

interface DownloadOptions extends HubOptions {
	cacheDirectory: string;
	accessToken: string | undefined;
}

class Download {
	readonly #model: HubModel;
	readonly #options: DownloadOptions;
	readonly #hubUrl: string;

	constructor(model: HubModel, options: DownloadOptions) {
		this.#model = model;
		this.#options = options;
		this.#hubUrl = (options.hubUrl ?? options.env.HF_ENDPOINT ?? "https://huggingface.co").replace(/\/+$/, "");
	}

	async run(): Promise<LocalModel> {
		// Loaded here because it is large, and most commands never ask the hub.
		const { modelInfo, listFiles } = await import("@huggingface/hub");
		const { cacheDirectory } = this.#options;
		const model = this.#model;
		const { sha: commit } = await modelInfo({
			...this.#request(),
			name: model.id,
			revision: model.revision,
			additionalFields: ["sha"],
		});
		if (!/^[0-9a-f]{40}$/.test(commit)) throw this.#oddAnswer(`the commit ${JSON.stringify(commit)}`);
		const listed = new Map<string, ListFileEntry>();
		for await (const entry of listFiles({ ...this.#request(), repo: model.id, revision: commit })) {
			if (entry.type === "file") listed.set(entry.path, entry);
		}
		const files = helpfulFiles.filter((name) => listed.has(name));
		if (!files.includes(configFile)) throw this.#notAModel(configFile, listed);
		const fetchFile = (name: string) => this.#fetchFile(listed.get(name), { name, commit });

		// The weights come last: a snapshot that has them has the rest.
		for (const name of files) await fetchFile(name);
		if (listed.has(weightsFile)) {
			await fetchFile(weightsFile);
		} else if (listed.has(weightsIndexFile)) {
			const index = await readWeightsIndex(await fetchFile(weightsIndexFile));
			for (const name of [...new Set(index.values())].sort()) await fetchFile(name);
		} else {
			throw this.#notAModel(weightsFile, listed);
		}
		await writeRef(cacheDirectory, { model, commit });
		return { path: snapshotPath(cacheDirectory, { model, commit }), commit, offline: false };
	}

	/** Returns the file's path in the snapshot. */
	async #fetchFile(
		entry: ListFileEntry | undefined,
		{ name, commit }: { name: string; commit: string },
	): Promise<string> {
		const { cacheDirectory } = this.#options;
		checkRelativeName(name, { where: nameOf(this.#model) });
		const hash = entry?.lfs?.oid ?? entry?.oid;
		const size = entry?.lfs?.size ?? entry?.size;
		if (hash === undefined || size === undefined || !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(hash)) {
			throw this.#oddAnswer(entry === undefined ? `no ${name}, which its index names` : `no hash of ${name}`);
		}
		const path = join(snapshotPath(cacheDirectory, { model: this.#model, commit }), name);
		if ((await sizeOf(path)) === size) return path;
		const blobs = join(modelCachePath(cacheDirectory, this.#model), "blobs");
		const blob = join(blobs, hash);
		try {
			await mkdir(blobs, { recursive: true });
			const release = await takeLock(`${blob}.lock`, { what: `${name} of ${nameOf(this.#model)}` });
			try {
				if ((await sizeOf(blob)) !== size) await this.#fetchBlob(blob, { name, commit, size, hash });
				await linkBlob(blob, path);
			} finally {
				release();
			}
		} catch (error) {
			throw fileError(error, { doing: "write", path: blob });
		}
		return path;
	}

	async #fetchBlob(
		blob: string,
		{ name, commit, size, hash }: { name: string; commit: string; size: number; hash: string },
	) {
		const incomplete = `${blob}.incomplete`;
		const { fileDownloadInfo } = await import("@huggingface/hub");
		const info = await fileDownloadInfo({ ...this.#request(), repo: this.#model.id, path: name, revision: commit });
		if (info === null) throw this.#oddAnswer(`no ${name}, which it had listed`);
		if (size === 0) await writeFile(incomplete, "");
		let received = await sizeOf(incomplete);
		for (let failures = 0; received !== size; ) {
			let cause: unknown = new Error("the answer was too short");
			try {
				await this.#fetchRest(incomplete, { name, url: info.url, size, start: received > size ? 0 : received });
			} catch (error) {
				const onDisk = fileError(error, { doing: "write", path: incomplete });
				if (onDisk instanceof UserError || this.#options.signal?.aborted === true) throw onDisk;
				cause = error;
			}
			const before = received;
			received = await sizeOf(incomplete);
			if (received === size) break;
			failures = received > before ? 0 : failures + 1;
			if (failures >= retries) throw this.#brokenOff(name, { received, size, cause });
			await sleep((this.#options.retryDelayMs ?? 1000) * 2 ** failures, undefined, signalOf(this.#options));
		}
		if ((await hashOf(incomplete, { size, like: hash })) !== hash) {
			await rm(incomplete, { force: true });
			throw new UserError(
				"HUB_CORRUPT",
				`${name} of ${nameOf(this.#model)} arrived, but not as the hub describes it.`,
				{
					where: blob,
					expected: hash,
					hint: "It was removed: run the command again. If it happens again, something on the way changes downloads.",
				},
			);
		}
		await rename(incomplete, blob);
	}

	/** Appends what is missing. A server that knows no ranges sends everything: then from the start. */
	async #fetchRest(
		incomplete: string,
		{ name, url, size, start }: { name: string; url: string; size: number; start: number },
	) {
		const headers: Record<string, string> = { Range: `bytes=${start}-${size - 1}` };
		const { accessToken } = this.#options;
		// To the hub alone: the file itself may lie with somebody else.
		if (accessToken !== undefined && new URL(url).origin === new URL(this.#hubUrl).origin) {
			headers.Authorization = `Bearer ${accessToken}`;
		}
		const response = await this.#fetch(url, { headers });
		const from = response.status === 206 ? start : 0;
		const file = await open(incomplete, from === 0 ? "w" : "a");
		try {
			let receivedBytes = from;
			for await (const piece of response.body ?? []) {
				if (receivedBytes + piece.length > size) throw this.#oddAnswer(`more of ${name} than its ${size} bytes`);
				await file.writeFile(piece);
				receivedBytes += piece.length;
				this.#options.onProgress?.({ file: name, receivedBytes, totalBytes: size });
			}
			if (receivedBytes === size) await file.sync();
		} finally {
			await file.close();
		}
	}

	#request() {
		const { accessToken } = this.#options;
		return { hubUrl: this.#hubUrl, fetch: this.#fetch, ...(accessToken === undefined ? {} : { accessToken }) };
	}

	/** fetch, with what goes wrong told apart. */
	readonly #fetch: typeof fetch = async (input, init) => {
		let response: Response;
		try {
			response = await fetch(input, { ...init, ...signalOf(this.#options) });
		} catch (error) {
			if (this.#options.signal?.aborted === true) throw error;
			throw new OutOfReach(reasonOf(error), { cause: error });
		}
		if (response.ok) return response;
		await response.body?.cancel();
		throw this.#refusal(response.status, response.headers.get("X-Error-Code") ?? "");
	};

	#refusal(status: number, code: string): Error {
		const name = nameOf(this.#model);
		const page = `${this.#hubUrl}/${this.#model.id}`;
		const found = `status ${status}${code === "" ? "" : `, ${code}`}`;
		if (code === "GatedRepo" || status === 403) {
			return new UserError("HUB_GATED", `${name} is gated: its owner asks for an agreement first.`, {
				where: page,
				found,
				hint: "Accept the terms on that page, then set HF_TOKEN to a token of your account.",
			});
		}
		if (code === "RevisionNotFound") {
			return new UserError("HUB_REVISION_UNKNOWN", `${this.#model.id} has no revision ${this.#model.revision}.`, {
				where: page,
				found,
				hint: "Look at the branches and tags on that page.",
			});
		}
		// The hub answers 401 for what does not exist, so as not to give private models away.
		if (status === 401 || status === 404) {
			return new UserError("HUB_MODEL_UNKNOWN", `There is no model ${name} on the hub, or it is private.`, {
				where: page,
				found,
				hint: "Check the spelling (owner/name), or set HF_TOKEN if it is private. If a local directory was meant: there is none of this name.",
			});
		}
		return new OutOfReach(`it answered with status ${status}`);
	}

	#notAModel(lookedFor: string, listed: ReadonlyMap<string, ListFileEntry>): UserError {
		const pickle = [...listed.keys()].find(isPickleName);
		const message =
			pickle !== undefined && lookedFor === weightsFile
				? `${nameOf(this.#model)} has no safetensors, only the pickle ${pickle}, which attune does not open.`
				: `${nameOf(this.#model)} has no ${lookedFor}.`;
		return new UserError(lookedFor === weightsFile ? "HUB_NO_SAFETENSORS" : "NOT_A_MODEL", message, {
			where: `${this.#hubUrl}/${this.#model.id}`,
			expected: `${configFile} and ${weightsFile} (or ${weightsIndexFile})`,
			found: [...listed.keys()].slice(0, 10).join(", ") || "no files",
			hint: "Look for a converted copy (revision refs/pr/... of the same model), or convert it with Transformers in Python.",
		});
	}

	#oddAnswer(found: string): UserError {
		return new UserError("HUB_ANSWER", `The hub's answer about ${nameOf(this.#model)} makes no sense.`, {
			where: this.#hubUrl,
			found,
			hint: "Try again later.",
		});
	}

	#brokenOff(name: string, { received, size, cause }: { received: number; size: number; cause: unknown }): UserError {
		return new UserError(
			"HUB_BROKEN_OFF",
			`The download of ${name} broke off ${retries} times in a row: ${reasonOf(cause)}.`,
			{
				where: nameOf(this.#model),
				found: `${received} of ${size} bytes`,
				hint: "Run the command again: it goes on from there.",
				cause,
			},
		);
	}
}

async function findToken(env: Environment): Promise<string | undefined> {
	const path = env.HF_TOKEN_PATH ?? join(huggingFaceHome(env), "token");
	const token = env.HF_TOKEN ?? (await readFile(path, "utf8").catch(() => ""));
	if (token.trim() === "") return undefined;
	if (token.trim().startsWith("hf_")) return token.trim();
	throw new UserError("HUB_TOKEN", "The Hugging Face token does not start with hf_.", {
		where: env.HF_TOKEN === undefined ? path : "HF_TOKEN",
		hint: "Copy it again from https://huggingface.co/settings/tokens, or unset it.",
	});
}

/** SHA-256 for large files (LFS), otherwise the hash that git gives a file of this content. */
async function hashOf(path: string, { size, like }: { size: number; like: string }): Promise<string> {
	const hash = like.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
	for await (const piece of createReadStream(path, { highWaterMark: 4 * 1024 * 1024 })) hash.update(piece);
	return hash.digest("hex");
}

/** 0 when there is no such file. */
async function sizeOf(path: string): Promise<number> {
	return stat(path).then(
		({ size }) => size,
		() => 0,
	);
}

function signalOf({ signal }: HubOptions): { signal?: AbortSignal } {
	return signal === undefined ? {} : { signal };
}

function reasonOf(error: unknown): string {
	const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
	return cause instanceof Error ? cause.message || cause.name : String(cause);
}

function nameOf({ id, revision }: HubModel): string {
	return revision === "main" ? id : `${id}@${revision}`;
}

// The hub, against a server on this machine that behaves and misbehaves like it, and a cache as Python leaves it.
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { downloadModel } from "./hub.ts";
import { hubCacheDirectory } from "./hub-cache.ts";
import { openModelDirectory } from "./model-directory.ts";
import { locateModel, parseModelReference } from "./model-reference.ts";
import { writeSafetensors } from "./safetensors-write.ts";
import { type FakeHub, fakeCommit, startFakeHub } from "./testing/fake-hub.ts";

let root: string;
let cache: string;
let weights: Buffer;
let hub: FakeHub;
const model = { id: "org/tiny", revision: "main" };
const numbers = Float32Array.from({ length: 60_000 }, (_, i) => i / 16);

beforeAll(async () => {
	const folder = await mkdtemp(join(tmpdir(), "attune-hub-weights-"));
	await writeSafetensors(join(folder, "w"), [{ name: "wte.weight", shape: [600, 100], data: numbers }]);
	weights = await readFile(join(folder, "w"));
	await rm(folder, { recursive: true });
});
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "attune-hub-"));
	cache = join(root, "hub");
	hub = await startFakeHub({
		files: {
			".gitattributes": Buffer.from("*.bin filter=lfs\n"),
			"config.json": Buffer.from('{"model_type":"gpt2"}'),
			"model.safetensors": weights,
			"pytorch_model.bin": Buffer.alloc(5000),
			"tokenizer.json": Buffer.from("{}"),
			"flax_model.msgpack": Buffer.alloc(10),
		},
	});
});
afterEach(async () => {
	await hub.close();
	await rm(root, { recursive: true, force: true });
});

const options = (env: Record<string, string> = {}) => ({
	env: { HF_HOME: root, ...env },
	hubUrl: hub.url,
	retryDelayMs: 1,
});
const download = (env?: Record<string, string>) => downloadModel(model, options(env));
const snapshot = () => join(cache, "models--org--tiny", "snapshots", fakeCommit);

async function expectWhole(path: string): Promise<void> {
	const opened = await openModelDirectory(path);
	expect(opened.config).toEqual({ model_type: "gpt2" });
	expect(
		Buffer.from(((await opened.weights.read("wte.weight")) as Float32Array).buffer).equals(Buffer.from(numbers.buffer)),
	).toBe(true);
	await opened.close();
}

describe("downloading", () => {
	test("takes what is needed, into the layout that Python uses", async () => {
		const progress: number[] = [];
		const result = await downloadModel(model, {
			...options(),
			onProgress: ({ file, receivedBytes, totalBytes }) =>
				file === "model.safetensors" && progress.push(receivedBytes / totalBytes),
		});
		expect(result).toEqual({ path: snapshot(), commit: fakeCommit, offline: false });
		expect((await readdir(snapshot())).sort()).toEqual(["config.json", "model.safetensors", "tokenizer.json"]);
		expect(await readlink(join(snapshot(), "config.json"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{40}$/);
		expect(await readlink(join(snapshot(), "model.safetensors"))).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);
		expect(await readFile(join(cache, "models--org--tiny", "refs", "main"), "utf8")).toBe(fakeCommit);
		expect((await readdir(join(cache, "models--org--tiny", "blobs"))).every((name) => /^[0-9a-f]+$/.test(name))).toBe(
			true,
		);
		expect(progress.at(-1)).toBe(1);
		await expectWhole(result.path);
	});

	test("asks for no file twice, and finds it again offline, by branch and by commit", async () => {
		await download();
		const sent = hub.sentBytes;
		await download();
		expect(hub.sentBytes).toBe(sent);
		const asked = hub.requests.length;
		const offline = { HF_HUB_OFFLINE: "1" };
		expect(await download(offline)).toEqual({ path: snapshot(), commit: fakeCommit, offline: true });
		expect(await downloadModel({ ...model, revision: fakeCommit }, options(offline))).toMatchObject({
			path: snapshot(),
		});
		expect(hub.requests.length).toBe(asked);
		await expect(downloadModel({ ...model, revision: "other" }, options(offline))).rejects.toMatchObject({
			code: "HUB_UNREACHABLE",
		});
	});

	test("goes on where the connection broke", async () => {
		hub.behaviour.breakAfter = { bytes: 70_000, times: 3 };
		const { path } = await download();
		await expectWhole(path);
		const ranges = hub.requests.filter((request) => /model\.safetensors bytes=[1-9]/.test(request));
		expect(ranges.length).toBe(3);
		const small = Object.values(hub.behaviour.files).reduce(
			(sum, file) => sum + (file.length < 100 ? file.length : 0),
			0,
		);
		expect(hub.sentBytes).toBeLessThanOrEqual(weights.length + small);
	});

	test("goes on where an earlier process was killed, or started again when the server knows no ranges", async () => {
		for (const ignoresRange of [false, true]) {
			await rm(cache, { recursive: true, force: true });
			hub.behaviour.breakAfter = { bytes: 100_000, times: 1 };
			const stop = new AbortController();
			const first = downloadModel(model, {
				...options(),
				signal: stop.signal,
				onProgress: ({ file }) => file === "model.safetensors" && stop.abort(),
			});
			await expect(first).rejects.toThrow();
			delete hub.behaviour.breakAfter;
			const blobs = join(cache, "models--org--tiny", "blobs");
			const incomplete = (await readdir(blobs)).find((name) => name.endsWith(".incomplete")) as string;
			const had = (await stat(join(blobs, incomplete))).size;
			expect(had).toBeGreaterThan(0);
			hub.behaviour.ignoresRange = ignoresRange;
			hub.requests.length = 0;
			await expectWhole((await download()).path);
			expect(hub.requests).toContain(
				`GET /org/tiny/resolve/${fakeCommit}/model.safetensors bytes=${had}-${weights.length - 1}`,
			);
		}
	});

	test("gives up when nothing more arrives, keeps what it has, and says how to go on", async () => {
		hub.behaviour.breakAfter = { bytes: 0, times: 100 };
		await expect(download()).rejects.toMatchObject({
			code: "HUB_BROKEN_OFF",
			hint: expect.stringContaining("goes on from there"),
		});
	});

	test("takes all shards that the index names", async () => {
		const { "model.safetensors": whole, ...rest } = hub.behaviour.files;
		const index = { weight_map: { "wte.weight": "model-00001-of-00001.safetensors" } };
		hub.behaviour.files = {
			...rest,
			"model.safetensors.index.json": Buffer.from(JSON.stringify(index)),
			"model-00001-of-00001.safetensors": whole as Buffer,
			"unrelated.safetensors": Buffer.alloc(5),
		};
		const { path } = await download();
		await expectWhole(path);
		expect((await readdir(path)).sort()).toEqual([
			"config.json",
			"model-00001-of-00001.safetensors",
			"model.safetensors.index.json",
			"tokenizer.json",
		]);
	});

	test("of a model whose names lead out of the cache is refused", async () => {
		const { "model.safetensors": whole, ...rest } = hub.behaviour.files;
		for (const name of ["../../../../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"]) {
			await rm(cache, { recursive: true, force: true });
			hub.behaviour.files = {
				...rest,
				"model.safetensors.index.json": Buffer.from(JSON.stringify({ weight_map: { "wte.weight": name } })),
				[name]: whole as Buffer,
			};
			await expect(download()).rejects.toMatchObject({ code: "PATH_OUTSIDE" });
			expect(await readdir(root)).toEqual(["hub"]);
		}
		hub.behaviour.files = { ...rest, "model.safetensors": whole as Buffer };
		const entry = { type: "file", path: "model.safetensors", size: 5 };
		hub.behaviour.listing = { "model.safetensors": { ...entry, oid: "../../evil" } };
		await expect(download()).rejects.toMatchObject({ code: "HUB_ANSWER" });
	});

	test("notices bytes that are not what the hub describes", async () => {
		hub.behaviour.corrupt = true;
		await expect(download()).rejects.toMatchObject({ code: "HUB_CORRUPT" });
		hub.behaviour.corrupt = false;
		await expectWhole((await download()).path);
	});

	test("two at once: the second is told, not mixed in", async () => {
		const results = await Promise.allSettled([download(), download()]);
		for (const result of results) {
			if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "LOCKED" });
			else await expectWhole(result.value.path);
		}
		await expectWhole((await download()).path);
	});
});

describe("refusals", () => {
	const cases: [title: string, refuse: NonNullable<FakeHub["behaviour"]["refuse"]>, code: string][] = [
		["unknown model", { path: /^\/api/, status: 401, code: "RepoNotFound" }, "HUB_MODEL_UNKNOWN"],
		["unknown model, plainly", { path: /^\/api/, status: 404 }, "HUB_MODEL_UNKNOWN"],
		["unknown revision", { path: /revision/, status: 404, code: "RevisionNotFound" }, "HUB_REVISION_UNKNOWN"],
		["gated, not logged in", { path: /resolve/, status: 401, code: "GatedRepo" }, "HUB_GATED"],
		["gated, not agreed", { path: /resolve/, status: 403, code: "GatedRepo" }, "HUB_GATED"],
		["out of order", { path: /^\/api/, status: 503 }, "HUB_UNREACHABLE"],
		["too busy for the listing", { path: /tree/, status: 429 }, "HUB_UNREACHABLE"],
	];
	test.each(cases)("%s", async (_, refuse, code) => {
		hub.behaviour.refuse = refuse;
		await expect(download()).rejects.toMatchObject({ name: "UserError", code, hint: expect.anything() });
		expect(await findSnapshots()).toEqual([]);
	});
	const findSnapshots = () => readdir(join(cache, "models--org--tiny", "snapshots")).catch(() => []);

	test("without network: what is cached is used, and what is not is named", async () => {
		await download();
		const url = hub.url;
		await hub.close();
		const gone = { ...options(), hubUrl: url };
		expect(await downloadModel(model, gone)).toEqual({ path: snapshot(), commit: fakeCommit, offline: true });
		await expect(downloadModel({ id: "org/other", revision: "main" }, gone)).rejects.toMatchObject({
			code: "HUB_UNREACHABLE",
			message: expect.stringMatching(/no directory org\/other.*cache.*ECONNREFUSED/),
		});
		hub = await startFakeHub({ files: {} });
	});

	test("a model without safetensors, or without a config", async () => {
		delete hub.behaviour.files["model.safetensors"];
		await expect(download()).rejects.toMatchObject({
			code: "HUB_NO_SAFETENSORS",
			message: expect.stringContaining("pytorch_model.bin"),
		});
		delete hub.behaviour.files["config.json"];
		await expect(download()).rejects.toMatchObject({ code: "NOT_A_MODEL" });
	});

	test("the token goes to the hub, from HF_TOKEN or from the file; a wrong one is named", async () => {
		await download({ HF_TOKEN: "hf_abc" });
		expect(hub.authorization).toBe("Bearer hf_abc");
		await writeFile(join(root, "token"), "hf_file\n");
		await download();
		expect(hub.authorization).toBe("Bearer hf_file");
		await expect(download({ HF_TOKEN: "secret" })).rejects.toMatchObject({ code: "HUB_TOKEN", where: "HF_TOKEN" });
	});
});

describe("the cache", () => {
	test("is where Python looks for it", () => {
		const usual = join(homedir(), ".cache", "huggingface", "hub");
		expect(hubCacheDirectory({})).toBe(usual);
		expect(hubCacheDirectory({ XDG_CACHE_HOME: "/x" })).toBe("/x/huggingface/hub");
		expect(hubCacheDirectory({ HF_HOME: "~/hf" })).toBe(join(homedir(), "hf", "hub"));
		expect(hubCacheDirectory({ HF_HOME: "/hf", HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/old");
		expect(hubCacheDirectory({ HF_HOME: "/hf", HF_HUB_CACHE: "/new", HUGGINGFACE_HUB_CACHE: "/old" })).toBe("/new");
	});

	test("as Python leaves it is read offline through its links; one with weights missing is not taken", async () => {
		const gpt2 = join(cache, "models--gpt2");
		const commit = "607a30d783dfa663caf39e06633721c8d4cfcd7e";
		const folder = join(gpt2, "snapshots", commit);
		for (const path of [join(gpt2, "blobs"), join(gpt2, "refs"), folder]) await mkdir(path, { recursive: true });
		await writeFile(join(gpt2, "refs", "main"), commit);
		await writeFile(join(gpt2, "blobs", "aa"), '{"model_type":"gpt2"}');
		await symlink("../../blobs/aa", join(folder, "config.json"));
		const offline = options({ HF_HUB_OFFLINE: "1" });
		await expect(downloadModel({ id: "gpt2", revision: "main" }, offline)).rejects.toMatchObject({
			code: "HUB_UNREACHABLE",
		});
		await writeFile(join(gpt2, "blobs", "bb"), weights);
		await symlink("../../blobs/bb", join(folder, "model.safetensors"));
		const { path } = await downloadModel({ id: "gpt2", revision: "main" }, offline);
		expect(path).toBe(folder);
		await expectWhole(path);
		await writeFile(join(gpt2, "blobs", "bb"), weights.subarray(0, 1000));
		await expect(downloadModel({ id: "gpt2", revision: "main" }, offline)).rejects.toMatchObject({
			code: "SAFETENSORS_FILE_SIZE",
		});
	});

	test("links that lead elsewhere are not followed", async () => {
		await download();
		await writeFile(join(root, "secret.json"), "{}");
		await rm(join(snapshot(), "config.json"));
		await symlink(join(root, "secret.json"), join(snapshot(), "config.json"));
		expect((await lstat(join(snapshot(), "config.json"))).isSymbolicLink()).toBe(true);
		await expect(openModelDirectory(snapshot())).rejects.toMatchObject({ code: "PATH_OUTSIDE" });
	});
});

describe("what --model may say", () => {
	test.each([
		["builtin", { kind: "builtin" }],
		["gpt2", { kind: "hub", id: "gpt2", revision: "main" }],
		["org/name@v1.0", { kind: "hub", id: "org/name", revision: "v1.0" }],
		["org/name@refs/pr/3", { kind: "hub", id: "org/name", revision: "refs/pr/3" }],
		[".", { kind: "directory", path: "." }],
		["src/checkpoint", { kind: "directory", path: "src/checkpoint" }],
	])("%s", async (text, expected) => {
		expect(await parseModelReference(text)).toEqual(expected);
	});

	test.each([
		"",
		"./missing",
		"/missing/dir",
		"a/b/c",
		"../no-such-sibling/..",
		"org/..",
		"gpt2@../../x",
		"gpt2@a/../b",
		"-x",
		"a b",
		"org\\name",
	])("%j is none", async (text) => {
		await expect(parseModelReference(text)).rejects.toMatchObject({ code: "MODEL_NOT_FOUND" });
	});

	test("a missing pickle is a pickle", async () => {
		await expect(parseModelReference("pytorch_model.bin")).rejects.toMatchObject({ code: "MODEL_IS_PICKLE" });
	});

	test("is found: built in, a directory, the hub", async () => {
		const where = { ...options(), builtinPath: "/package/models/tiny" };
		expect(await locateModel("builtin", where)).toMatchObject({ path: "/package/models/tiny" });
		expect(await locateModel(root, where)).toMatchObject({ path: root });
		expect(await locateModel("org/tiny", where)).toMatchObject({
			path: snapshot(),
			commit: fakeCommit,
			offline: false,
		});
	});
});

// Atomic files and directories: what stands at the path after a failure, at every point where one can happen.
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
	recoverDirectory,
	removePartials,
	writeDirectoryAside,
	writeFileAside,
	writeFileAtomic,
} from "./atomic-file.ts";
import { UserError } from "./errors.ts";

let root: string;
beforeEach(async () => {
	root = await mkdtemp(join(tmpdir(), "attune-atomic-"));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const failed = (code: string) => Object.assign(new Error(`${code}: made up`), { code });
const names = () => readdir(root);

describe("a file", () => {
	test("is written, and replaced", async () => {
		const path = join(root, "a.json");
		await writeFileAtomic(path, "one");
		await writeFileAtomic(path, "two");
		expect(await readFile(path, "utf8")).toBe("two");
		expect(await names()).toEqual(["a.json"]);
	});

	test("keeps its old content when writing fails, and nothing stays beside it", async () => {
		const path = join(root, "a.json");
		await writeFileAtomic(path, "old");
		const attempt = writeFileAside(path, async (file) => {
			await file.write("new, but only hal");
			throw failed("EIO");
		});
		await expect(attempt).rejects.toMatchObject({ name: "UserError", code: "DISK_FAILED", where: path });
		expect(await readFile(path, "utf8")).toBe("old");
		expect(await names()).toEqual(["a.json"]);
	});

	// The kernel itself says that the disk is full, without root: every write to /dev/full does.
	test.runIf(process.platform === "linux")("on a full disk is a user error and leaves nothing", async () => {
		const path = join(root, "model.safetensors");
		const attempt = writeFileAside(path, async (file) => {
			await file.write("a part that still had room");
			const full = await open("/dev/full", "w");
			await full.write("a part that had none").finally(() => full.close());
		});
		await expect(attempt).rejects.toMatchObject({ name: "UserError", code: "DISK_FULL", where: path });
		expect(await names()).toEqual([]);
	});

	test.runIf(process.platform !== "win32" && process.getuid?.() !== 0)("where writing is denied", async () => {
		await mkdir(join(root, "closed"), { mode: 0o500 });
		await expect(writeFileAtomic(join(root, "closed", "a"), "x")).rejects.toMatchObject({ code: "FILE_DENIED" });
	});

	test("names of errors: denied, missing, in the way; a bug of ours keeps its own", async () => {
		const fail = (error: unknown) => writeFileAside(join(root, "a"), () => Promise.reject(error));
		await expect(fail(failed("EACCES"))).rejects.toMatchObject({ code: "FILE_DENIED" });
		await expect(fail(failed("EROFS"))).rejects.toMatchObject({ code: "FILE_DENIED" });
		await expect(fail(failed("EDQUOT"))).rejects.toMatchObject({ code: "DISK_FULL" });
		await expect(fail(failed("EBADF"))).rejects.not.toBeInstanceOf(UserError);
		await expect(fail(new TypeError("bug"))).rejects.toBeInstanceOf(TypeError);
		await expect(writeFileAtomic(join(root, "no", "a"), "x")).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
		await mkdir(join(root, "directory"));
		await expect(writeFileAtomic(join(root, "directory"), "x")).rejects.toMatchObject({ code: "FILE_IS_DIRECTORY" });
		expect(await names()).toEqual(["directory"]);
	});
});

describe("a directory", () => {
	const write = (path: string, content: string) =>
		writeDirectoryAside(path, (aside) => writeFileAtomic(join(aside, "file"), content));

	test("is written, and replaced as a whole", async () => {
		const path = join(root, "model");
		await write(path, "one");
		await writeFile(join(path, "more"), "of the first");
		await write(path, "two");
		expect(await readdir(path)).toEqual(["file"]);
		expect(await readFile(join(path, "file"), "utf8")).toBe("two");
		expect(await names()).toEqual(["model"]);
	});

	test("keeps its old content when writing fails", async () => {
		const path = join(root, "model");
		await write(path, "one");
		const attempt = writeDirectoryAside(path, async (aside) => {
			await writeFileAside(join(aside, "file"), () => Promise.reject(failed("ENOSPC")));
		});
		await expect(attempt).rejects.toMatchObject({ code: "DISK_FULL", where: path });
		expect(await readFile(join(path, "file"), "utf8")).toBe("one");
		expect(await names()).toEqual(["model"]);
	});

	test("is put back when the writer was killed between its two renames", async () => {
		const path = join(root, "model");
		await mkdir(join(root, ".model.replaced"));
		await mkdir(join(root, ".model.4711-0.partial"));
		await recoverDirectory(path);
		expect(await removePartials(root)).toEqual([".model.4711-0.partial"]);
		expect(await names()).toEqual(["model"]);
		await mkdir(join(root, ".model.replaced"));
		await recoverDirectory(path);
		expect(await names()).toEqual(["model"]);
	});
});

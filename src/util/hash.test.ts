import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sha256, sha256OfFile } from "./hash.ts";

test("published vectors (FIPS 180-4), for strings, arrays and files beyond one piece", async () => {
	expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	const million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
	const text = new Uint8Array(1_000_002).fill(0x61);
	expect(sha256(text.subarray(1, 1_000_001))).toBe(million);
	const directory = await mkdtemp(join(tmpdir(), "attune-hash-"));
	const path = join(directory, "file");
	await writeFile(path, "");
	expect(await sha256OfFile(path)).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	const large = new Uint8Array(9_000_001).fill(3);
	await writeFile(path, large);
	expect(await sha256OfFile(path)).toBe(sha256(large));
	await expect(sha256OfFile(directory)).rejects.toMatchObject({ code: "FILE_IS_DIRECTORY" });
	await expect(sha256OfFile(join(directory, "none"))).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
	await expect(sha256OfFile(path, { signal: AbortSignal.abort() })).rejects.toThrow("abort");
	await rm(directory, { recursive: true });
});

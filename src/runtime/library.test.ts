import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { UserError } from "../util/errors.ts";
import { open } from "./library.ts";

test("a library that is missing or broken is the user's to mend", async () => {
	const broken = join(tmpdir(), `attune-broken-${process.pid}.so`);
	await writeFile(broken, "not a library");
	for (const path of [join(tmpdir(), "attune-no-such-library.so"), broken]) {
		let error: unknown;
		try {
			open(path);
		} catch (thrown) {
			error = thrown;
		}
		expect(error).toBeInstanceOf(UserError);
		expect(error).toMatchObject({ code: "RUNTIME_MISSING", where: path });
		expect((error as UserError).hint).toContain("npm install");
	}
});

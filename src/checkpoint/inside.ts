// Paths that must stay where they belong: names taken from an index or from a hub's listing may not lead out of their
// directory, neither by "..", nor as an absolute path, nor through a symbolic link.
import { realpath } from "node:fs/promises";
import { basename, dirname, join, sep } from "node:path";
import { UserError } from "../util/errors.ts";
import { fileError } from "../util/file-errors.ts";

/**
 * Throws UserError unless `name` is a plain relative path, on every system: no "..", no root, no drive, no backslash, no
 * control character. `where` is the file that gave the name.
 */
export function checkRelativeName(name: string, { where }: { where: string }): void {
	const parts = name.split("/");
	const plain = parts.every((part) => part !== "" && part !== "." && part !== "..");
	// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
	if (plain && !/[\\:\u0000-\u001f]/.test(name)) return;
	throw new UserError("PATH_OUTSIDE", `The file name ${JSON.stringify(name)} leads out of its directory.`, {
		where,
		expected: "a name relative to the directory, without ..",
		found: JSON.stringify(name),
		hint: "Do not use this model, or ask who made it.",
	});
}

/**
 * The real path of a file of a directory. Throws UserError when it is missing, or a link out of the directory. In the
 * Hugging Face cache, where snapshots/<commit>/ holds links to blobs/, the blobs of the same model belong to it.
 */
export async function resolveInside(directory: string, name: string): Promise<string> {
	checkRelativeName(name, { where: directory });
	const path = join(directory, name);
	try {
		const root = await realpath(directory);
		const real = await realpath(path);
		const roots = [root, ...(await cacheBlobs(root))];
		if (roots.some((allowed) => real.startsWith(allowed + sep))) return real;
		throw new UserError("PATH_OUTSIDE", `${path} is a link to ${real}, outside of its directory.`, {
			where: directory,
			hint: "Put the file itself there, or give the directory that it points to.",
		});
	} catch (error) {
		throw fileError(error, { doing: "read", path });
	}
}

async function cacheBlobs(root: string): Promise<string[]> {
	const snapshots = dirname(root);
	const model = dirname(snapshots);
	if (basename(snapshots) !== "snapshots" || !basename(model).startsWith("models--")) return [];
	return realpath(join(model, "blobs")).then(
		(path) => [path],
		() => [],
	);
}

// What the operating system said about a file, as a sentence: ENOENT, EACCES, ENOSPC and their kin become UserErrors.
// Codes that are not the user's to mend (EBADF, EINVAL) pass through unchanged: they are bugs of ours.
import { UserError } from "./errors.ts";

interface Meaning {
	code: string;
	/** Follows "Cannot <doing> <path>: ". */
	reason: string;
	hint: string;
}

const denied: Meaning = { code: "FILE_DENIED", reason: "permission denied.", hint: "Check who owns the file." };
const full: Meaning = {
	code: "DISK_FULL",
	reason: "no space is left on the disk (or in the quota).",
	hint: "Free some space or write to another disk. Nothing half-written was left behind.",
};

const meanings: Record<string, Meaning> = {
	ENOENT: { code: "FILE_NOT_FOUND", reason: "it does not exist.", hint: "Check the path." },
	ENOTDIR: {
		code: "FILE_NOT_FOUND",
		reason: "a part of the path is a file, not a directory.",
		hint: "Check the path.",
	},
	EISDIR: { code: "FILE_IS_DIRECTORY", reason: "it is a directory.", hint: "Give the path of a file." },
	ENOTEMPTY: { code: "FILE_EXISTS", reason: "a directory with content is in the way.", hint: "Choose another path." },
	EEXIST: { code: "FILE_EXISTS", reason: "it exists already.", hint: "Choose another path." },
	ELOOP: { code: "FILE_NOT_FOUND", reason: "its symbolic links run in a circle.", hint: "Check the links." },
	ENAMETOOLONG: { code: "FILE_NAME_TOO_LONG", reason: "the name is too long.", hint: "Choose a shorter path." },
	EACCES: denied,
	EPERM: denied,
	EROFS: { code: "FILE_DENIED", reason: "the disk is read-only.", hint: "Write to another disk." },
	ENOSPC: full,
	EDQUOT: full,
	EFBIG: {
		code: "FILE_TOO_BIG",
		reason: "the file system or a limit of the shell (ulimit -f) allows no file this large.",
		hint: "Raise the limit or write to another disk.",
	},
	EMFILE: { code: "TOO_MANY_FILES", reason: "too many files are open.", hint: "Raise the limit (ulimit -n)." },
	ENFILE: { code: "TOO_MANY_FILES", reason: "too many files are open.", hint: "Close other programs." },
	EIO: { code: "DISK_FAILED", reason: "the disk reported an error.", hint: "Check the disk." },
};

/** `error` as a UserError when it is the operating system's word on a file, otherwise unchanged: `throw fileError(...)`. */
export function fileError(
	error: unknown,
	{ doing, path }: { doing: "read" | "write" | "remove"; path: string },
): unknown {
	const meaning = error instanceof Error && "code" in error ? meanings[String(error.code)] : undefined;
	if (meaning === undefined) return error;
	return new UserError(meaning.code, `Cannot ${doing} ${path}: ${meaning.reason}`, {
		where: path,
		hint: meaning.hint,
		cause: error,
	});
}

/** True for the error that says a file or directory is not there. */
export function isNotFound(error: unknown): boolean {
	return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}

// Finds and opens the ONNX Runtime that came with onnxruntime-node, once a process, and proves it is the one we know.
// The official Node.js binding is not used: it blocks the event loop for a whole run and copies every output once more.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import koffi, { type LibraryHandle } from "koffi";
import { UserError } from "../util/errors.ts";
import { bindApi, ORT_API_VERSION, type OrtApi, type Pointer } from "./api.ts";
import { out } from "./errors.ts";
import { prove } from "./prove.ts";

/** The version whose struct api.ts describes; package.json pins the same. */
export const ORT_VERSION = "1.30.0";

/** The opened library and the objects every call needs. They live as long as the process. */
export interface Library {
	readonly api: OrtApi;
	readonly env: Pointer;
	/** Held so that it is never collected: koffi would unload the library under the functions of `api`. */
	readonly shared: LibraryHandle;
	/** Describes ordinary memory, which is where all tensors are. */
	readonly cpuMemory: Pointer;
	/** Frees the strings that ONNX Runtime hands out. */
	readonly allocator: Pointer;
}

let opened: Library | undefined;

/** Opens ONNX Runtime the first time. Throws UserError RUNTIME_MISSING or RUNTIME_VERSION. */
export function library(): Library {
	if (opened === undefined) {
		const candidate = open(locate());
		prove(candidate);
		opened = candidate;
	}
	return opened;
}

/** The version of the ONNX Runtime in use. */
export function runtimeVersion(): string {
	library();
	return ORT_VERSION;
}

function locate(): string {
	const files: Partial<Record<NodeJS.Platform, string>> = {
		linux: "libonnxruntime.so.1",
		darwin: "libonnxruntime.1.dylib",
		win32: "onnxruntime.dll",
	};
	const file = files[process.platform];
	if (file === undefined) {
		throw missing(`ONNX Runtime has no build for ${process.platform}.`, { hint: "Use Linux, macOS or Windows." });
	}
	let manifest: string;
	try {
		manifest = createRequire(import.meta.url).resolve("onnxruntime-node/package.json");
	} catch (cause) {
		throw missing("The package onnxruntime-node is not installed.", { hint: "Run npm install.", cause });
	}
	const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
	if (version !== ORT_VERSION) throw wrongVersion(version, manifest);
	return join(dirname(manifest), "bin", "napi-v6", process.platform, process.arch, file);
}

/** Calls run on stacks of koffi's own. Its 128 KiB are too few to trust kernels with; 8 MiB is what a thread has. */
const STACK_BYTES = 8 * 1024 * 1024;

function growStacks(): void {
	try {
		koffi.config({ sync_stack_size: STACK_BYTES, async_stack_size: STACK_BYTES });
	} catch {
		// Somebody in this process has loaded a library with koffi before us: its sizes are settled, and have to do.
	}
}

/** Opens the library at `path`, which must be of our version. Exported for the tests: use `library()`. */
export function open(path: string): Library {
	growStacks();
	let shared: LibraryHandle;
	let base: Pointer;
	try {
		shared = koffi.load(path);
		base = shared.func("void* OrtGetApiBase()")();
	} catch (cause) {
		throw missing("ONNX Runtime's shared library cannot be opened.", {
			where: path,
			found: cause instanceof Error ? cause.message : String(cause),
			hint: "Delete node_modules and run npm install on this machine (the library differs between systems).",
			cause,
		});
	}
	const [getApi, getVersion] = koffi.decode(base, koffi.array("void*", 2)) as [Pointer, Pointer];
	const version = koffi.decode(getVersion, koffi.proto("str", []))() as string;
	if (version !== ORT_VERSION) throw wrongVersion(version, path);
	const struct = koffi.decode(getApi, koffi.proto("void*", ["uint32_t"]))(ORT_API_VERSION) as Pointer | null;
	if (struct === null) throw wrongVersion(version, path);

	const api = bindApi(struct);
	const get = (call: (result: BigUint64Array) => Pointer | null) => out(api, "ONNX Runtime", call);
	return {
		api,
		shared,
		env: get((result) => api.CreateEnv(LOG_FATAL, "attune", result)),
		cpuMemory: get((result) => api.CreateCpuMemoryInfo(DEVICE_ALLOCATOR, DEFAULT_MEMORY, result)),
		allocator: get((result) => api.GetAllocatorWithDefaultOptions(result)),
	};
}

// OrtLoggingLevel, OrtAllocatorType and OrtMemType of onnxruntime_c_api.h. Errors are thrown: logged as well, they would
// stand twice on the terminal.
const LOG_FATAL = 4;
const DEVICE_ALLOCATOR = 0;
const DEFAULT_MEMORY = 0;

function missing(message: string, options: ConstructorParameters<typeof UserError>[2]): UserError {
	return new UserError("RUNTIME_MISSING", message, options);
}

function wrongVersion(found: string, where: string): UserError {
	return new UserError("RUNTIME_VERSION", `attune needs ONNX Runtime ${ORT_VERSION}, but ${found} is installed.`, {
		expected: ORT_VERSION,
		found,
		where,
		hint: `npm install --save-exact onnxruntime-node@${ORT_VERSION}`,
	});
}

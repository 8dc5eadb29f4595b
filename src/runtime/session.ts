// A session: one ONNX graph, loaded and optimised, ready to run. Runs write straight into the tensors they are given.

import koffi from "koffi";
import type { Pointer } from "./api.ts";
import { Call, type CallRequest, cString } from "./call.ts";
import { physicalCores } from "./cores.ts";
import { check, out } from "./errors.ts";
import { disposeWith, Handle } from "./handle.ts";
import { type Library, library } from "./library.ts";
import { onNativeThread } from "./native-threads.ts";
import { addressOf, type Tensor } from "./tensor.ts";

export interface SessionOptions {
	/** Stands in error messages. Default "session". */
	name?: string;
	/** Threads that work on one node; results depend on it in their last bits. Default: physicalCores(). */
	threads?: number;
	/**
	 * Values for those initializers of the graph whose data is external. Their memory is shared, not copied, but nodes
	 * such as MatMul keep a rearranged copy unless config has "session.disable_prepacking": "1". Frozen from now on.
	 */
	initializers?: Record<string, Tensor>;
	/** Graph optimisations of ONNX Runtime. Default "all". */
	optimization?: keyof typeof OPTIMIZATION_LEVELS;
	/** Session configuration entries (onnxruntime_session_options_config_keys.h); they win over ours. */
	config?: Record<string, string>;
	/**
	 * Plan one block of memory for a run, from the first one with the same shapes. Default false: on a training graph of
	 * GPT-2 it took 1.6 times the memory and saved no time, and every new shape is remembered for ever.
	 */
	memoryPattern?: boolean;
	/** Keep freed memory for the next run. Default true. */
	arena?: boolean;
	/** Write a profile (Chrome trace) to a file whose name starts with this, when the session is disposed of. */
	profile?: string;
}

export interface RunOptions {
	/** Stops the run between two nodes; it then rejects with the signal's reason, its outputs partly written. */
	signal?: AbortSignal;
}

/** "allocate": ONNX Runtime finds the shape and the memory, and the result is copied out once. */
export type Output = Tensor | "allocate";

/** GraphOptimizationLevel of onnxruntime_c_api.h. */
const OPTIMIZATION_LEVELS = { none: 0, basic: 1, extended: 2, all: 99 } as const;
const SEQUENTIAL = 0;

/** Entries of every session. */
const CONFIG: Record<string, string> = {
	// Threads spin between the nodes of a run, which is fast, but not between runs: idle sessions cost nothing.
	"session.force_spinning_stop": "1",
};

/** Several runs of one session may be under way at once, over different outputs: they share the session's threads. */
export class Session {
	/** Names of the graph's inputs and outputs, in the graph's order. */
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	readonly #handle: Handle<Pointer>;
	readonly #names: ReadonlyMap<string, Buffer>;
	readonly #where: string;

	private constructor(handle: Handle<Pointer>, where: string) {
		this.#handle = handle;
		this.#where = where;
		disposeWith(this, handle);
		const pointer = handle.retain();
		this.inputs = valueNames(pointer, { kind: "Input", where });
		this.outputs = valueNames(pointer, { kind: "Output", where });
		this.#names = new Map([...this.inputs, ...this.outputs].map((name) => [name, cString(name)]));
		handle.release();
	}

	/** Loads a ModelProto, off the event loop's thread. Throws RuntimeError when ONNX Runtime rejects the graph. */
	static async create(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
		const opened = library();
		const where = options.name ?? "session";
		const initializers = Object.entries(options.initializers ?? {});
		const handles = initializers.map(([, tensor]) => tensor.handle);
		const native = nativeOptions(options, where);
		const values = BigUint64Array.from(handles, (handle) => handle.retain());
		try {
			addInitializers(native, { names: initializers.map(([name]) => name), values, where });
			const pointer = await load(model, { library: opened, native, where });
			return new Session(sessionHandle(pointer, { where, initializers }), where);
		} finally {
			for (const handle of handles) handle.release();
			opened.api.ReleaseSessionOptions(native);
		}
	}

	/** One run, off the event loop's thread. Feeds and outputs by name; an output may be the memory of an input. */
	async run(
		feeds: Record<string, Tensor>,
		outputs: Record<string, Output>,
		options: RunOptions = {},
	): Promise<Record<string, Tensor>> {
		const call = new Call(this.#request(feeds, outputs));
		try {
			await call.run(options.signal);
			return call.results();
		} finally {
			call.dispose();
		}
	}

	/** One run on this thread, for graphs that take microseconds. */
	runSync(feeds: Record<string, Tensor>, outputs: Record<string, Output>): Record<string, Tensor> {
		const call = new Call(this.#request(feeds, outputs));
		try {
			call.runSync();
			return call.results();
		} finally {
			call.dispose();
		}
	}

	/** Prepares a run over these tensors, to be repeated. The session and the tensors live until it is disposed of. */
	bind(feeds: Record<string, Tensor>, outputs: Record<string, Tensor>): Bound {
		return new Bound(new Call(this.#request(feeds, outputs)));
	}

	/** Frees the session, now or when the runs under way are done. */
	dispose(): void {
		this.#handle.dispose();
	}

	#request(feeds: Record<string, Tensor>, outputs: Record<string, Output>): CallRequest {
		return { session: this, handle: this.#handle, names: this.#names, where: this.#where, feeds, outputs };
	}
}

/** A prepared run: names and values are in place, so that repeating it costs microseconds. Made by Session.bind. */
export class Bound {
	readonly #call: Call;

	constructor(call: Call) {
		this.#call = call;
	}

	/** Runs off the event loop's thread. One run at a time: the next would write into the same outputs. */
	run(options: RunOptions = {}): Promise<void> {
		return this.#call.run(options.signal);
	}

	runSync(): void {
		this.#call.runSync();
	}

	/** Lets go of the session and the tensors, now or when the run under way is done. */
	dispose(): void {
		this.#call.dispose();
	}
}

function nativeOptions(options: SessionOptions, where: string): Pointer {
	const { api } = library();
	const native = out(api, where, (result) => api.CreateSessionOptions(result));
	const must = (status: Pointer | null) => check(api, status, where);
	try {
		must(api.SetSessionExecutionMode(native, SEQUENTIAL));
		must(api.SetInterOpNumThreads(native, 1));
		must(api.SetIntraOpNumThreads(native, options.threads ?? physicalCores()));
		must(api.SetDeterministicCompute(native, true));
		must(api.SetSessionGraphOptimizationLevel(native, OPTIMIZATION_LEVELS[options.optimization ?? "all"]));
		must(options.memoryPattern ? api.EnableMemPattern(native) : api.DisableMemPattern(native));
		must(options.arena === false ? api.DisableCpuMemArena(native) : api.EnableCpuMemArena(native));
		if (options.profile !== undefined) must(api.EnableProfiling(native, options.profile));
		for (const [key, value] of Object.entries({ ...CONFIG, ...options.config })) {
			must(api.AddSessionConfigEntry(native, key, value));
		}
		return native;
	} catch (error) {
		api.ReleaseSessionOptions(native);
		throw error;
	}
}

type Initializers = readonly (readonly [name: string, tensor: Tensor])[];

/**
 * Gives each value twice. As external data ONNX Runtime copies it, for the optimiser to look at, and drops the copy once
 * the graph is ready; as an initializer it is then used where it lies. The first alone would keep the copy, the second
 * alone is rejected, because the graph's external data is not to be found.
 */
function addInitializers(
	native: Pointer,
	{ names, values, where }: { names: readonly string[]; values: BigUint64Array; where: string },
): void {
	if (names.length === 0) return;
	const { api } = library();
	const texts = names.map(cString);
	const addresses = BigUint64Array.from(texts, addressOf);
	check(api, api.AddExternalInitializers(native, addresses, values, values.length), where);
	for (const [i, name] of names.entries()) check(api, api.AddInitializer(native, name, values[i] as Pointer), where);
}

/** Memory that native threads read or write. Nothing else of ours need hold it until they are done. */
const inUse = new Set<readonly ArrayBufferView[]>();

function load(
	model: Uint8Array,
	{ library: { api, env }, native, where }: { library: Library; native: Pointer; where: string },
): Promise<Pointer> {
	return onNativeThread(async () => {
		const result = new BigUint64Array(1);
		const used = [model, result];
		inUse.add(used);
		try {
			const status = await new Promise<Pointer | null>((resolve, reject) => {
				api.CreateSessionFromArray.async(env, model, model.byteLength, native, result, (error, value) =>
					error ? reject(error) : resolve(value),
				);
			});
			check(api, status, where);
			return result[0] as Pointer;
		} finally {
			inUse.delete(used);
		}
	});
}

/** What each session reads as long as it lives: the memory of its initializers. */
const shared = new Map<Pointer, Initializers>();

function sessionHandle(pointer: Pointer, options: { where: string; initializers: Initializers }): Handle<Pointer> {
	shared.set(pointer, options.initializers);
	return new Handle(pointer, { what: options.where, free: releaseSession });
}

function releaseSession(pointer: Pointer): void {
	library().api.ReleaseSession(pointer);
	shared.delete(pointer);
}

function valueNames(session: Pointer, { kind, where }: { kind: "Input" | "Output"; where: string }): string[] {
	const { api, allocator } = library();
	const count = out(api, where, (result) => api[`SessionGet${kind}Count`](session, result));
	return Array.from({ length: Number(count) }, (_, i) => {
		const text = out(api, where, (result) => api[`SessionGet${kind}Name`](session, i, allocator, result));
		const name = koffi.decode.string(text);
		check(api, api.AllocatorFree(allocator, text), where);
		return name;
	});
}

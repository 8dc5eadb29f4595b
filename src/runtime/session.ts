// A session: one ONNX graph, loaded and optimised, ready to run. Runs write straight into the tensors they are given.

import koffi from "koffi";
import type { Pointer } from "./api.ts";
import { Call, type CallRequest, cString } from "./call.ts";
import { physicalCores } from "./cores.ts";
import { check, out } from "./errors.ts";
import { disposeWith, Handle } from "./handle.ts";
import { type Library, library } from "./library.ts";
import { addressOf, type Tensor } from "./tensor.ts";

export interface SessionOptions {
	/** Stands in error messages. Default "session". */
	name?: string;
	/** Threads that work on one node; results depend on it in their last bits. Default: physicalCores(). */
	threads?: number;
	/** Values for those initializers of the graph whose data is external. Their memory is shared, not copied. */
	initializers?: Record<string, Tensor>;
	/** Graph optimisations of ONNX Runtime. Default "all". */
	optimization?: keyof typeof OPTIMIZATION_LEVELS;
	/** Session configuration entries (onnxruntime_session_options_config_keys.h); they win over ours. */
	config?: Record<string, string>;
	/** Plan the memory of a run from the first one with the same shapes. Default true. */
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
		const native = nativeOptions(options, where);
		try {
			addInitializers(native, { initializers, where });
			const pointer = await load(model, { library: opened, native, where });
			return new Session(sessionHandle(pointer, { where, initializers }), where);
		} finally {
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
		must(options.memoryPattern === false ? api.DisableMemPattern(native) : api.EnableMemPattern(native));
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

function addInitializers(native: Pointer, { initializers, where }: { initializers: Initializers; where: string }) {
	if (initializers.length === 0) return;
	const { api } = library();
	const names = initializers.map(([name]) => cString(name));
	const values = BigUint64Array.from(initializers, ([, tensor]) => tensor.handle.retain());
	const status = api.AddExternalInitializers(native, BigUint64Array.from(names, addressOf), values, values.length);
	for (const [, tensor] of initializers) tensor.handle.release();
	check(api, status, where);
}

const inUse = new Set<readonly ArrayBufferView[]>();

async function load(
	model: Uint8Array,
	{ library: { api, env }, native, where }: { library: Library; native: Pointer; where: string },
): Promise<Pointer> {
	const result = new BigUint64Array(1);
	// The native thread reads and writes their memory; nothing else of ours may hold them until it is done.
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
}

/** The handle holds the initializers: ONNX Runtime reads their memory as long as the session lives. */
function sessionHandle(pointer: Pointer, options: { where: string; initializers: Initializers }): Handle<Pointer> {
	const { api } = library();
	const { where, initializers } = options;
	const kept = new Set(initializers);
	return new Handle(pointer, {
		what: where,
		free: (session) => {
			api.ReleaseSession(session);
			kept.clear();
		},
	});
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

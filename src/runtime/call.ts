// The arguments of one OrtApi.Run, laid out in native memory: made once, run any number of times.

import { closest } from "../util/errors.ts";
import type { Pointer } from "./api.ts";
import { check, out, RuntimeError } from "./errors.ts";
import { disposeWith, Handle } from "./handle.ts";
import { library } from "./library.ts";
import { onNativeThread } from "./native-threads.ts";
import { addressOf, copyOut, Tensor } from "./tensor.ts";

export interface CallRequest {
	/** Kept alive by the call. */
	session: { readonly inputs: readonly string[]; readonly outputs: readonly string[] };
	handle: Handle<Pointer>;
	/** The names of inputs and outputs, for C. */
	names: ReadonlyMap<string, Buffer>;
	where: string;
	feeds: Record<string, Tensor>;
	outputs: Record<string, Tensor | "allocate">;
}

/** Parallel arrays of pointers, as Run takes them. */
interface Arguments {
	readonly session: Pointer;
	readonly inputNames: BigUint64Array;
	readonly inputs: BigUint64Array;
	readonly outputNames: BigUint64Array;
	/** 0 where ONNX Runtime is to allocate: it then writes the new OrtValue here. */
	readonly outputs: BigUint64Array;
	/** What is retained while the call exists. */
	readonly retained: readonly Handle<Pointer>[];
}

export class Call {
	readonly #request: CallRequest;
	readonly #handle: Handle<Arguments>;
	#running = false;

	constructor(request: CallRequest) {
		checkNames(request);
		this.#request = request;
		this.#handle = new Handle(argumentsOf(request), { what: request.where, free: releaseAll });
		disposeWith(this, this.#handle);
	}

	runSync(): void {
		const { api } = library();
		const a = this.#begin();
		try {
			const n = a.inputs.length;
			const m = a.outputs.length;
			check(api, api.Run(a.session, null, a.inputNames, a.inputs, n, a.outputNames, m, a.outputs), this.#request.where);
		} finally {
			this.#end();
		}
	}

	/** Rejects with the signal's reason when it stopped the run; a run that finished first resolves. */
	async run(signal: AbortSignal | undefined): Promise<void> {
		const args = this.#begin();
		try {
			await onNativeThread(() => this.#execute(args, signal), { signal });
		} finally {
			this.#end();
		}
	}

	async #execute(args: Arguments, signal: AbortSignal | undefined): Promise<void> {
		const { api } = library();
		const { where } = this.#request;
		const options = signal === undefined ? null : out(api, where, (result) => api.CreateRunOptions(result));
		const stop = () => check(api, api.RunOptionsSetTerminate(options), where);
		signal?.addEventListener("abort", stop, { once: true });
		try {
			const status = await new Promise<Pointer | null>((resolve, reject) => {
				const { session, inputNames, inputs, outputNames, outputs } = args;
				const done = (error: unknown, result: Pointer | null) => (error ? reject(error) : resolve(result));
				api.Run.async(session, options, inputNames, inputs, inputs.length, outputNames, outputs.length, outputs, done);
			});
			if (status !== null && signal?.aborted) {
				api.ReleaseStatus(status);
				throw signal.reason;
			}
			check(api, status, where);
		} finally {
			signal?.removeEventListener("abort", stop);
			if (options !== null) api.ReleaseRunOptions(options);
		}
	}

	/** The outputs by name after a run; those that ONNX Runtime allocated are copied and freed. */
	results(): Record<string, Tensor> {
		const { api } = library();
		const { outputs, where } = this.#request;
		const values = this.#handle.retain().outputs;
		const allocated = (i: number) => values[i] as Pointer;
		try {
			return Object.fromEntries(
				Object.entries(outputs).map(([name, output], i) => [
					name,
					output === "allocate" ? copyOut(allocated(i), where) : output,
				]),
			);
		} finally {
			for (const [i, output] of Object.values(outputs).entries()) {
				if (output === "allocate") api.ReleaseValue(allocated(i));
			}
			this.#handle.release();
		}
	}

	dispose(): void {
		this.#handle.dispose();
	}

	#begin(): Arguments {
		if (this.#running) throw new RuntimeError("INVALID_FEED", "this binding is already running", this.#request.where);
		const args = this.#handle.retain();
		this.#running = true;
		return args;
	}

	#end(): void {
		this.#running = false;
		this.#handle.release();
	}
}

/** The text for C. Its memory stays where it is. */
export function cString(text: string): Buffer {
	return Buffer.from(`${text}\0`);
}

function argumentsOf({ handle, names, feeds, outputs }: CallRequest): Arguments {
	const retained: Handle<Pointer>[] = [];
	const retain = (owned: Handle<Pointer>): Pointer => {
		const pointer = owned.retain();
		retained.push(owned);
		return pointer;
	};
	const nameArray = (record: object) =>
		BigUint64Array.from(Object.keys(record), (name) => addressOf(names.get(name) as Buffer));
	return {
		session: retain(handle),
		inputNames: nameArray(feeds),
		inputs: BigUint64Array.from(Object.values(feeds), (tensor) => retain(tensor.handle)),
		outputNames: nameArray(outputs),
		outputs: BigUint64Array.from(Object.values(outputs), (output) =>
			output instanceof Tensor ? retain(output.handle) : 0n,
		),
		retained,
	};
}

function releaseAll({ retained }: Arguments): void {
	for (const handle of retained) handle.release();
}

function checkNames({ session, feeds, outputs, where }: CallRequest): void {
	const unknown = (kind: string, name: string, known: readonly string[]) => {
		const near = closest(name, known);
		const hint = near === undefined ? `it has ${known.join(", ") || "none"}` : `did you mean ${near}?`;
		throw new RuntimeError("INVALID_FEED", `the graph has no ${kind} "${name}": ${hint}`, where);
	};
	for (const name in feeds) if (!session.inputs.includes(name)) unknown("input", name, session.inputs);
	for (const name in outputs) if (!session.outputs.includes(name)) unknown("output", name, session.outputs);
	const missing = session.inputs.filter((name) => !(name in feeds));
	if (missing.length > 0) throw new RuntimeError("INVALID_FEED", `no value for input ${missing.join(", ")}`, where);
}

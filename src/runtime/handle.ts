// Something native and who still needs it. Disposing while a run is under way only marks it: it is freed when the last
// user has released it.

import { RuntimeError } from "./errors.ts";

export class Handle<Value> {
	readonly #value: Value;
	readonly #what: string;
	readonly #free: (value: Value) => void;
	#users = 0;
	#disposed = false;
	#freed = false;

	/** `free` is called once. */
	constructor(value: Value, options: { what: string; free: (value: Value) => void }) {
		this.#value = value;
		this.#what = options.what;
		this.#free = options.free;
	}

	/** The value, good until the matching `release`. Throws RuntimeError DISPOSED. */
	retain(): Value {
		if (this.#disposed) throw new RuntimeError("DISPOSED", "used after dispose()", this.#what);
		this.#users++;
		return this.#value;
	}

	release(): void {
		this.#users--;
		this.#freeIfUnused();
	}

	/** May be called again. */
	dispose(): void {
		this.#disposed = true;
		this.#freeIfUnused();
	}

	#freeIfUnused(): void {
		if (!this.#disposed || this.#freed || this.#users > 0) return;
		this.#freed = true;
		this.#free(this.#value);
	}
}

const abandoned = new FinalizationRegistry<Handle<unknown>>((handle) => handle.dispose());

/** Disposes of `handle` should `owner` be collected without dispose(): a safety net, not the way. */
export function disposeWith<Value>(owner: object, handle: Handle<Value>): void {
	abandoned.register(owner, handle as Handle<unknown>);
}

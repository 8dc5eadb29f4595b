// Values that are pushed from anywhere and taken in order by one reader: what joins a callback to an async iterable.

/** Ends when it is closed and everything pushed before was read; rethrows the error it was closed with. */
export class Channel<T> implements AsyncIterable<T> {
	readonly #values: T[] = [];
	#closed: { error?: unknown } | undefined;
	#wake: () => void = () => {};

	push(value: T): void {
		this.#values.push(value);
		this.#wake();
	}

	close(failure?: { error: unknown }): void {
		this.#closed ??= failure ?? {};
		this.#wake();
	}

	async *[Symbol.asyncIterator](): AsyncGenerator<T> {
		for (;;) {
			while (this.#values.length > 0) yield this.#values.shift() as T;
			if (this.#closed) {
				if ("error" in this.#closed) throw this.#closed.error;
				return;
			}
			await new Promise<void>((resolve) => {
				this.#wake = resolve;
				// Something may have come while the reader was away.
				if (this.#values.length > 0 || this.#closed) resolve();
			});
		}
	}
}

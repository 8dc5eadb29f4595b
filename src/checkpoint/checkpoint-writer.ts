// Saving while training goes on: a snapshot of the arrays is taken (a copy, as fast as memory), and written in the
// background. One at a time: when the disk is slower than the training, training waits.
//
// The copy costs as much memory as the checkpoint, and the buffers are kept: the first touch of new memory takes ten
// times as long as the copy. `reserve` does that ahead of time. Where memory is short, there is no copy and training waits.
import { setImmediate as otherWork } from "node:timers/promises";
import { type CheckpointContent, writeCheckpoint } from "./checkpoints.ts";
import type { TensorArray } from "./safetensors.ts";

const touchedBytes = 4 * 1024 * 1024;

export interface CheckpointWriterOptions {
	runDirectory: string;
	/** Default true. False: `save` writes the arrays themselves, and resolves when that is done. */
	copies?: boolean;
	/** Called when a checkpoint stands on the disk, before the next may be written: note the event, remove old ones. */
	onSaved?: (checkpoint: { step: number; path: string; state: unknown }) => void | Promise<void>;
	/** Replaces the writing, for tests. */
	write?: typeof writeCheckpoint;
}

/** What fails in the background is thrown by the next `save` or by `flush`, once. The caller flushes before it ends. */
export class CheckpointWriter {
	readonly #options: CheckpointWriterOptions;
	#buffers = new Map<string, TensorArray>();
	#writing: Promise<void> | undefined;
	#failure: { error: unknown } | undefined;

	constructor(options: CheckpointWriterOptions) {
		this.#options = options;
	}

	/**
	 * Allocates the buffers for what will be saved and touches their memory, in small parts between which other work goes
	 * on: call it when training starts and go on without waiting. Without it the first `save` takes longer.
	 */
	async reserve(tensors: CheckpointContent["tensors"]): Promise<void> {
		if (this.#options.copies === false) return;
		for (const [file, entries] of Object.entries(tensors)) {
			for (const { name, data } of entries) {
				const buffer = emptyLike(data);
				for (let start = 0; start < buffer.byteLength; start += touchedBytes) {
					await otherWork();
					new Uint8Array(buffer.buffer, start, Math.min(touchedBytes, buffer.byteLength - start)).fill(0);
				}
				const key = keyOf(file, name);
				if (!this.#buffers.has(key)) this.#buffers.set(key, buffer);
			}
		}
	}

	/** True while a checkpoint is on its way to the disk. */
	get busy(): boolean {
		return this.#writing !== undefined;
	}

	/** Resolves when the snapshot is taken: from then on the caller may change its arrays. */
	async save(content: CheckpointContent): Promise<void> {
		await this.flush();
		if (this.#options.copies === false) return this.#write(content);
		const snapshot = this.#copy(content);
		this.#writing = this.#write(snapshot)
			.catch((error: unknown) => {
				this.#failure = { error };
			})
			.finally(() => {
				this.#writing = undefined;
			});
	}

	/** Resolves when everything that was saved stands on the disk. */
	async flush(): Promise<void> {
		await this.#writing;
		const failure = this.#failure;
		this.#failure = undefined;
		if (failure !== undefined) throw failure.error;
	}

	async #write(content: CheckpointContent): Promise<void> {
		const { runDirectory, onSaved, write = writeCheckpoint } = this.#options;
		const path = await write(runDirectory, content);
		await onSaved?.({ step: content.step, path, state: content.state });
	}

	#copy(content: CheckpointContent): CheckpointContent {
		const buffers = new Map<string, TensorArray>();
		const tensors: Record<string, CheckpointContent["tensors"][string]> = {};
		for (const [file, entries] of Object.entries(content.tensors)) {
			tensors[file] = entries.map((entry) => {
				const key = keyOf(file, entry.name);
				const data = copyInto(this.#buffers.get(key), entry.data);
				buffers.set(key, data);
				return { ...entry, shape: [...entry.shape], data };
			});
		}
		this.#buffers = buffers;
		return { ...content, tensors, texts: { ...content.texts }, state: structuredClone(content.state) };
	}
}

function keyOf(file: string, name: string): string {
	return JSON.stringify([file, name]);
}

function emptyLike(data: TensorArray): TensorArray {
	return new (data.constructor as new (length: number) => TensorArray)(data.length);
}

function copyInto(buffer: TensorArray | undefined, data: TensorArray): TensorArray {
	if (buffer?.constructor !== data.constructor || buffer.length !== data.length) return data.slice();
	(buffer as Float32Array).set(data as Float32Array);
	return buffer;
}

// A model of ONNX Runtime's arena (BFCArena, best fit with coalescing, as in TensorFlow): how much memory a sequence of
// allocations touches. It grows by regions of doubling size, splits and merges their chunks, and gives nothing back.

interface Region {
	/** Parts in order of address. */
	chunks: Chunk[];
	/** Pages that have been written to, in 64 KiB. */
	touched: Uint8Array;
}

export interface Chunk {
	region: Region;
	start: number;
	bytes: number;
	free: boolean;
}

const alignment = 256;
const page = 64 * 1024;
const firstRegionBytes = 1 << 20;
const largestGrowthBytes = 2 ** 30;
const largestWasteBytes = 128 * 2 ** 20;

export class Arena {
	readonly #regions: Region[] = [];
	#nextRegionBytes = firstRegionBytes;

	/** Memory that has been written to: what the process holds of the arena. */
	get touchedBytes(): number {
		let pages = 0;
		for (const { touched } of this.#regions) for (const one of touched) pages += one;
		return pages * page;
	}

	allocate(bytes: number): Chunk {
		const rounded = Math.max(alignment, Math.ceil(bytes / alignment) * alignment);
		const chunk = this.#bestFit(rounded) ?? this.#grow(rounded);
		if (chunk.bytes >= 2 * rounded || chunk.bytes - rounded >= largestWasteBytes) this.#split(chunk, rounded);
		chunk.free = false;
		const { touched } = chunk.region;
		touched.fill(1, Math.floor(chunk.start / page), Math.ceil((chunk.start + rounded) / page));
		return chunk;
	}

	release(chunk: Chunk): void {
		chunk.free = true;
		const { chunks } = chunk.region;
		const at = chunks.indexOf(chunk);
		const next = chunks[at + 1];
		if (next?.free) {
			chunk.bytes += next.bytes;
			chunks.splice(at + 1, 1);
		}
		const before = chunks[at - 1];
		if (before?.free) {
			before.bytes += chunk.bytes;
			chunks.splice(at, 1);
		}
	}

	#bestFit(bytes: number): Chunk | undefined {
		let best: Chunk | undefined;
		for (const { chunks } of this.#regions) {
			for (const chunk of chunks) {
				if (chunk.free && chunk.bytes >= bytes && (best === undefined || chunk.bytes < best.bytes)) best = chunk;
			}
		}
		return best;
	}

	#grow(bytes: number): Chunk {
		const enough = this.#nextRegionBytes >= bytes;
		while (this.#nextRegionBytes < bytes) this.#nextRegionBytes *= 2;
		const size = this.#nextRegionBytes;
		if (enough) this.#nextRegionBytes = Math.min(largestGrowthBytes, 2 * this.#nextRegionBytes);
		const region: Region = { chunks: [], touched: new Uint8Array(Math.ceil(size / page)) };
		const chunk: Chunk = { region, start: 0, bytes: size, free: true };
		region.chunks.push(chunk);
		this.#regions.push(region);
		return chunk;
	}

	#split(chunk: Chunk, bytes: number): void {
		const { region } = chunk;
		const rest: Chunk = { region, start: chunk.start + bytes, bytes: chunk.bytes - bytes, free: true };
		region.chunks.splice(region.chunks.indexOf(chunk) + 1, 0, rest);
		chunk.bytes = bytes;
	}
}

// The pairs that may be merged next, best first: the most frequent, and among equals the one with the smaller ids, as
// Hugging Face `tokenizers` orders them. A binary heap; counts may be stale, the trainer checks them.

export interface QueuedMerge {
	/** The trainer's index of the pair. */
	pair: number;
	left: number;
	right: number;
	/** How often the pair occurred when it was put here. */
	count: number;
	/** Indices of the words that have it. */
	words: readonly number[];
}

export class MergeQueue {
	readonly #heap: QueuedMerge[] = [];

	push(merge: QueuedMerge): void {
		const heap = this.#heap;
		let child = heap.length;
		heap.push(merge);
		while (child > 0) {
			const parent = (child - 1) >> 1;
			if (!isBefore(merge, heap[parent] as QueuedMerge)) break;
			heap[child] = heap[parent] as QueuedMerge;
			child = parent;
		}
		heap[child] = merge;
	}

	pop(): QueuedMerge | undefined {
		const heap = this.#heap;
		const top = heap[0];
		const last = heap.pop();
		if (top === undefined || last === undefined || heap.length === 0) return top;
		let parent = 0;
		for (;;) {
			let child = parent * 2 + 1;
			if (child >= heap.length) break;
			if (child + 1 < heap.length && isBefore(heap[child + 1] as QueuedMerge, heap[child] as QueuedMerge)) child++;
			if (!isBefore(heap[child] as QueuedMerge, last)) break;
			heap[parent] = heap[child] as QueuedMerge;
			parent = child;
		}
		heap[parent] = last;
		return top;
	}
}

function isBefore(a: QueuedMerge, b: QueuedMerge): boolean {
	if (a.count !== b.count) return a.count > b.count;
	return a.left !== b.left ? a.left < b.left : a.right < b.right;
}

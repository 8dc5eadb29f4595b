// All examples of a data set, encoded once and read at random. The supervised flag of a target is the sign of its id, so
// that an example is one run of integers. Per example: 8 bytes of offset, 4 of token count, 8 of where it came from.
import type { Example } from "./example.ts";
import { GrowingArray } from "./growing-array.ts";
import { type ArchiveOptions, TokenArchive } from "./token-archive.ts";

/** Where an example came from: its conversation, counted from 0 in reading order, and the line of that. */
export interface Origin {
	conversation: number;
	line: number;
}

export class ExampleStore {
	readonly #archive: TokenArchive;
	#supervisedTokens = 0;
	/** Offset behind each example. */
	readonly #ends = new GrowingArray(Float64Array);
	readonly #supervised = new GrowingArray(Uint32Array);
	readonly #conversations = new GrowingArray(Uint32Array);
	readonly #lines = new GrowingArray(Uint32Array);

	constructor(options: ArchiveOptions = {}) {
		this.#archive = new TokenArchive(options);
	}

	/** Number of examples. */
	get count(): number {
		return this.#ends.length;
	}

	/** Supervised tokens of all examples. */
	get supervisedTokens(): number {
		return this.#supervisedTokens;
	}

	get spilled(): boolean {
		return this.#archive.spilled;
	}

	/** Hash of all ids and masks in order: another tokenizer, template, order or row gives another. */
	get fingerprint(): string {
		return this.#archive.fingerprint;
	}

	/** Adds an example and returns its index. It must have a supervised token. */
	add(example: Example, origin: Origin): number {
		const packed = new Int32Array(example.ids.length);
		let supervised = 0;
		for (let i = 0; i < packed.length; i++) {
			const id = example.ids[i] as number;
			const flag = i > 0 && example.supervised[i - 1] === 1;
			const value = flag ? ~id : id;
			if (flag) supervised++;
			packed[i] = value;
		}
		if (supervised === 0) throw new Error("an example without a supervised token cannot be stored");
		this.#archive.append(packed);
		this.#ends.push(this.#archive.length);
		this.#supervised.push(supervised);
		this.#conversations.push(origin.conversation);
		this.#lines.push(origin.line);
		this.#supervisedTokens += supervised;
		return this.count - 1;
	}

	/** T, the positions that a model sees: ids of the example less one. */
	timeOf(index: number): number {
		return this.#ends.at(index) - this.#start(index) - 1;
	}

	supervisedTokensOf(index: number): number {
		return this.#supervised.at(index);
	}

	originOf(index: number): Origin {
		return { conversation: this.#conversations.at(index), line: this.#lines.at(index) };
	}

	get(index: number): Example {
		if (!(index >= 0 && index < this.count)) throw new RangeError(`no example ${index} of ${this.count}`);
		const start = this.#start(index);
		const ids = this.#archive.read(start, this.#ends.at(index) - start);
		const supervised = new Uint8Array(ids.length - 1);
		for (let i = 1; i < ids.length; i++) {
			const value = ids[i] as number;
			if (value >= 0) continue;
			ids[i] = ~value;
			supervised[i - 1] = 1;
		}
		return { ids, supervised };
	}

	dispose(): void {
		this.#archive.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	#start(index: number): number {
		return index === 0 ? 0 : this.#ends.at(index - 1);
	}
}

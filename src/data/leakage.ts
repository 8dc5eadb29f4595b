// Keeps held-out conversations honest: finds those that nearly repeat a conversation of a lower side (train below
// validation below test) and takes them out of the side where they would flatter the result.
import { fingerprintOf, type Sides } from "./fingerprint.ts";
import { NearDuplicateIndex } from "./near-duplicates.ts";
import type { Place } from "./row.ts";
import { type Side, sides } from "./split.ts";

/** A held-out row that nearly repeats another. */
export interface Leak extends Place {
	/** Where it was to be. */
	side: Side;
	/** The row it repeats, and on which side that is. */
	repeats: Place & { side: Side };
	/** Whether the two say the same, but for case, width and punctuation. */
	exact: boolean;
}

interface HeldOut extends Place {
	side: Side;
	print: number;
	text: Sides;
}

const rank = (side: Side) => sides.indexOf(side);

/** First told of every held-out row, then of every row of training; then asked. Memory grows with the held-out rows. */
export class LeakageFinder {
	readonly #index = new NearDuplicateIndex();
	readonly #heldOut: HeldOut[] = [];
	readonly #leaks = new Map<number, Leak>();
	/** Where a leaked row goes: to the side of the row that it repeats ("move"), or nowhere ("remove"). */
	readonly #policy: "move" | "remove";

	constructor(policy: "move" | "remove") {
		this.#policy = policy;
	}

	/** Returns the row's number, by which `sideOf` is asked. */
	holdOut(row: Place & { side: Exclude<Side, "train"> }, text: Sides): number {
		const { file, line, side } = row;
		this.#heldOut.push({ file, line, side, print: fingerprintOf(text), text });
		return this.#index.add(text);
	}

	train(place: Place, text: Sides): void {
		this.#spreadFrom({ file: place.file, line: place.line, side: "train", print: fingerprintOf(text), text });
	}

	/** The leaks in the order of their rows, after all rows were told. Call it once. */
	finish(): Leak[] {
		// Rows that were moved pull others along; then validation is compared with test.
		if (this.#policy === "move") {
			for (const number of this.#leaks.keys()) this.#spreadFrom(this.#heldOut[number] as HeldOut);
		}
		for (const [number, row] of this.#heldOut.entries()) {
			if (row.side === "validation" && !this.#removed(number)) this.#spreadFrom(row);
		}
		if (this.#policy === "move") {
			for (const number of this.#leaks.keys()) this.#spreadFrom(this.#heldOut[number] as HeldOut);
		}
		return [...this.#leaks].sort(([a], [b]) => a - b).map(([, leak]) => leak);
	}

	/** The side on which a held-out row ends up; undefined when it was removed. */
	sideOf(number: number): Side | undefined {
		return this.#removed(number) ? undefined : this.#heldOut[number]?.side;
	}

	#removed(number: number): boolean {
		return this.#policy === "remove" && this.#leaks.has(number);
	}

	#spreadFrom(row: HeldOut): void {
		const lower = (number: number) => rank((this.#heldOut[number] as HeldOut).side) <= rank(row.side);
		for (const number of this.#index.near(row.text, (other) => lower(other) || this.#removed(other))) {
			const other = this.#heldOut[number] as HeldOut;
			this.#leaks.set(number, {
				file: other.file,
				line: other.line,
				side: this.#leaks.get(number)?.side ?? other.side,
				repeats: { file: row.file, line: row.line, side: row.side },
				exact: other.print === row.print,
			});
			if (this.#policy === "move") other.side = row.side;
		}
	}
}

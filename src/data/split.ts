// Which conversations are trained on and which are held out. Chosen by a hash of what a conversation says, so that equal
// conversations are on the same side, and the choice does not depend on the order of the rows.
import { mix } from "./fingerprint.ts";

/** From the lowest: a row that nearly repeats one of a lower side belongs there. */
export const sides = ["train", "validation", "test"] as const;

export type Side = (typeof sides)[number];

export interface Fractions {
	/** Share of the conversations, 0 to 1. */
	validation?: number;
	test?: number;
}

/** A number in [0, 1) for a fingerprint: where its conversation stands in the queue for being held out. */
export function ticketOf(print: number, seed: number | string): number {
	let hash = 0x811c9dc5;
	for (const char of String(seed)) hash = Math.imul(hash ^ (char.codePointAt(0) as number), 0x01000193);
	hash = mix(hash ^ mix(print % 0x100000000) ^ Math.floor(print / 0x100000000));
	return hash / 0x100000000;
}

/** Conversations that a fraction holds out at most: more would say little more, and every evaluation would wait for them. */
export const mostHeldOut = 2000;

/**
 * The tickets below which a conversation is held out: for test, then for validation. As many conversations as the
 * fractions say, rounded, but at least one each when there are any, and at most `mostHeldOut`; equal tickets are never
 * parted.
 */
export function chooseBounds(
	tickets: Float64Array,
	{ validation = 0, test = 0 }: Fractions,
): { test: number; validation: number } {
	const sorted = tickets.toSorted();
	const share = (fraction: number) =>
		fraction === 0 ? 0 : Math.min(mostHeldOut, Math.max(1, Math.round(sorted.length * fraction)));
	const bound = (count: number) => (count >= sorted.length ? 1 : (sorted[count] as number));
	return {
		test: test === 0 ? 0 : bound(share(test)),
		validation: bound(share(test) + share(validation)),
	};
}

export function sideOf(ticket: number, bounds: { test: number; validation: number }): Side {
	if (ticket < bounds.test) return "test";
	return ticket < bounds.validation ? "validation" : "train";
}

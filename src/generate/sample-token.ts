// From logits to one token. Pure: randomness is passed in, so the same seed gives the same text.

import type { Rng } from "../util/rng.ts";

export interface SamplingOptions {
	/** 0 takes the likeliest token always. */
	temperature?: number;
	/** Choose among the k likeliest. */
	topK?: number;
	/** Choose among the likeliest that together reach this probability (nucleus sampling, Holtzman et al., 2020). */
	topP?: number;
	/** Leave out tokens less likely than this part of the likeliest one. */
	minP?: number;
	/** Above 1, tokens of `history` become less likely (Keskar et al., 2019). */
	repetitionPenalty?: number;
}

export interface SampleInput extends SamplingOptions {
	/** Ids that the repetition penalty looks at. */
	history?: Iterable<number>;
	rng: Rng;
}

/** logits: [V], not changed. Filters apply in the order penalty, temperature, top-k, top-p, min-p. */
export function sampleToken(logits: Float32Array, input: SampleInput): number {
	const { temperature = 1, topK, topP = 1, minP = 0, repetitionPenalty = 1, history = [], rng } = input;
	const scores = repetitionPenalty === 1 ? logits : penalized(logits, { history, repetitionPenalty });
	if (temperature === 0 || topK === 1) return argmax(scores);
	const candidates = likeliest(scores, { temperature, topK, topP, minP });
	let mass = 0;
	for (const { weight } of candidates) mass += weight;
	let target = rng.uniform() * mass;
	for (const { id, weight } of candidates) {
		target -= weight;
		if (target < 0) return id;
	}
	return (candidates.at(-1) as Candidate).id;
}

export function argmax(values: Float32Array): number {
	let best = 0;
	for (let i = 1; i < values.length; i++) if ((values[i] as number) > (values[best] as number)) best = i;
	return best;
}

interface Candidate {
	id: number;
	/** Probability before it is normalised over the candidates. */
	weight: number;
}

function penalized(
	logits: Float32Array,
	options: { history: Iterable<number>; repetitionPenalty: number },
): Float32Array {
	const scores = logits.slice();
	for (const id of new Set(options.history)) {
		const score = scores[id] as number;
		scores[id] = score > 0 ? score / options.repetitionPenalty : score * options.repetitionPenalty;
	}
	return scores;
}

function likeliest(
	scores: Float32Array,
	{ temperature, topK, topP, minP }: { temperature: number; topK: number | undefined; topP: number; minP: number },
): Candidate[] {
	const top = scores[argmax(scores)] as number;
	let all: Candidate[] = [];
	// e^-30 of the likeliest token cannot be drawn in a lifetime: leaving it out keeps the sort short.
	const floor = Math.max(Math.log(minP), -30);
	let total = 0;
	for (let id = 0; id < scores.length; id++) {
		const exponent = ((scores[id] as number) - top) / temperature;
		const weight = Math.exp(exponent);
		total += weight;
		if (exponent >= floor) all.push({ id, weight });
	}
	if (topK === undefined && topP >= 1) return all;
	all.sort((a, b) => b.weight - a.weight || a.id - b.id);
	if (topK !== undefined && topK < all.length) {
		all = all.slice(0, topK);
		total = all.reduce((sum, { weight }) => sum + weight, 0);
	}
	let mass = 0;
	let count = 0;
	while (count < all.length && mass < topP * total) mass += (all[count++] as Candidate).weight;
	return all.slice(0, count);
}

// From logits to one token. Pure: randomness is passed in, so the same seed gives the same text.

import { UserError } from "../util/errors.ts";
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
	rng: Pick<Rng, "uniform">;
}

/**
 * logits: [V], not changed. Filters apply in the order penalty, temperature, top-k, top-p, min-p, as in Transformers.
 * Throws UserError LOGITS_NOT_FINITE when the model gave no number.
 */
export function sampleToken(logits: Float32Array, input: SampleInput): number {
	const { temperature = 1, topK, topP = 1, minP = 0, repetitionPenalty = 1, history = [], rng } = input;
	const scores = repetitionPenalty === 1 ? logits : penalized(logits, { history, repetitionPenalty });
	const best = argmax(scores);
	if (!Number.isFinite(scores[best])) {
		throw new UserError("LOGITS_NOT_FINITE", "The model gave no number where a token's likelihood was expected.", {
			found: String(scores[best]),
			hint: "Its weights are damaged, or the run that wrote them diverged: use an earlier checkpoint.",
		});
	}
	if (temperature === 0 || topK === 1) return best;
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

/** The first of the largest; a NaN counts as larger than everything, so that it is not overlooked. */
export function argmax(values: Float32Array): number {
	let best = 0;
	for (let i = 1; i < values.length; i++) {
		const value = values[i] as number;
		if (value > (values[best] as number) || Number.isNaN(value)) best = i;
	}
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

/** Farther below the likeliest token (e^-30 of it) nothing is drawn in a lifetime. */
const farthest = 30;

function likeliest(
	scores: Float32Array,
	{
		temperature,
		topK = scores.length,
		topP,
		minP,
	}: { temperature: number; topK: number | undefined; topP: number; minP: number },
): Candidate[] {
	const top = scores[argmax(scores)] as number;
	const weightOf = (score: number) => Math.exp((score - top) / temperature);
	const likelyEnough = ({ weight }: Candidate) => weight >= minP;
	const within = (reach: number) => {
		const least = Math.exp(-reach);
		const near: Candidate[] = [];
		scores.forEach((score, id) => {
			const weight = weightOf(score);
			if (weight >= least) near.push({ id, weight });
		});
		return near;
	};
	const all = topK >= scores.length;
	if (all && topP >= 1) return within(farthest).filter(likelyEnough);
	const total = all ? scores.reduce((sum, score) => sum + weightOf(score), 0) : 0;
	// Only the beginning of the order counts, and sorting a whole vocabulary takes longer than computing its logits: what
	// is near is sorted, and more when that was not enough.
	for (let reach = 5; ; reach = Math.min(2 * reach, farthest)) {
		const near = within(reach);
		if (!all && near.length < topK && reach < farthest) continue;
		near.sort((a, b) => b.weight - a.weight || a.id - b.id);
		const kept = near.slice(0, topK);
		const wanted = topP * (all ? total : kept.reduce((sum, { weight }) => sum + weight, 0));
		let mass = 0;
		let count = 0;
		while (count < kept.length && mass < wanted) mass += (kept[count++] as Candidate).weight;
		if (mass >= wanted || reach === farthest) return kept.slice(0, count).filter(likelyEnough);
	}
}

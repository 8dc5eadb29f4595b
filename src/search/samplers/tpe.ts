// The tree-structured Parzen estimator (Bergstra et al. 2011; multivariate as in BOHB, Falkner et al. 2018; the parts
// weighed by Watanabe 2023, arXiv 2304.11127). The best trials make one density, the others a second; of some points drawn
// from the first, the one most likely to be good and least likely to be bad is proposed. With several objectives the
// best are those of the first non-dominated fronts, the last of them cut by hypervolume (Ozaki et al. 2020).
//
// Running trials count as bad (a constant liar), so that parallel workers spread out; failed ones count as bad because
// they are.
import { UserError } from "../../util/errors.ts";
import { type Observation, observe } from "../observations.ts";
import { contributions, rankOrder, referencePoint } from "../pareto.ts";
import type { Params } from "../space.ts";
import { parzenEstimator } from "./parzen.ts";
import type { Sampler } from "./sampler.ts";
import { sobolSampler } from "./sobol.ts";

export interface TpeOptions {
	/** Trials before the model is used, drawn from the scrambled Sobol sequence; 10 unless said. */
	readonly startupTrials?: number;
	/** Points drawn for each proposal; 64 unless said. */
	readonly candidates?: number;
	/** Share of the trials that count as good; 0.15 unless said, and never more than 25 of them. */
	readonly gamma?: number;
	/** Weight of the flat prior beside one observation; 1 unless said. */
	readonly priorWeight?: number;
	/** Keep kernels from becoming needles; on unless said. */
	readonly magicClip?: boolean;
}

export function tpeSampler(options: TpeOptions = {}): Sampler {
	const { startupTrials = 10, candidates = 64, gamma = 0.15, priorWeight = 1, magicClip = true } = options;
	if (!(startupTrials >= 1 && candidates >= 1 && gamma > 0 && gamma < 1 && priorWeight > 0)) {
		throw new UserError("SAMPLER_OPTIONS", "The TPE sampler cannot work with these options.", {
			expected: "startupTrials >= 1, candidates >= 1, 0 < gamma < 1, priorWeight > 0",
			found: JSON.stringify(options),
		});
	}
	const startup = sobolSampler();
	return {
		name: "tpe",
		options: { startupTrials, candidates, gamma, priorWeight, magicClip },
		suggest(context) {
			const { space, trials, directions, rng } = context;
			const { measured, failed, pending } = observe(trials, directions);
			if (measured.length + failed.length < startupTrials || measured.length === 0) return startup.suggest(context);
			const places = Math.min(Math.ceil(gamma * (measured.length + failed.length)), 25);
			const { good, weights, bad } = split(measured, places);
			const others = [...bad, ...failed, ...pending];
			const better = parzenEstimator(space, good, { priorWeight, magicClip, weights });
			const worse = parzenEstimator(space, others, { priorWeight, magicClip, weights: recency(others.length) });
			let best: { params: Params; score: number } | undefined;
			for (let i = 0; i < candidates; i++) {
				const params = better.sample(rng);
				const score = better.logDensity(params) - worse.logDensity(params);
				if (best === undefined || score > best.score) best = { params, score };
			}
			return best && { params: best.params, origin: "model" };
		},
	};
}

/** The `places` best points, in order of trial, with their weights; and the others. */
function split(measured: readonly Observation[], places: number) {
	const losses = measured.map((one) => one.losses);
	const chosen = new Set(rankOrder(losses).slice(0, places));
	const good = measured.filter((_, i) => chosen.has(i));
	const bad = measured.filter((_, i) => !chosen.has(i)).map(({ params }) => params);
	const goodLosses = good.map((one) => one.losses);
	const single = (losses[0] as readonly number[]).length === 1;
	return { good: good.map(({ params }) => params), weights: single ? good.map(() => 1) : byVolume(goodLosses), bad };
}

/** Weights by what each point adds to the hypervolume, as MOTPE; a point that adds nothing still counts a little. */
function byVolume(losses: readonly (readonly number[])[]): number[] {
	const adds = contributions(losses, referencePoint(losses));
	const most = Math.max(...adds);
	return adds.map((add) => (most > 0 ? Math.max(add / most, 0.01) : 1));
}

/** The newest 25 weigh 1, older ones less and less (Bergstra et al. 2013): the search has moved on since. */
function recency(count: number): number[] {
	const old = count - 25;
	return Array.from({ length: count }, (_, i) =>
		i < old ? 1 / count + (1 - 1 / count) * (old === 1 ? 0 : i / (old - 1)) : 1,
	);
}

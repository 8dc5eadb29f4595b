// AdamW (Loshchilov and Hutter, 2019): Adam whose weight decay shrinks the parameter and stays out of the moments.
// The arithmetic is that of torch.optim.AdamW, with the constant factors of each step gathered into few scalars.

import { add, div, mul, sqrt, sub, type Value } from "../graph/index.ts";
import type { Moment, Optimizer, UpdateInputs } from "./optimizer.ts";

export type AdamSettings = { beta1: number; beta2: number; epsilon: number; weightDecay: number };

/** 13 passes, 12 without weight decay. */
export const adamw: Optimizer<AdamSettings> = {
	settings: {
		beta1: { default: 0.9, min: 0, below: 1 },
		beta2: { default: 0.999, min: 0, below: 1 },
		epsilon: { default: 1e-8, min: 0 },
		weightDecay: { default: 0.01, min: 0 },
	},
	states: () => ["exp_avg", "exp_avg_sq"],
	update(inputs, { decays }) {
		const { parameter, gradient, scalar } = inputs;
		const { states, change } = adamMoments(inputs, gradient);
		return { parameter: sub(decays ? mul(parameter, scalar("keep")) : parameter, change), states };
	},
	scalars: (moment, { settings, decays }) => ({
		...adamScalars(moment, settings),
		...(decays && { keep: 1 - moment.learningRate * settings.weightDecay }),
	}),
};

/**
 * The two moments after `gradient`, and what to subtract from the parameter. 11 passes. The bias corrections
 * c = 1 - beta^t are moved out of the root: m / c1 / (sqrt(v / c2) + eps) = m * sqrt(c2) / c1 / (sqrt(v) + eps * sqrt(c2)).
 */
export function adamMoments({ states, scalar }: UpdateInputs, gradient: Value) {
	const average = add(mul(states.exp_avg as Value, scalar("beta1")), mul(gradient, scalar("gain1")));
	const square = add(mul(states.exp_avg_sq as Value, scalar("beta2")), mul(mul(gradient, gradient), scalar("gain2")));
	const change = mul(div(average, add(sqrt(square), scalar("epsilon"))), scalar("rate"));
	return { states: { exp_avg: average, exp_avg_sq: square }, change };
}

/** For adamMoments over a gradient that `gradientScale` has yet to be applied to. */
export function adamScalars({ step, learningRate, gradientScale }: Moment, { beta1, beta2, epsilon }: AdamSettings) {
	const root2 = Math.sqrt(1 - beta2 ** step);
	return {
		beta1,
		beta2,
		gain1: (1 - beta1) * gradientScale,
		gain2: (1 - beta2) * gradientScale ** 2,
		epsilon: epsilon * root2,
		rate: (learningRate * root2) / (1 - beta1 ** step),
	};
}

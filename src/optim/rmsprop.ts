// RMSprop (Hinton, 2012), as torch.optim.RMSprop, not centred: the gradient over its running root mean square, with
// momentum over that quotient if wished.

import { add, div, mul, sqrt, sub, type Value } from "../graph/index.ts";
import { l2Gradient, l2Scalars } from "./l2.ts";
import type { Optimizer } from "./optimizer.ts";

export type RmspropSettings = { alpha: number; epsilon: number; momentum: number; weightDecay: number };

/** 9 passes; 12 with momentum; weight decay adds 3. */
export const rmsprop: Optimizer<RmspropSettings> = {
	settings: {
		alpha: { default: 0.99, min: 0, below: 1 },
		epsilon: { default: 1e-8, min: 0 },
		momentum: { default: 0, min: 0, below: 1 },
		weightDecay: { default: 0, min: 0 },
	},
	states: ({ momentum }) => (momentum > 0 ? ["square_avg", "momentum_buffer"] : ["square_avg"]),
	update(inputs, variant) {
		const { parameter, states, scalar } = inputs;
		const slope = l2Gradient(inputs, variant);
		const square = add(mul(states.square_avg as Value, scalar("alpha")), mul(mul(slope, slope), scalar("gain")));
		const quotient = div(slope, add(sqrt(square), scalar("epsilon")));
		if (variant.settings.momentum === 0) {
			return { parameter: sub(parameter, mul(quotient, scalar("rate"))), states: { square_avg: square } };
		}
		const scaled = mul(quotient, scalar("owedScale"));
		const buffer = add(mul(states.momentum_buffer as Value, scalar("momentum")), scaled);
		return {
			parameter: sub(parameter, mul(buffer, scalar("learningRate"))),
			states: { square_avg: square, momentum_buffer: buffer },
		};
	},
	scalars(moment, variant) {
		const { scalars, owed } = l2Scalars(moment, variant);
		const { alpha, epsilon, momentum } = variant.settings;
		const { learningRate, gradientScale } = owed;
		return {
			...scalars,
			alpha,
			gain: (1 - alpha) * gradientScale ** 2,
			epsilon,
			rate: learningRate * gradientScale,
			owedScale: gradientScale,
			momentum,
			learningRate,
		};
	},
};

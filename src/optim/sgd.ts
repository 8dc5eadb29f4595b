// Stochastic gradient descent, with momentum if wished (Polyak's, or Nesterov's form of Sutskever et al., 2013), as
// torch.optim.SGD without dampening.

import { add, mul, sub, type Value } from "../graph/index.ts";
import type { Optimizer } from "./optimizer.ts";

export type SgdSettings = { momentum: number; nesterov: boolean; weightDecay: number };

/** 2 passes; 5 with momentum, 7 with Nesterov's; weight decay adds 1 or, with momentum, 2. */
export const sgd: Optimizer<SgdSettings> = {
	settings: {
		momentum: { default: 0, min: 0, below: 1 },
		nesterov: { default: false },
		weightDecay: { default: 0, min: 0 },
	},
	states: ({ momentum }) => (momentum > 0 ? ["momentum_buffer"] : []),
	update({ parameter, gradient, states, scalar }, { settings: { momentum, nesterov }, decays }) {
		if (momentum === 0) {
			const kept = decays ? mul(parameter, scalar("keep")) : parameter;
			return { parameter: sub(kept, mul(gradient, scalar("rate"))), states: {} };
		}
		const scaled = mul(gradient, scalar("gradientScale"));
		const slope = decays ? add(scaled, mul(parameter, scalar("weightDecay"))) : scaled;
		const buffer = add(mul(states.momentum_buffer as Value, scalar("momentum")), slope);
		const direction = nesterov ? add(slope, mul(buffer, scalar("momentum"))) : buffer;
		return { parameter: sub(parameter, mul(direction, scalar("learningRate"))), states: { momentum_buffer: buffer } };
	},
	scalars({ learningRate, gradientScale }, { settings: { momentum, weightDecay } }) {
		return {
			keep: 1 - learningRate * weightDecay,
			rate: learningRate * gradientScale,
			gradientScale,
			weightDecay,
			momentum,
			learningRate,
		};
	},
};

// Adam (Kingma and Ba, 2015), as torch.optim.Adam: weight decay joins the gradient, and so is scaled by the moments like
// everything else. For decay that is not, see adamw.ts.

import { sub } from "../graph/index.ts";
import { type AdamSettings, adamMoments, adamScalars, adamw } from "./adamw.ts";
import { l2Gradient, l2Scalars } from "./l2.ts";
import type { Optimizer } from "./optimizer.ts";

/** 15 passes, 12 without weight decay. */
export const adam: Optimizer<AdamSettings> = {
	settings: { ...adamw.settings, weightDecay: { default: 0, min: 0 } },
	states: adamw.states,
	update(inputs, variant) {
		const { states, change } = adamMoments(inputs, l2Gradient(inputs, variant));
		return { parameter: sub(inputs.parameter, change), states };
	},
	scalars(moment, variant) {
		const { scalars, owed } = l2Scalars(moment, variant);
		return { ...scalars, ...adamScalars(owed, variant.settings) };
	},
};

// Weight decay as L2 regularisation: weightDecay * parameter joins the gradient before anything else is done with it,
// as in torch.optim's Adam, SGD and RMSprop. AdamW does it otherwise.

import { add, mul, type Value } from "../graph/index.ts";
import type { Moment, UpdateInputs, Variant } from "./optimizer.ts";

/** The gradient with decay in it, scaled: 3 passes. Without decay the gradient as it came, its scale still owed: none. */
export function l2Gradient({ parameter, gradient, scalar }: UpdateInputs, { decays }: Variant): Value {
	return decays ? add(mul(gradient, scalar("gradientScale")), mul(parameter, scalar("weightDecay"))) : gradient;
}

/** The scalars of l2Gradient, and the moment for what comes after it, whose gradientScale is what is still owed. */
export function l2Scalars(moment: Moment, { settings, decays }: Variant<{ weightDecay: number }>) {
	if (!decays) return { scalars: {}, owed: moment };
	const { gradientScale } = moment;
	return { scalars: { gradientScale, weightDecay: settings.weightDecay }, owed: { ...moment, gradientScale: 1 } };
}

// Random search: every point independent, uniform in the unit cube. The baseline of everything else.
import { buildPoint, fromUnit } from "../point.ts";
import type { Sampler } from "./sampler.ts";

export function randomSampler(): Sampler {
	return {
		name: "random",
		options: {},
		suggest: ({ space, rng }) => ({
			params: buildPoint(space, (_, parameter) => fromUnit(parameter, rng.uniform())),
			origin: "random",
		}),
	};
}

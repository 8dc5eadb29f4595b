import { expect, test } from "vitest";
import { add, mul, sub } from "../graph/index.ts";
import type { Optimizer } from "./optimizer.ts";
import { buildUpdateGraph } from "./update-graph.ts";

test("a parameter that would be overwritten before it is read is refused", () => {
	// The state reads the old parameter, but nothing makes it do so before the new parameter is written.
	const racing: Optimizer = {
		settings: {},
		states: () => ["average"],
		update: ({ parameter, gradient, states }) => ({
			parameter: sub(parameter, gradient),
			states: { average: add(states.average as typeof parameter, mul(parameter, 2)) },
		}),
		scalars: () => ({}),
	};
	expect(() => buildUpdateGraph(racing, { settings: {}, decays: false, pieces: 2 })).toThrow(
		/"parameter.0" would be overwritten/,
	);
});

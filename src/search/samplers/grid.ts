// Grid search: every combination once, then no more. Real numbers and long ranges are cut into `points` values, the
// middles of equal parts of the searched scale. Combinations come in an order shuffled by the study's seed, so that a
// search that is stopped early has looked everywhere. Children of a condition that is not met do not multiply.
import { UserError } from "../../util/errors.ts";
import { Rng } from "../../util/rng.ts";
import { fromUnit, isActive, valuesOf } from "../point.ts";
import type { Choice, Parameter, Params, Space } from "../space.ts";
import type { Sampler } from "./sampler.ts";

const MOST_POINTS = 1_000_000;

/** `points`: values for each number parameter that has more than so many, 5 unless said. */
export function gridSampler({ points = 5 }: { points?: number } = {}): Sampler {
	if (!Number.isInteger(points) || points < 1) {
		throw new UserError("SAMPLER_OPTIONS", "A grid needs a whole number of points.", { found: `points: ${points}` });
	}
	let made: { space: Space; seed: number; grid: Params[] } | undefined;
	return {
		name: "grid",
		options: { points },
		suggest({ space, seed, index }) {
			// Only remembered: the same space and seed give the same grid.
			if (made?.space !== space || made.seed !== seed)
				made = { space, seed, grid: shuffledGrid({ space, seed, points }) };
			const params = made.grid[index];
			return params && { params, origin: "random" };
		},
	};
}

function shuffledGrid({ space, seed, points }: { space: Space; seed: number; points: number }): Params[] {
	return new Rng([seed, "grid"]).shuffle(gridPoints(space, points));
}

/** Every combination, in the order of the parameters. */
export function gridPoints(space: Space, points: number): Params[] {
	let grid: Params[] = [{}];
	for (const [name, parameter] of Object.entries(space)) {
		const values = gridValues(parameter, points);
		grid = grid.flatMap((point) =>
			isActive(space, name, point) ? values.map((value) => ({ ...point, [name]: value })) : [point],
		);
		if (grid.length > MOST_POINTS) {
			throw new UserError("GRID_TOO_LARGE", `The grid has more than ${MOST_POINTS} points.`, {
				hint: "Use fewer points or parameters, or the sobol sampler.",
			});
		}
	}
	return grid;
}

function gridValues(parameter: Parameter, points: number): readonly Choice[] {
	const all = parameter.type === "float" ? undefined : valuesOf(parameter);
	if (all !== undefined && (parameter.type === "categorical" || all.length <= points)) return all;
	const cut = Array.from({ length: points }, (_, i) => fromUnit(parameter, (i + 0.5) / points));
	return [...new Set(cut)];
}

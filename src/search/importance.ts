// What mattered: functional ANOVA over a random forest (Hutter, Hoos and Leyton-Brown 2014). Each tree cuts the unit cube
// into boxes of constant loss, so the average over all other parameters is an exact sum over boxes; its variance, as a
// share of the whole, is the parameter's importance, and the average itself is the effect of each value.
//
// Uniform over the searched space, not over the trials; a parameter that is not active counts at the middle of its
// range, so conditional ones are weighed by how much they matter over the whole space. Trials at early rungs are lifted
// (observations.ts). The worst tenth of the losses is cut to its best: a diverged run says that it is bad, not how bad.
import { Rng } from "../util/rng.ts";
import { observe } from "./observations.ts";
import { fromUnit, toUnit } from "./point.ts";
import type { Choice, Parameter, Params, Space } from "./space.ts";
import type { Direction, Trial } from "./trial.ts";

export interface Importance {
	readonly method: "fANOVA (random forest; Hutter et al. 2014)";
	/** Most important first. */
	readonly parameters: readonly ParameterImportance[];
	/** Share of the variance that no parameter explains alone. */
	readonly interactions: number;
	/** Trials it was computed from. */
	readonly trials: number;
}

export interface ParameterImportance {
	readonly name: string;
	/** Share of the variance of the objective over the space, 0 to 1. */
	readonly importance: number;
	/** The average of the objective at each value, all other parameters averaged out, with its spread over the trees. */
	readonly effect: readonly { readonly value: Choice; readonly mean: number; readonly deviation: number }[];
}

export interface ImportanceOptions {
	readonly objective?: number;
	readonly seed?: number;
	readonly trees?: number;
}

/** Undefined with fewer than 8 trials that have values, or when all values are equal: nothing can be said then. */
export function importanceOf(
	study: { readonly space: Space; readonly trials: readonly Trial[]; readonly directions: readonly Direction[] },
	{ objective = 0, seed = 0, trees = 64 }: ImportanceOptions = {},
): Importance | undefined {
	const { space, directions } = study;
	const { measured } = observe(study.trials, directions);
	if (measured.length < 8) return undefined;
	const losses = cutWorst(measured.map((one) => one.losses[objective] as number));
	if (losses.every((loss) => loss === losses[0])) return undefined;
	const axes = Object.entries(space).map(([name, parameter]) => makeAxis(name, parameter));
	const x = measured.map(({ params }) => Float64Array.from(axes, (axis) => axis.place(params)));
	const rng = new Rng([seed, "fanova"]);
	const forest = Array.from({ length: trees }, () => growTree({ x, y: losses, axes, rng }));
	const parts = forest.map((leaves) => decompose(leaves, axes)).filter(({ variance }) => variance > 0);
	const sign = directions[objective] === "maximize" ? -1 : 1;
	const parameters = axes.map((axis, d) => {
		const importance = average(parts.map((part) => (part.main[d] as number) / part.variance));
		const effect = axis.grid.map(({ at, value }) => {
			const means = forest.map((leaves) => marginalAt(leaves, { axes, d, at }));
			const mean = average(means);
			return { value, mean: sign * mean, deviation: Math.sqrt(average(means.map((m) => (m - mean) ** 2))) };
		});
		return { name: axis.name, importance, effect };
	});
	return {
		method: "fANOVA (random forest; Hutter et al. 2014)",
		parameters: parameters.sort((a, b) => b.importance - a.importance),
		interactions: Math.max(0, 1 - parameters.reduce((sum, one) => sum + one.importance, 0)),
		trials: measured.length,
	};
}

interface Axis {
	readonly name: string;
	/** Number of choices; 0 for a number. */
	readonly choices: number;
	/** Coordinate of a point: unit coordinate, or index of the choice. */
	place(params: Params): number;
	/** Where the effect is shown. */
	readonly grid: readonly { readonly at: number; readonly value: Choice }[];
}

/** A box of the cube. `low`, `high`: bounds of number coordinates; `sets`: which choices are inside, by axis. */
interface Leaf {
	readonly low: Float64Array;
	readonly high: Float64Array;
	readonly sets: readonly (ReadonlySet<number> | undefined)[];
	readonly mean: number;
}

function makeAxis(name: string, parameter: Parameter): Axis {
	const valueAt = (params: Params) => (Object.hasOwn(params, name) ? (params[name] as Choice) : undefined);
	if (parameter.type === "categorical") {
		const { choices } = parameter;
		return {
			name,
			choices: choices.length,
			place: (params) => Math.max(0, choices.indexOf(valueAt(params) as Choice)),
			grid: choices.map((value, at) => ({ at, value })),
		};
	}
	const points = Array.from({ length: 33 }, (_, i) => fromUnit(parameter, i / 32));
	return {
		name,
		choices: 0,
		place: (params) => {
			const value = valueAt(params);
			return value === undefined ? 0.5 : toUnit(parameter, value);
		},
		grid: [...new Set(points)].map((value) => ({ at: toUnit(parameter, value), value })),
	};
}

interface Growing {
	readonly x: readonly Float64Array[];
	readonly y: readonly number[];
	readonly axes: readonly Axis[];
	readonly rng: Rng;
}

/** One tree on a bootstrap sample, grown by least squares on random subsets of the axes (Breiman 2001). */
function growTree({ x, y, axes, rng }: Growing): Leaf[] {
	const leaves: Leaf[] = [];
	const sample = x.map(() => rng.integer(x.length));
	const tries = Math.max(1, Math.ceil((axes.length * 2) / 3));
	const grow = (rows: readonly number[], box: Omit<Leaf, "mean">): void => {
		const mean = average(rows.map((row) => y[row] as number));
		const split = rows.length < 4 ? undefined : bestSplit({ rows, x, y, axes, tries, rng });
		if (split === undefined) {
			leaves.push({ ...box, mean });
			return;
		}
		const { d, at } = split;
		if ((axes[d] as Axis).choices > 0) {
			const inside = box.sets[d] as ReadonlySet<number>;
			const without = new Set([...inside].filter((choice) => choice !== at));
			const put = (set: ReadonlySet<number>) => ({ ...box, sets: box.sets.map((old, i) => (i === d ? set : old)) });
			grow(
				rows.filter((row) => x[row]?.[d] === at),
				put(new Set([at])),
			);
			grow(
				rows.filter((row) => x[row]?.[d] !== at),
				put(without),
			);
			return;
		}
		const [left, right] = [Float64Array.from(box.high), Float64Array.from(box.low)];
		left[d] = at;
		right[d] = at;
		grow(
			rows.filter((row) => (x[row]?.[d] as number) <= at),
			{ ...box, high: left },
		);
		grow(
			rows.filter((row) => (x[row]?.[d] as number) > at),
			{ ...box, low: right },
		);
	};
	grow(sample, {
		low: new Float64Array(axes.length),
		high: new Float64Array(axes.length).fill(1),
		sets: axes.map(({ choices }) => (choices > 0 ? new Set(Array.from({ length: choices }, (_, i) => i)) : undefined)),
	});
	return leaves;
}

/** The cut that explains most, among some axes: `x <= at` for numbers, `x === at` for choices. */
function bestSplit({ rows, x, y, axes, tries, rng }: Growing & { rows: readonly number[]; tries: number }) {
	let best: { d: number; at: number; gain: number } | undefined;
	const total = rows.reduce((sum, row) => sum + (y[row] as number), 0);
	const consider = (d: number, at: number, count: number, sum: number) => {
		const rest = rows.length - count;
		if (count < 1 || rest < 1) return;
		const gain = (sum * sum) / count + (total - sum) ** 2 / rest - (total * total) / rows.length;
		if (gain > 1e-12 * (1 + total * total) && (best === undefined || gain > best.gain)) best = { d, at, gain };
	};
	for (const d of rng.shuffle(axes.map((_, i) => i)).slice(0, tries)) {
		const coordinate = (row: number) => x[row]?.[d] as number;
		const axis = axes[d] as Axis;
		if (axis.choices > 0) {
			for (let choice = 0; choice < axis.choices; choice++) {
				const inside = rows.filter((row) => coordinate(row) === choice);
				const sum = inside.reduce((s, row) => s + (y[row] as number), 0);
				consider(d, choice, inside.length, sum);
			}
			continue;
		}
		const sorted = [...rows].sort((a, b) => coordinate(a) - coordinate(b));
		let sum = 0;
		for (let i = 0; i + 1 < sorted.length; i++) {
			sum += y[sorted[i] as number] as number;
			const [here, next] = [coordinate(sorted[i] as number), coordinate(sorted[i + 1] as number)];
			if (here < next) consider(d, (here + next) / 2, i + 1, sum);
		}
	}
	return best;
}

/** The share of an axis that a leaf covers. */
function width(leaf: Leaf, axes: readonly Axis[], d: number): number {
	const set = leaf.sets[d];
	if (set !== undefined) return set.size / (axes[d] as Axis).choices;
	return (leaf.high[d] as number) - (leaf.low[d] as number);
}

function volume(leaf: Leaf, axes: readonly Axis[]): number {
	return axes.reduce((product, _, d) => product * width(leaf, axes, d), 1);
}

/** The variance of one tree over the cube, and of each of its one-parameter averages. */
function decompose(leaves: readonly Leaf[], axes: readonly Axis[]): { variance: number; main: number[] } {
	const mean = leaves.reduce((sum, leaf) => sum + leaf.mean * volume(leaf, axes), 0);
	const variance = leaves.reduce((sum, leaf) => sum + (leaf.mean - mean) ** 2 * volume(leaf, axes), 0);
	const main = axes.map((axis, d) => {
		if (axis.choices > 0) {
			const values = Array.from({ length: axis.choices }, (_, at) => marginalAt(leaves, { axes, d, at }));
			return average(values.map((value) => (value - mean) ** 2));
		}
		const edges = [...new Set(leaves.flatMap((leaf) => [leaf.low[d] as number, leaf.high[d] as number]))].sort(
			(a, b) => a - b,
		);
		return edges.slice(1).reduce((sum, edge, i) => {
			const before = edges[i] as number;
			const value = marginalAt(leaves, { axes, d, at: (before + edge) / 2 });
			return sum + (value - mean) ** 2 * (edge - before);
		}, 0);
	});
	return { variance, main };
}

/** The average of a tree over all coordinates but `d`, which is held at `at`. */
function marginalAt(
	leaves: readonly Leaf[],
	{ axes, d, at }: { axes: readonly Axis[]; d: number; at: number },
): number {
	let sum = 0;
	for (const leaf of leaves) {
		if (!covers(leaf, d, at)) continue;
		sum += (leaf.mean * volume(leaf, axes)) / width(leaf, axes, d);
	}
	return sum;
}

function covers(leaf: Leaf, d: number, at: number): boolean {
	const set = leaf.sets[d];
	if (set !== undefined) return set.has(at);
	const [low, high] = [leaf.low[d] as number, leaf.high[d] as number];
	return at <= high && (at > low || low === 0);
}

function cutWorst(losses: readonly number[]): number[] {
	const sorted = [...losses].sort((a, b) => a - b);
	const limit = sorted[Math.floor(0.9 * (sorted.length - 1))] as number;
	return losses.map((loss) => Math.min(loss, limit));
}

function average(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

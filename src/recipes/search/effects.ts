// What a setting does to the objective, made short: where it is good, and a line that shows its course. From the average
// effects that importance computes; smaller is better.
import type { ParameterImportance } from "../../search/importance.ts";
import type { Choice } from "../../search/space.ts";

export interface EffectSummary {
	/** Averages at the best and the worst value. */
	lowest: number;
	highest: number;
	/** First and last value of the stretch around the best one that is nearly as good; one and the same for choices. */
	best: readonly [Choice, Choice];
}

/** How much of the way from the best average to the worst still counts as good. */
const goodPart = 0.1;

/** Undefined when all values are equally good: then there is no best one. */
export function summarizeEffect(
	{ effect }: Pick<ParameterImportance, "effect">,
	{ ordered }: { ordered: boolean },
): EffectSummary | undefined {
	const means = effect.map(({ mean }) => mean);
	const [lowest, highest] = [Math.min(...means), Math.max(...means)];
	if (!(lowest < highest)) return undefined;
	let first = means.indexOf(lowest);
	let last = first;
	const limit = lowest + goodPart * (highest - lowest);
	const isGood = (at: number) => at in means && (means[at] as number) <= limit;
	while (ordered && isGood(first - 1)) first--;
	while (ordered && isGood(last + 1)) last++;
	return { lowest, highest, best: [effect[first]?.value as Choice, effect[last]?.value as Choice] };
}

const blocks = "▁▂▃▄▅▆▇█";

/** One character a value, higher for larger ones, at most `width` of them. Empty without a value. */
export function sparkline(values: readonly number[], { width = 16 }: { width?: number } = {}): string {
	const [low, high] = [Math.min(...values), Math.max(...values)];
	const count = Math.min(width, values.length);
	const picked = Array.from(
		{ length: count },
		(_, i) => values[Math.round((i * (values.length - 1)) / Math.max(1, count - 1))] as number,
	);
	return picked
		.map((value) => blocks[low < high ? Math.round(((value - low) / (high - low)) * (blocks.length - 1)) : 0])
		.join("");
}

// Thresholds: a trial stops when a report leaves [lower, upper]: a loss that explodes, a score that no sane setting has.
// It can stand around another pruner, as patience can.
import { UserError } from "../../util/errors.ts";
import { noPruner, type Pruner } from "./pruner.ts";

export interface ThresholdOptions {
	readonly lower?: number;
	readonly upper?: number;
	/** Steps of each trial during which it is not pruned; 0 unless said. */
	readonly warmupSteps?: number;
	/** The pruner inside. */
	readonly around?: Pruner;
}

export function thresholdPruner({ lower, upper, warmupSteps = 0, around = noPruner() }: ThresholdOptions): Pruner {
	if (
		(lower === undefined && upper === undefined) ||
		!((lower ?? -Infinity) < (upper ?? Infinity)) ||
		!(warmupSteps >= 0)
	) {
		throw new UserError("PRUNER_OPTIONS", "The thresholds leave nothing out, or nothing in.", {
			expected: "lower, upper or both, with lower < upper, and warmupSteps >= 0",
			found: `lower ${lower}, upper ${upper}, warmupSteps ${warmupSteps}`,
		});
	}
	return {
		...around,
		name: "threshold",
		options: {
			...(lower !== undefined && { lower }),
			...(upper !== undefined && { upper }),
			warmupSteps,
			around: { name: around.name, options: around.options },
		},
		singleObjective: true,
		shouldPrune(trial, context) {
			const last = trial.reports.at(-1);
			const outside =
				last !== undefined &&
				last.step > warmupSteps &&
				((lower !== undefined && last.value < lower) || (upper !== undefined && last.value > upper));
			return outside || around.shouldPrune(trial, context);
		},
	};
}

// Patience: a trial stops when its reports have not improved for a while. It can stand around another pruner, whose
// rungs and promotions it keeps; then either may stop a trial.
import { UserError } from "../../util/errors.ts";
import { asLoss } from "./median.ts";
import { noPruner, type Pruner } from "./pruner.ts";

export interface PatientOptions {
	/** Steps without improvement after which a trial stops. */
	readonly patienceSteps: number;
	/** Smaller improvements do not count; 0 unless said. */
	readonly minDelta?: number;
	/** The pruner inside. */
	readonly around?: Pruner;
}

export function patientPruner({ patienceSteps, minDelta = 0, around = noPruner() }: PatientOptions): Pruner {
	if (!(patienceSteps > 0 && minDelta >= 0)) {
		throw new UserError("PRUNER_OPTIONS", "Patience is a number of steps.", {
			expected: "patienceSteps > 0 and minDelta >= 0",
			found: `patienceSteps ${patienceSteps}, minDelta ${minDelta}`,
		});
	}
	return {
		...around,
		name: "patient",
		options: { patienceSteps, minDelta, around: { name: around.name, options: around.options } },
		singleObjective: true,
		shouldPrune(trial, context) {
			let best = Number.POSITIVE_INFINITY;
			let bestStep = trial.reports[0]?.step ?? 0;
			for (const { step, value } of trial.reports) {
				const loss = asLoss(value, context.directions);
				if (loss < best - minDelta) [best, bestStep] = [loss, step];
			}
			const waited = (trial.reports.at(-1)?.step ?? 0) - bestStep;
			return waited >= patienceSteps || around.shouldPrune(trial, context);
		},
	};
}

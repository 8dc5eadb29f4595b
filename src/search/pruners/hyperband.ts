// Hyperband (Li et al. 2016, arXiv 1603.06560), asynchronous as in the ASHA paper: several brackets of successive halving,
// from "many trials, first rung early" to "few trials, whole budget at once", for when early values may mislead. A new
// trial goes to the bracket that is furthest behind its share; each bracket promotes by ASHA's rule on its own.
import { type AshaOptions, promotable, rungLadder } from "./asha.ts";
import type { Pruner } from "./pruner.ts";

export function hyperbandPruner({ minStep, maxStep, eta = 3 }: AshaOptions): Pruner {
	const ladder = rungLadder({ minStep, maxStep, eta });
	const brackets = ladder.length;
	// The paper's bracket sizes: n_s = ceil((s_max + 1) / (s + 1) * eta^s), s counting the rungs above the first.
	const shares = ladder.map((_, bracket) => {
		const s = brackets - 1 - bracket;
		return Math.ceil((brackets / (s + 1)) * eta ** s);
	});
	return {
		name: "hyperband",
		options: { minStep, maxStep, eta },
		singleObjective: false,
		rungs: (bracket) => ladder.slice(bracket),
		nextBracket({ trials }) {
			const filled = shares.map((share, bracket) => trials.filter((trial) => trial.bracket === bracket).length / share);
			return filled.indexOf(Math.min(...filled));
		},
		shouldPrune: () => false,
		promote({ trials, directions }) {
			for (let bracket = brackets - 1; bracket >= 0; bracket--) {
				const mine = trials.filter((trial) => trial.bracket === bracket);
				const found = promotable(mine, { rungs: ladder.slice(bracket), eta, directions });
				if (found !== undefined) return found;
			}
			return undefined;
		},
	};
}

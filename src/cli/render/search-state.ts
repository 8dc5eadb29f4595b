// What a running search looks like at a moment, kept from its events. Knows no terminal.
import type { EventOf, RecipeEvent, TrialSummary } from "../../recipes/options/recipe.ts";
import { nonDominatedSort } from "../../search/pareto.ts";

export interface RunningSearch
	extends Pick<EventOf<"search-started">, "directory" | "objectives" | "space" | "budgetSeconds" | "baseline"> {
	/** By number. */
	readonly trials: ReadonlyMap<number, TrialSummary>;
	/** The newest step of each trial that is being trained here. */
	readonly steps: ReadonlyMap<number, Pick<EventOf<"trial-advanced">, "step" | "steps" | "loss">>;
	readonly secondsLeft?: number;
	/** Work beside the trials, as it was last told. */
	readonly work?: EventOf<"work-advanced">;
}

/** The search after the event; undefined while none runs. */
export function afterEvent(search: RunningSearch | undefined, event: RecipeEvent): RunningSearch | undefined {
	if (event.type === "search-started") {
		const { type: _, trials, budgetSeconds, ...rest } = event;
		return {
			...rest,
			trials: new Map(trials.map((trial) => [trial.number, trial])),
			steps: new Map(),
			...(budgetSeconds !== undefined && { budgetSeconds, secondsLeft: budgetSeconds }),
		};
	}
	if (search === undefined || event.type === "search-done") return undefined;
	const { work: _, ...before } = search;
	const left = "secondsLeft" in event && event.secondsLeft !== undefined ? { secondsLeft: event.secondsLeft } : {};
	if (event.type === "trial-changed") {
		const steps = new Map(search.steps);
		steps.delete(event.trial.number);
		return { ...before, ...left, steps, trials: new Map(search.trials).set(event.trial.number, event.trial) };
	}
	if (event.type === "trial-advanced") {
		const { trial, step, steps, loss } = event;
		return { ...before, ...left, steps: new Map(search.steps).set(trial, { step, steps, loss }) };
	}
	return event.type === "work-advanced" ? { ...before, work: event } : search;
}

/**
 * Best first: those trained furthest, by the first objective among them; then those without a value yet, then failures.
 * Repeats that measure noise are shown only while they run.
 */
export function inOrder({ trials }: Pick<RunningSearch, "trials">): TrialSummary[] {
	const shown = [...trials.values()].filter(({ origin, state }) => origin !== "noise" || state === "running");
	const group = ({ state, values }: TrialSummary) => (state === "failed" ? 2 : values === undefined ? 1 : 0);
	const loss = ({ values }: TrialSummary) => values?.[0] ?? 0;
	return shown.sort((a, b) => group(a) - group(b) || b.trained - a.trained || loss(a) - loss(b) || a.number - b.number);
}

/** Numbers of the best trials: with one objective the first in order, else those of the furthest that no other beats. */
export function bestNumbers(search: Pick<RunningSearch, "trials" | "objectives">): number[] {
	const scored = inOrder(search).filter(
		({ values, state, origin }) => values !== undefined && state !== "failed" && origin !== "noise",
	);
	if (search.objectives.length === 1) return scored.slice(0, 1).map(({ number }) => number);
	const furthest = scored.filter(({ trained }) => trained === scored[0]?.trained);
	const front = nonDominatedSort(furthest.map(({ values = [] }) => [...values]))[0] ?? [];
	return front.map((i) => furthest[i]?.number as number);
}

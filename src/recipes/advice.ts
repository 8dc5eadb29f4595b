// What the course of a run suggests for the next one: a few rules over its events, each with what it saw. Rules of thumb,
// said as such; a rule that is not sure says nothing.

import type { RecipeEvent, RunReport } from "./options/recipe.ts";

export interface RunCourse {
	events: readonly RecipeEvent[];
	report: Pick<RunReport, "skippedSteps" | "validationLossBefore">;
}

/** Sentences, the most important first. */
export function advise({ events, report }: RunCourse): string[] {
	const steps = events.flatMap((event) => (event.type === "step-done" ? [event] : []));
	const evaluations = events.flatMap((event) => (event.type === "evaluation-done" && event.step > 0 ? [event] : []));
	const advice: string[] = [];
	const losses = steps.map(({ loss }) => loss).filter(Number.isFinite);
	const tenth = Math.max(1, Math.floor(losses.length / 10));
	const [start, end] = [mean(losses.slice(0, tenth)), mean(losses.slice(-tenth))];
	const skipped = (report.skippedSteps ?? 0) / Math.max(1, steps.length);
	const before = report.validationLossBefore;
	const last = evaluations.at(-1)?.loss;
	const best = Math.min(...evaluations.map(({ loss }) => loss));
	const lost = evaluations.some(({ loss }) => !Number.isFinite(loss));
	const first = evaluations[0]?.loss;
	const unlearnt = before !== undefined && first !== undefined && first > before * (1 + rise);
	const tooHigh = [
		skipped > skippedShare && `${percent(skipped)} of the steps had to be left out`,
		lost && "a validation loss is not finite",
		unlearnt && `the validation loss rose from ${before.toFixed(2)} to ${first.toFixed(2)} at first`,
		end > start * (1 + rise) && `the training loss rose from ${start.toFixed(2)} to ${end.toFixed(2)}`,
	].find((sign) => sign !== false);
	if (tooHigh) {
		advice.push(`The learning rate is probably too high: ${tooHigh}. Try a third of it, or more --warmup-steps.`);
	}
	if (evaluations.length === 0) {
		advice.push("Nothing was held out, so nobody knows whether the model got better: --validation 0.1.");
	} else if (last !== undefined && !tooHigh) {
		if (before !== undefined && best > before * (1 - learnt)) {
			advice.push(
				`Nothing was learnt that helps on held-out data (${before.toFixed(3)} before, ${best.toFixed(3)} at best). Try three times the learning rate, more epochs, and look at the rows with attune data check --show 5.`,
			);
		} else if (last > best * (1 + worse)) {
			const at = evaluations.find(({ loss }) => loss === best)?.step;
			advice.push(
				`It overfitted: the validation loss was best at step ${at} (${best.toFixed(3)}) and ended at ${last.toFixed(3)}. Fewer epochs, --patience 2, --dropout 0.1, --lora or more data.`,
			);
		} else if (stillFalling([...(before === undefined ? [] : [before]), ...evaluations.map(({ loss }) => loss)])) {
			advice.push("The validation loss was still falling at the end: more --epochs would probably help.");
		}
	}
	const noise = steps.at(-1)?.gradientNoiseScale;
	const tokens = tokensOfStep(events);
	if (noise !== undefined && tokens !== undefined && noise > farFrom * tokens) {
		advice.push(
			`The gradient is noisy: steps of about ${rounded(noise)} supervised tokens would use it better than ${rounded(tokens)} (--accumulate or --batch-ramp).`,
		);
	} else if (noise !== undefined && tokens !== undefined && noise < tokens / farFrom) {
		advice.push(
			`Steps of ${rounded(tokens)} supervised tokens are larger than useful: about ${rounded(noise)} would learn as much from fewer (smaller --batch-size).`,
		);
	}
	return advice;
}

/** Share of steps that were not taken. */
const skippedShare = 0.05;
/** Of the training loss, from the first tenth to the last; of the validation loss, before the first step to the first one after. */
const rise = 0.1;
/** Least relative gain that counts as having learnt something. */
const learnt = 0.005;
/** Above the best validation loss. */
const worse = 0.02;
/** Noise scales are known within a factor of about this. */
const farFrom = 4;

/** The last of several evaluations brought at least a twentieth of what all brought together, and a hundredth of the loss. */
function stillFalling(losses: readonly number[]): boolean {
	const [first, previous, last] = [losses[0], losses.at(-2), losses.at(-1)];
	if (losses.length < 3 || first === undefined || previous === undefined || last === undefined) return false;
	const gain = previous - last;
	return gain > 0.05 * (first - last) && gain > 0.01 * last;
}

/** From the speed and the batch: supervised tokens of all steps over their number. */
function tokensOfStep(events: readonly RecipeEvent[]): number | undefined {
	const totals = events.flatMap((event) =>
		event.type === "step-done" && event.supervisedTokens !== undefined ? [event.supervisedTokens] : [],
	);
	const last = totals.at(-1);
	return last === undefined ? undefined : last / totals.length;
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / values.length;
}

const percent = (part: number) => `${Math.round(100 * part)} %`;
const rounded = (value: number) => Number(value.toPrecision(2)).toLocaleString("en");

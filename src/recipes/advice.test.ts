// Courses of runs as they occur, and what is advised for each.

import { describe, expect, test } from "vitest";
import { advise } from "./advice.ts";
import type { RecipeEvent } from "./options/recipe.ts";
import { curveOf, curveSvg } from "./report.ts";

function course(
	training: readonly number[],
	validation: readonly number[],
	{ noise }: { noise?: number } = {},
): RecipeEvent[] {
	const every = Math.max(1, Math.floor(training.length / Math.max(1, validation.length)));
	return training.flatMap((loss, i): RecipeEvent[] => {
		const step = i + 1;
		const done: RecipeEvent = {
			type: "step-done",
			step,
			steps: training.length,
			loss,
			learningRate: 1e-4,
			supervisedTokens: 100 * step,
			supervisedTokensPerSecond: 50,
			secondsLeft: 1,
			gradientNorm: 1,
			batchSize: 8,
			...(noise !== undefined && { gradientNoiseScale: noise }),
		};
		const held = step % every === 0 ? validation[step / every - 1] : undefined;
		return held === undefined
			? [done]
			: [done, { type: "evaluation-done", step, loss: held, perplexity: Math.exp(held) }];
	});
}

const falling = Array.from({ length: 30 }, (_, i) => 5 - i * 0.1);

describe("advice", () => {
	test.each<[string, RecipeEvent[], { skippedSteps?: number; validationLossBefore?: number }, RegExp | undefined]>([
		["a good run", course(falling, [3, 2.5, 2.49]), { validationLossBefore: 5 }, undefined],
		["overfitting", course(falling, [3, 2.6, 2.9]), { validationLossBefore: 5 }, /overfitted.*step 20/],
		["still falling", course(falling, [4, 3.4, 2.9]), { validationLossBefore: 5 }, /still falling/],
		["nothing learnt", course(falling, [4.999, 4.998, 5]), { validationLossBefore: 5 }, /Nothing was learnt/],
		["a rising loss", course(falling.toReversed(), [6, 7, 8]), { validationLossBefore: 5 }, /learning rate.*too high/],
		[
			"a loss that jumps up at first",
			course(falling, [8, 5, 4.7]),
			{ validationLossBefore: 5 },
			/rose from 5.00 to 8.00/,
		],
		["steps left out", course(falling, [3, 2.5, 2.49]), { skippedSteps: 10 }, /33 % of the steps/],
		["a lost one", course(falling, [3, Number.NaN, 2.5]), {}, /validation loss is not finite/],
		["no validation", course(falling, []), {}, /Nothing was held out/],
		["noise", course(falling, [3, 2.5, 2.49], { noise: 1000 }), { validationLossBefore: 5 }, /about 1,000 .* than 100/],
		["large steps", course(falling, [3, 2.5, 2.49], { noise: 10 }), { validationLossBefore: 5 }, /larger than useful/],
	])("%s", (_, events, report, expected) => {
		const advice = advise({ events, report });
		expect(advice).toHaveLength(expected ? 1 : 0);
		if (expected) expect(advice[0]).toMatch(expected);
	});

	test("a run without steps is no reason to fail", () => {
		expect(advise({ events: [], report: {} })).toEqual([expect.stringContaining("held out")]);
	});
});

describe("curve", () => {
	test("at most 200 points, each the mean of its stretch; what is not finite is left out", () => {
		const events = course([...Array(1000).keys()], [1, 2]);
		events.push({ ...(events[0] as Extract<RecipeEvent, { type: "step-done" }>), step: 1001, loss: Number.NaN });
		const { training, validation } = curveOf(events);
		expect(training).toHaveLength(200);
		expect(training[0]).toEqual([5, 2]);
		expect(training.at(-1)).toEqual([1000, 997]);
		expect(validation).toEqual([
			[500, 1],
			[1000, 2],
		]);
	});

	test.each([
		["no step", []],
		["one step", course([2], [])],
		["a constant loss", course([2, 2, 2], [2])],
		["a run", course(falling, [3, 2])],
	])("drawn without holes: %s", (_, events) => {
		const picture = curveSvg(curveOf(events));
		expect(picture).toMatch(/^<svg[^>]*>/);
		expect(picture).not.toMatch(/NaN|Infinity|undefined/);
	});
});

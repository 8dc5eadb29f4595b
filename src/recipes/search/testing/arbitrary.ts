// Any search report of valid shape, for tests of what shows one.
import fc from "fast-check";
import type { SearchBaseline, SearchObjective, SearchReport, TrialSummary } from "../../options/recipe.ts";

/** Text that tries to be something else: Markdown, a table's cell, colour, wide characters. */
export const oddText = fc
	.array(
		fc.constantFrom(
			"a",
			"rate",
			" ",
			"|",
			"`",
			"**",
			"\n",
			"\\",
			"<b>",
			"\u001b[2J",
			"\r",
			"损失",
			"😀",
			"e\u0301",
			".",
		),
		{ minLength: 1, maxLength: 8 },
	)
	.map((parts) => parts.join(""));

const number = fc.oneof(
	fc.double({ min: -1e9, max: 1e9, noNaN: true }),
	fc.constantFrom(0, 1e-9, 5e-5, 1e12, Number.NaN, Number.POSITIVE_INFINITY),
);
const seconds = fc.double({ min: 0, max: 1e7, noNaN: true });
const part = fc.oneof(fc.constantFrom(0, 1 / 9, 0.11, 1 / 3, 1), fc.double({ min: 0, max: 1, noNaN: true }));
const choice = fc.oneof(number, oddText, fc.boolean(), fc.constant(null));

export const anyObjectives: fc.Arbitrary<SearchObjective[]> = fc.shuffledSubarray(["quality", "latency", "size"], {
	minLength: 1,
});

export function anyTrial({ objectives = 1, number }: { objectives?: number; number?: number } = {}) {
	return fc.record<TrialSummary>(
		{
			number: number === undefined ? fc.nat(5000) : fc.constant(number),
			settings: fc.dictionary(
				fc.oneof(fc.constantFrom("learningRate", "learningRate.sgd", "epochs"), oddText),
				choice,
				{
					maxKeys: 6,
				},
			),
			origin: fc.constantFrom("default", "noise", "enqueued", "random", "model"),
			state: fc.constantFrom("running", "paused", "done", "pruned", "failed"),
			trained: part,
			target: part,
			values: fc.array(anyNumber, { minLength: objectives, maxLength: objectives }),
			seconds,
			reason: oddText,
		},
		{ requiredKeys: ["number", "settings", "origin", "state", "trained", "target", "seconds"] },
	);
}
const anyNumber = number;

const anyBaseline: fc.Arbitrary<SearchBaseline> = fc.oneof(
	fc.record(
		{ kind: fc.constant("run" as const), trials: fc.nat(), seconds, validationLoss: number, testLoss: number },
		{ requiredKeys: ["kind", "trials", "seconds", "validationLoss"] },
	),
	fc.record({
		kind: fc.constant("replayed" as const),
		times: fc.constantFrom(1, 2, 3.5),
		runs: fc.nat(),
		expected: number,
		optimistic: number,
		pessimistic: number,
	}),
	fc.record({ kind: fc.constant("unknown" as const), reason: oddText }),
);

export const anyReport: fc.Arbitrary<SearchReport> = anyObjectives.chain((objectives) => {
	const trial = anyTrial({ objectives: objectives.length });
	const pair = fc.record({ before: number, winner: number });
	return fc.array(trial, { minLength: 1, maxLength: 6 }).chain((ranking) => {
		const some = fc.subarray(
			ranking.map(({ number }) => number),
			{ minLength: 1 },
		);
		const effect = fc.array(fc.record({ value: choice, mean: number, deviation: number }), { maxLength: 40 });
		return fc.record<SearchReport>(
			{
				objectives: fc.constant(objectives),
				ranking: fc.constant(ranking),
				trials: fc.nat(),
				noise: fc.record({ deviation: number, margin: number, seeds: fc.nat() }),
				ties: some,
				winner: fc.tuple(trial, oddText).map(([one, config]) => ({ ...one, config: config.replace(/\s/g, "_") })),
				front: some,
				validationLoss: pair,
				testLoss: pair,
				importance: fc.record({
					method: fc.constant("fANOVA (random forest; Hutter et al. 2014)" as const),
					parameters: fc.array(fc.record({ name: oddText, importance: number, effect }), { maxLength: 4 }),
					interactions: number,
					trials: fc.nat(),
				}),
				baselines: fc.array(anyBaseline, { maxLength: 3 }),
				seconds: fc.record({ total: seconds, training: seconds, evaluating: seconds, other: seconds }),
				next: fc.array(oddText, { maxLength: 3 }),
			},
			{
				requiredKeys: [
					"objectives",
					"ranking",
					"trials",
					"ties",
					"winner",
					"front",
					"validationLoss",
					"baselines",
					"seconds",
					"next",
				],
			},
		);
	});
});

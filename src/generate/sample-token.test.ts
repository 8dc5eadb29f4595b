// Sampling against Transformers' probabilities, and against a slow twin that sorts the whole vocabulary.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { argmax, type SamplingOptions, sampleToken } from "./sample-token.ts";

interface Case {
	settings: SamplingOptions;
	history: number[];
	logits: number[];
	probabilities: number[];
}

const cases = JSON.parse(
	readFileSync(join(import.meta.dirname, "../../test/fixtures/sampling/sampling.json"), "utf8"),
) as Case[];

/** How often each token comes when the random number goes through [0, 1) evenly: its probability, within 1 / draws. */
function shares(logits: Float32Array, options: SamplingOptions & { history?: number[] }, draws: number): number[] {
	const counts = new Array<number>(logits.length).fill(0);
	for (let i = 0; i < draws; i++) {
		const id = sampleToken(logits, { ...options, rng: { uniform: () => (i + 0.5) / draws } });
		counts[id] = (counts[id] as number) + 1;
	}
	return counts.map((count) => count / draws);
}

test.each(cases)("Transformers draws from the same probabilities: $settings", ({ settings, ...given }) => {
	const draws = 2000;
	const actual = shares(Float32Array.from(given.logits), { ...settings, history: given.history }, draws);
	actual.forEach((share, id) => {
		expect(Math.abs(share - (given.probabilities[id] as number)), `token ${id}`).toBeLessThanOrEqual(1.01 / draws);
		if (given.probabilities[id] === 0) expect(share).toBe(0);
	});
});

/** Ids that may be drawn, by the definitions: everything sorted, nothing left out early. */
function support(logits: number[], { temperature = 1, topK = logits.length, topP = 1, minP = 0 }: SamplingOptions) {
	const top = Math.max(...logits);
	const sorted = logits
		.map((logit, id) => ({ id, weight: Math.exp((logit - top) / temperature) }))
		.sort((a, b) => b.weight - a.weight || a.id - b.id)
		.slice(0, topK);
	const total = sorted.reduce((sum, { weight }) => sum + weight, 0);
	let mass = 0;
	const nucleus = sorted.filter(({ weight }) => {
		const wanted = mass < topP * total * (1 - 1e-12);
		mass += weight;
		return wanted;
	});
	return nucleus.filter(({ weight }) => weight >= minP).map(({ id }) => id);
}

test("what is drawn is in the support of the slow twin, and all of it that is likely is drawn", () => {
	const options = fc.record({
		temperature: fc.double({ min: 0.05, max: 20, noNaN: true }),
		topK: fc.option(fc.integer({ min: 1, max: 60 }), { nil: undefined }),
		topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
		minP: fc.double({ min: 0, max: 1, noNaN: true }),
	});
	// Eighths: two logits that differ by less would have one weight by rounding.
	const logits = fc.array(
		fc.integer({ min: -320, max: 320 }).map((eighths) => eighths / 8),
		{ minLength: 1, maxLength: 50 },
	);
	fc.assert(
		fc.property(logits, options, (values, { topK, ...rest }) => {
			const settings = { ...rest, ...(topK !== undefined && { topK }) };
			const allowed = new Set(support(values, settings));
			const drawn = shares(Float32Array.from(values), settings, 200);
			drawn.forEach((share, id) => {
				if (share > 0) expect(allowed).toContain(id);
			});
			const top = Math.max(...values);
			const weights = values.map((value, id) => (allowed.has(id) ? Math.exp((value - top) / settings.temperature) : 0));
			const total = weights.reduce((sum, weight) => sum + weight, 0);
			for (const [id, weight] of weights.entries()) {
				if (weight / total > 0.011) expect(drawn[id], `token ${id}`).toBeGreaterThan(0);
			}
		}),
	);
});

describe("greedy", () => {
	const logits = Float32Array.of(1, 5, 5, -2);

	test.each<SamplingOptions>([{ temperature: 0 }, { topK: 1 }, { minP: 1 }])("%o takes the likeliest", (options) => {
		const id = sampleToken(logits, { ...options, rng: new Rng(1) });
		expect(logits[id]).toBe(5);
	});

	test("the first of equals, without a random number", () => {
		const rng = {
			uniform: () => {
				throw new Error("greedy needs no luck");
			},
		};
		expect(sampleToken(logits, { temperature: 0, rng })).toBe(1);
	});

	test("the penalty may turn the order, and tells positive scores from negative ones", () => {
		const greedy = (values: number[], history: number[]) =>
			sampleToken(Float32Array.from(values), { temperature: 0, repetitionPenalty: 2, history, rng: new Rng(1) });
		expect(greedy([4, 3], [0])).toBe(1);
		expect(greedy([4, 3], [0, 0, 1])).toBe(0);
		expect(greedy([-2, -3], [0])).toBe(1);
		const kept = Float32Array.of(4, 3);
		sampleToken(kept, { repetitionPenalty: 2, history: [0], rng: new Rng(1) });
		expect([...kept]).toEqual([4, 3]);
	});
});

test("a seed gives the same tokens, another seed others", () => {
	const logits = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i));
	const draw = (seed: number) => {
		const rng = new Rng(seed);
		return Array.from({ length: 20 }, () => sampleToken(logits, { rng, topP: 0.9 }));
	};
	expect(draw(1)).toEqual(draw(1));
	expect(draw(1)).not.toEqual(draw(2));
});

test("tokens that are ruled out (-Infinity) are never drawn, however hot", () => {
	const logits = Float32Array.of(-Infinity, 0, -Infinity, -1);
	expect(shares(logits, { temperature: 100 }, 100)[0]).toBe(0);
	expect(shares(logits, { temperature: 100, topK: 3 }, 100)[2]).toBe(0);
});

test.each([
	[[Number.NaN, 1], "at the beginning"],
	[[1, Number.NaN, 2], "in the middle"],
	[[1, Infinity], "without end"],
	[[-Infinity, -Infinity], "with nothing left"],
])("logits that are no numbers are named, and not a token made of them: %j %s", (values) => {
	for (const temperature of [0, 1]) {
		const draw = () => sampleToken(Float32Array.from(values), { temperature, topP: 0.9, rng: new Rng(1) });
		expect(draw).toThrowError(expect.objectContaining({ code: "LOGITS_NOT_FINITE" }));
	}
});

test("argmax", () => {
	expect([argmax(Float32Array.of(3)), argmax(Float32Array.of(-3, -1, -1))]).toEqual([0, 1]);
});

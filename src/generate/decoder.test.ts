// The decoder against PyTorch's greedy continuation, and against itself: cached equals uncached.

import { describe, expect, test } from "vitest";
import { difference, fixtureNames, loadFixture } from "../models/testing/gpt2-fixture.ts";
import { Decoder } from "./decoder.ts";
import { argmax } from "./sample-token.ts";

describe.each(fixtureNames)("%s", (name) => {
	test("greedy tokens and their logits equal PyTorch's", async () => {
		const fixture = await loadFixture(name);
		const { vocabulary } = fixture.architecture.sizes(fixture.config);
		const oracle = fixture.oracle.get("generation.logits") as Float32Array;
		const decoder = await Decoder.create(fixture, { threads: 1 });
		let logits = await decoder.feed(fixture.expected.prompt);
		const tokens: number[] = [];
		// The fixture may run past the model's context by sliding; what fits is compared.
		while (tokens.length < fixture.expected.continuation.length) {
			const row = oracle.subarray(tokens.length * vocabulary, (tokens.length + 1) * vocabulary);
			expect(difference(logits, row), `token ${tokens.length}`).toBeLessThan(1e-5);
			const token = argmax(logits);
			tokens.push(token);
			if (decoder.ids.length === decoder.context || tokens.length === fixture.expected.continuation.length) break;
			logits = await decoder.feed([token]);
		}
		expect(tokens).toEqual(fixture.expected.continuation.slice(0, tokens.length));
		expect(tokens.length).toBeGreaterThan(15);
		decoder.dispose();
	});

	test("one by one, at once, and continued from a shared beginning give the same logits", async () => {
		const fixture = await loadFixture(name);
		const ids = [...fixture.expected.prompt, ...fixture.expected.continuation].slice(0, 12);
		const atOnce = await Decoder.create(fixture, { threads: 1 });
		const whole = (await atOnce.feed(ids)).slice();
		const stepwise = await Decoder.create(fixture, { threads: 1 });
		let last = new Float32Array();
		for (const id of ids) last = (await stepwise.feed([id])).slice();
		expect(difference(last, whole)).toBeLessThan(1e-5);
		const other = await stepwise.continueFrom([...ids.slice(0, 6), 3, 2, 1]);
		expect(stepwise.ids).toEqual([...ids.slice(0, 6), 3, 2, 1]);
		const fresh = await atOnce.continueFrom([7]).then(() => atOnce.continueFrom([...ids.slice(0, 6), 3, 2, 1]));
		expect(difference(other, fresh)).toBeLessThan(1e-5);
		atOnce.dispose();
		stepwise.dispose();
	});

	test("packed matrices and those where they lie give the same logits", async () => {
		const fixture = await loadFixture(name);
		const logits: Float32Array[] = [];
		for (const pack of [true, false]) {
			const decoder = await Decoder.create(fixture, { threads: 1, pack });
			await decoder.feed(fixture.expected.prompt);
			logits.push((await decoder.feed([1])).slice());
			decoder.dispose();
		}
		expect(difference(logits[0] as Float32Array, logits[1] as Float32Array)).toBeLessThan(1e-5);
	});

	test("a text longer than the context is refused by name", async () => {
		const fixture = await loadFixture(name);
		const decoder = await Decoder.create(fixture, { threads: 1 });
		await expect(decoder.feed(Array(decoder.context + 1).fill(1))).rejects.toMatchObject({ code: "CONTEXT_FULL" });
		decoder.dispose();
	});
});

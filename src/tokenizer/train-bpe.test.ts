import fc from "fast-check";
import { expect, test } from "vitest";
import { fixtureCases, fixtureText } from "./testing/fixture.ts";
import { anyText } from "./testing/texts.ts";
import { tokenizerFromFiles } from "./tokenizer.ts";
import { type TrainBpeEvent, trainBpe, trainBpeEvents } from "./train-bpe.ts";
import { wellFormed } from "./well-formed.ts";

interface Run {
	vocabularySize: number;
	minFrequency: number;
	specialTokens: string[];
	size: number;
	merges: string[];
}

const corpus = fixtureText("bpe-corpus.txt").split("\n");

test.each(fixtureCases<Run>("bpe-merges.json"))(
	"learns the merges of Hugging Face tokenizers: $vocabularySize tokens, at least $minFrequency times",
	async (run) => {
		const tokenizer = await trainBpe(corpus, run);
		const { model } = JSON.parse(tokenizer.files()["tokenizer.json"]);
		expect(model.merges.map((pair: [string, string]) => pair.join(" "))).toEqual(run.merges);
		expect(tokenizer.size).toBe(run.size);
		expect(tokenizer.endOfTextId).toBe(0);
		run.specialTokens.forEach((token, i) => {
			expect(tokenizer.tokenId(token)).toBe(i + 1);
		});
	},
);

test("text it never saw comes back the same", async () => {
	const tokenizer = await trainBpe(corpus, { vocabularySize: 500, specialTokens: ["<bot>"] });
	const again = tokenizerFromFiles(tokenizer.files());
	fc.assert(
		fc.property(anyText, (text) => {
			const ids = tokenizer.encode(text);
			expect(tokenizer.decode(ids)).toBe(wellFormed(text));
			expect(again.encode(text)).toEqual(ids);
			expect(ids.some((id) => tokenizer.isSpecial(id))).toBe(false);
		}),
		{ numRuns: 200 },
	);
});

test("one long word is merged like any other", async () => {
	const tokenizer = await trainBpe([`${"天地玄黄".repeat(20_000)}`], { vocabularySize: 300 });
	expect(tokenizer.decode(tokenizer.encode("天地玄黄"))).toBe("天地玄黄");
	expect(tokenizer.encode("天地玄黄".repeat(4)).length).toBeLessThan(10);
});

test("takes an async iterable and tells its progress", async () => {
	async function* lines() {
		yield* corpus;
	}
	const events: TrainBpeEvent[] = [];
	for await (const event of trainBpeEvents(lines(), { vocabularySize: 700 })) events.push(event);
	expect(events[0]).toMatchObject({ type: "texts-counted", texts: corpus.length });
	expect(events.filter(({ type }) => type === "merges-learned")).toHaveLength(4);
	expect(events.at(-1)).toMatchObject({ type: "tokenizer-done", merges: 443, wanted: 443 });
});

test("stops when it is told to", async () => {
	const controller = new AbortController();
	const events = trainBpeEvents(corpus, { vocabularySize: 1000, signal: controller.signal });
	await events.next();
	controller.abort(new Error("enough"));
	await expect(events.next()).rejects.toThrow("enough");
});

test("an impossible size and a missing text are errors by name", async () => {
	for (const vocabularySize of [0, 256, 300.5, Number.NaN]) {
		await expect(trainBpe(corpus, { vocabularySize })).rejects.toThrow(
			expect.objectContaining({ code: "TOKENIZER_VOCABULARY_SIZE" }),
		);
	}
	await expect(trainBpe(["", ""], { vocabularySize: 300 })).rejects.toThrow(
		expect.objectContaining({ code: "TOKENIZER_NO_TEXT" }),
	);
});

test("a special token that text would become is an error by name", async () => {
	const train = (special: string) => trainBpe(["tea,tea,tea"], { vocabularySize: 300, specialTokens: [special] });
	await expect(train("t")).rejects.toThrow(expect.objectContaining({ code: "TOKENIZER_TOKEN_TAKEN" }));
	await expect(train("tea")).rejects.toThrow(expect.objectContaining({ code: "TOKENIZER_SPECIAL_IN_TEXT" }));
});

test("257 tokens are the bytes and the end", async () => {
	const tokenizer = await trainBpe(["a"], { vocabularySize: 257 });
	expect([tokenizer.size, tokenizer.encode("aé").length]).toEqual([257, 3]);
});

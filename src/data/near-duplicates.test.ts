import { describe, expect, test } from "vitest";
import { Rng } from "../util/rng.ts";
import { comparable, fingerprintOf, SeenRows, type Sides, sidesOf } from "./fingerprint.ts";
import { jaccard, NearDuplicateIndex, nearness, shingles } from "./near-duplicates.ts";

const words =
	"order parcel refund delivery invoice late blue coat please where when how my the a is 订单 退款 发票 快递".split(
		" ",
	);
const sentence = (rng: Rng, length: number) => Array.from({ length }, () => words[rng.integer(words.length)]).join(" ");
const isNear = (a: Sides, b: Sides) =>
	jaccard(shingles(a.asked), shingles(b.asked)) >= nearness &&
	jaccard(shingles(a.answered), shingles(b.answered)) >= nearness;

/** The text with a share of its words replaced. */
function edited(rng: Rng, text: string, share: number): string {
	return text
		.split(" ")
		.map((word) => (rng.uniform() < share ? (words[rng.integer(words.length)] as string) : word))
		.join(" ");
}

test("finds what comparing every pair finds", () => {
	const rng = new Rng(1);
	const base = Array.from({ length: 60 }, () => ({
		asked: sentence(rng, 8 + rng.integer(30)),
		answered: sentence(rng, 8 + rng.integer(60)),
	}));
	const index = new NearDuplicateIndex();
	for (const row of base) index.add(row);
	let expected = 0;
	let found = 0;
	for (let i = 0; i < 300; i++) {
		const row = base[i % base.length] as Sides;
		const share = (i % 4) * 0.03;
		const query = { asked: edited(rng, row.asked, share), answered: edited(rng, row.answered, share) };
		const truth = base.flatMap((other, number) => (isNear(query, other) ? [number] : []));
		const near = index.near(query);
		// The exact comparison decides, so nothing is named wrongly; the hashes may miss a pair just above the bound.
		for (const number of near) expect(truth).toContain(number);
		expected += truth.length;
		found += near.length;
	}
	expect(expected).toBeGreaterThan(100);
	expect(found / expected).toBeGreaterThan(0.995);
});

describe("what counts as a near-duplicate", () => {
	const answer = "I would be glad to help you with your order, it will arrive on Friday.";
	const row = { asked: "where is my blue coat, I ordered it on monday?", answered: answer };
	const near = (asked: string, answered: string) => {
		const index = new NearDuplicateIndex();
		const of = (question: string, reply: string) =>
			sidesOf([
				{ role: "user", content: question },
				{ role: "assistant", content: reply },
			]);
		index.add(of(row.asked, row.answered));
		return index.near(of(asked, answered)).length === 1;
	};

	test("the same in another case, width or punctuation", () => {
		expect(near("Where is my BLUE coat? I ordered it on monday", answer.replace("Friday.", "Ｆriday!!"))).toBe(true);
	});
	test("a small edit", () => {
		expect(near("where is my blue coat, I ordered it on mondays?", answer)).toBe(true);
	});
	test("not the same answer to another question", () => {
		expect(near("can I pay with a card or on invoice?", answer)).toBe(false);
	});
	test("not another answer to the same question", () => {
		expect(near(row.asked, "Sorry, the parcel was lost. We refund you.")).toBe(false);
	});
});

test("comparable text keeps letters and digits of every script, and the text when there are none", () => {
	expect(comparable("  Ｈéllo,\n WORLD! 你好。42 ")).toBe("héllo world 你好 42");
	expect(comparable("?!")).toBe("?!");
});

test("seen rows are known by what they say; many rows do not collide", () => {
	const seen = new SeenRows();
	const print = (n: number) => fingerprintOf({ asked: `question ${n}`, answered: `answer ${n % 7}` });
	for (let n = 0; n < 20_000; n++) expect(seen.add(print(n), { file: `f${n >> 12}`, line: n + 1 })).toBe(undefined);
	for (let n = 0; n < 20_000; n += 97)
		expect(seen.add(print(n), { file: "x", line: 1 })).toEqual({ file: `f${n >> 12}`, line: n + 1 });
	expect(fingerprintOf({ asked: "a", answered: "bc" })).not.toBe(fingerprintOf({ asked: "ab", answered: "c" }));
});

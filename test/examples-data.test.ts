// The example dialogue set keeps its promises: shapes, counts, the shop's facts, and a held-out part that training never met.
// Not a test of the data readers: it reads the files with JSON.parse alone.
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";

type Turn = { role: string; content: string };

const folder = resolve(import.meta.dirname, "../examples/customer-service");
const read = (file: string) =>
	new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(readFileSync(resolve(folder, file)));
const lines = (file: string) => read(file).trimEnd().split("\n");

const pairs = (file: string): Turn[][] =>
	(JSON.parse(read(file)) as { input: string; output: string }[]).map(({ input, output }) => [
		{ role: "user", content: input },
		{ role: "assistant", content: output },
	]);
const messages = (file: string): Turn[][] =>
	lines(file).map((line) => (JSON.parse(line) as { messages: Turn[] }).messages);

const single = [...pairs("train.en.json"), ...pairs("train.zh.json")];
const multi = messages("train.multi.jsonl");
const heldOut = messages("held-out.jsonl");
const train = [...single, ...multi];
const all = [...train, ...heldOut];

const said = (turns: Turn[], role: string) => turns.filter((turn) => turn.role === role).map((turn) => turn.content);
const isChinese = (turns: Turn[]) => /\p{Script=Han}/u.test(said(turns, "user").join());
const answers = all.flatMap((turns) => said(turns, "assistant"));

test("no file has a byte order mark or a replacement character", () => {
	for (const file of ["train.en.json", "train.zh.json", "train.multi.jsonl", "held-out.jsonl", "questions.txt"])
		expect(read(file), file).not.toMatch(/\uFEFF|\uFFFD|\r/u);
});

test("the set is as large and as balanced as its README says", () => {
	expect([single.length, multi.length, heldOut.length, all.length]).toEqual([522, 160, 76, 758]);
	for (const part of [single, multi, heldOut]) {
		const share = part.filter(isChinese).length / part.length;
		expect(share).toBeGreaterThan(0.45);
		expect(share).toBeLessThan(0.55);
	}
	expect(pairs("train.en.json").some(isChinese)).toBe(false);
	expect(pairs("train.zh.json").every(isChinese)).toBe(true);
	expect(read("README.md")).toContain(`${all.length} conversations`);
});

test("every conversation is [system,] user, assistant, ... and ends with the assistant", () => {
	for (const turns of all) {
		const roles = turns.map((turn) => turn.role).join(" ");
		expect(roles, JSON.stringify(turns)).toMatch(/^(system )?user assistant( user assistant){0,4}$/);
		for (const { content } of turns) expect(content).toBe(content.trim());
		expect(turns.every((turn) => turn.content.length > 0)).toBe(true);
		expect(turns.reduce((sum, turn) => sum + turn.content.length, 0)).toBeLessThan(600);
	}
	expect(multi.every((turns) => said(turns, "user").length >= 2)).toBe(true);
});

test("Pip answers in the customer's language", () => {
	for (const turns of all)
		for (const answer of said(turns, "assistant"))
			expect(/\p{Script=Han}/u.test(answer), answer).toBe(isChinese(turns));
});

test("held-out conversations neither repeat nor nearly repeat a training conversation", () => {
	const seen = train.map((turns) => shingles(said(turns, "user").join(" ")));
	const questions = new Set(train.flatMap((turns) => said(turns, "user")).map(normal));
	for (const turns of heldOut) {
		for (const question of said(turns, "user")) expect(questions.has(normal(question)), question).toBe(false);
		const mine = shingles(said(turns, "user").join(" "));
		const nearest = Math.max(...seen.map((other) => jaccard(mine, other)));
		expect(nearest, said(turns, "user").join(" / ")).toBeLessThan(0.4);
	}
});

test("no conversation occurs twice", () => {
	const texts = all.map((turns) => turns.map((turn) => normal(turn.content)).join("|"));
	expect(new Set(texts).size).toBe(texts.length);
	const openings = single.map((turns) => normal(said(turns, "user").join()));
	expect(new Set(openings).size).toBe(openings.length);
});

test("the demo's questions are openings of held-out conversations in both languages", () => {
	const openings = heldOut.map((turns) => said(turns, "user")[0]);
	const questions = lines("questions.txt");
	expect(questions).toHaveLength(3);
	for (const question of questions) expect(openings).toContain(question);
	expect(questions.filter((question) => /\p{Script=Han}/u.test(question))).toHaveLength(1);
});

/** A pattern, what its groups may hold, and how often at least the fact must be told: a fact told once is not learnt. */
const facts: { fact: RegExp; always: string; atLeast: number }[] = [
	{ fact: /(\d+) days from delivery/g, always: "30", atLeast: 15 },
	{ fact: /收到后(\d+)天/g, always: "30", atLeast: 15 },
	{ fact: /photo [^.]*within (\d+) days/g, always: "14", atLeast: 5 },
	{ fact: /(\d+)天内[^。]*照片/g, always: "14", atLeast: 5 },
	{ fact: /refund[^.]* (\d+) working days/g, always: "5", atLeast: 4 },
	{ fact: /(\d+)个工作日内退款/g, always: "5", atLeast: 4 },
	{ fact: /Standard delivery takes (\d+ to \d+) working days/g, always: "3 to 5", atLeast: 6 },
	{ fact: /标准配送(?:再)?需要(\d+到\d+)个工作日/g, always: "3到5", atLeast: 6 },
	{ fact: /free from (\d+) euros/g, always: "50", atLeast: 6 },
	{ fact: /满(\d+)欧元包邮/g, always: "50", atLeast: 6 },
	{ fact: /Standard (?:delivery )?costs (\d+) euros/gi, always: "4", atLeast: 4 },
	{ fact: /标准配送(\d+)欧元/g, always: "4", atLeast: 4 },
	{ fact: /[Ee]xpress (?:always )?(?:costs|for) (\d+) euros/g, always: "9", atLeast: 4 },
	{ fact: /加急(?:一律)?(\d+)欧元/g, always: "9", atLeast: 3 },
	{ fact: /before (\d+) pm/g, always: "2", atLeast: 6 },
	{ fact: /下午(\d+)点前/g, always: "2", atLeast: 6 },
	{ fact: /Tuesday to Saturday, (\d+ am to \d+ pm)/g, always: "10 am to 6 pm", atLeast: 8 },
	{ fact: /周二到周六，(上午\d+点到下午\d+点)/g, always: "上午10点到下午6点", atLeast: 8 },
	{ fact: /Monday to Friday, (\d+ am to \d+ pm)/g, always: "9 am to 6 pm", atLeast: 5 },
	{ fact: /周一到周五(上午\d+点到下午\d+点)/g, always: "上午9点到下午6点", atLeast: 5 },
	{ fact: /(\d+)-year guarantee/g, always: "2", atLeast: 5 },
	{ fact: /(\d+)年保修/g, always: "2", atLeast: 5 },
	{ fact: /invoice within (\d+) days/g, always: "60", atLeast: 4 },
	{ fact: /(\d+)天内[^。]*更正发票/g, always: "60", atLeast: 4 },
	{ fact: /valid for (\d+) years/g, always: "3", atLeast: 4 },
	{ fact: /(\d+)年有效/g, always: "3", atLeast: 4 },
	{ fact: /100 leaves are worth (\d+) euros/g, always: "5", atLeast: 5 },
	{ fact: /100片叶子抵(\d+)欧元/g, always: "5", atLeast: 5 },
	{ fact: /\b([A-Z]{2}-\d+)\b/g, always: "PK-######", atLeast: 4 },
];

test.each(facts)("the shop never contradicts itself: $fact", ({ fact, always, atLeast }) => {
	const told = answers.flatMap((answer) => [...answer.matchAll(fact)].map((match) => match[1] as string));
	const values = always.includes("#") ? told.map((value) => value.replace(/\d/g, "#")) : told;
	expect(new Set(values)).toEqual(new Set([always]));
	expect(values.length).toBeGreaterThanOrEqual(atLeast);
});

function normal(text: string): string {
	return text.toLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");
}

/** Character 2-grams of Chinese, 4-grams of English: about a word's beginning each. */
function shingles(text: string): Set<string> {
	const letters = normal(text);
	const size = /\p{Script=Han}/u.test(letters) ? 2 : 4;
	return new Set(Array.from({ length: Math.max(0, letters.length - size + 1) }, (_, i) => letters.slice(i, i + size)));
}

function jaccard(a: Set<string>, b: Set<string>): number {
	const common = [...a].filter((item) => b.has(item)).length;
	return common / (a.size + b.size - common || 1);
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UserError } from "../util/errors.ts";
import { parseSpace } from "./parse-space.ts";
import { completePoint, contains, defaultPoint, fromUnit, intCell, toUnit, valuesOf } from "./point.ts";
import { categorical, float, int } from "./space.ts";

const DATA = {
	method: ["full", "lora"],
	rate: { type: "float", low: 1e-6, high: 1e-2, log: true, default: 1e-4 },
	rank: { type: "int", low: 1, high: 64, log: true, when: { method: "lora" } },
	batch: { type: "int", low: 8, high: 64, step: 8 },
};

describe("reading a space", () => {
	test("plain data, the short form of choices, and what the builders make are the same", () => {
		expect(parseSpace(DATA)).toEqual({
			method: categorical(["full", "lora"]),
			rate: float({ low: 1e-6, high: 1e-2, log: true, default: 1e-4 }),
			rank: int({ low: 1, high: 64, log: true, when: { method: "lora" } }),
			batch: int({ low: 8, high: 64, step: 8 }),
		});
		const space = parseSpace(DATA);
		expect(parseSpace(JSON.parse(JSON.stringify(space)))).toEqual(space);
		expect(defaultPoint(space)).toEqual({ method: "full", rate: 1e-4, batch: 40 });
	});

	test.each([
		["a list", [], "space"],
		["a type that is close", { x: { type: "flaot", low: 0, high: 1 } }, "space.x.type"],
		["a field that is close", { x: { type: "float", lo: 0, high: 1 } }, "space.x.lo"],
		["a number in quotes", { x: { type: "float", low: "1e-6", high: 1 } }, "space.x.low"],
		["an empty range", { x: { type: "float", low: 1, high: 1 } }, "space.x.high"],
		["log of zero", { x: { type: "float", low: 0, high: 1, log: true } }, "space.x.low"],
		["half an int", { x: { type: "int", low: 0.5, high: 2 } }, "space.x.low"],
		["steps that miss high", { x: { type: "int", low: 1, high: 8, step: 2 } }, "space.x.step"],
		["a default outside", { x: { type: "float", low: 0, high: 1, default: 2 } }, "space.x.default"],
		["no choices", { x: { type: "categorical", choices: [] } }, "space.x.choices"],
		["a choice twice", { x: ["a", "a"] }, "space.x.choices[1]"],
		["a choice that is a list", { x: [["a"]] }, "space.x.choices[0]"],
		["a parent below", { x: { type: "float", low: 0, high: 1, when: { y: "a" } }, y: ["a"] }, "space.x.when.y"],
		[
			"a parent that is a number",
			{ y: { type: "int", low: 0, high: 1 }, x: { type: "float", low: 0, high: 1, when: { y: 1 } } },
			"space.x.when.y",
		],
		["a value no parent has", { y: ["a"], x: { type: "float", low: 0, high: 1, when: { y: "b" } } }, "space.x.when.y"],
		["a name that is no name", { "1x": ["a"] }, "space.1x"],
		["a prototype", JSON.parse('{"__proto__":["a"]}'), "space.__proto__"],
		["the seed", { Random_Seed: { type: "int", low: 0, high: 9 } }, "space.Random_Seed"],
	])("%s is refused at its place", (_, data, where) => {
		try {
			parseSpace(data);
		} catch (error) {
			expect(error).toBeInstanceOf(UserError);
			expect((error as UserError).where).toBe(where);
			return;
		}
		expect.fail("accepted");
	});

	test("anything else is a space or a UserError", () => {
		fc.assert(
			fc.property(fc.dictionary(fc.string(), fc.anything({ maxDepth: 3 })), (data) => {
				try {
					parseSpace(data);
				} catch (error) {
					expect(error).toBeInstanceOf(UserError);
				}
			}),
			{ seed: 1, numRuns: 300 },
		);
	});
});

describe("points", () => {
	test("to the unit interval and back", () => {
		for (const parameter of [
			int({ low: 1, high: 64, log: true }),
			int({ low: -3, high: 12, step: 3 }),
			categorical(["a", null, 3, true]),
		]) {
			for (const value of valuesOf(parameter) ?? []) expect(fromUnit(parameter, toUnit(parameter, value))).toBe(value);
			fc.assert(
				fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (u) => contains(parameter, fromUnit(parameter, u))),
			);
		}
		const rate = float({ low: 1e-6, high: 1e-1, log: true });
		fc.assert(
			fc.property(
				fc.double({ min: 0, max: 1, noNaN: true }),
				(u) => Math.abs(toUnit(rate, fromUnit(rate, u)) - u) < 1e-9,
			),
		);
	});

	test("the cells of whole numbers tile the interval", () => {
		for (const parameter of [int({ low: 1, high: 9, log: true }), int({ low: 0, high: 20, step: 5 })]) {
			const cells = (valuesOf(parameter) as number[]).map((value) => intCell(parameter, value));
			expect(cells[0]?.[0]).toBe(0);
			expect(cells.at(-1)?.[1]).toBe(1);
			cells.slice(1).forEach(([from], i) => void expect(from).toBeCloseTo(cells[i]?.[1] as number, 12));
		}
	});

	test("given values are checked, missing ones are defaults", () => {
		const space = parseSpace(DATA);
		expect(completePoint(space, { method: "lora" })).toMatchObject({ method: "lora", rate: 1e-4 });
		expect(() => completePoint(space, { rank: 4 })).toThrow(/not active/);
		expect(() => completePoint(space, { rat: 4 })).toThrow(expect.objectContaining({ hint: 'Did you mean "rate"?' }));
		expect(() => completePoint(space, { batch: 9 })).toThrow(/not in the search space/);
		expect(() => completePoint(space, { toString: 9 } as never)).toThrow(UserError);
	});
});

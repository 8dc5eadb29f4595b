import { expect, test } from "vitest";
import { nameNonFinite, tagNonFinite, untagNonFinite } from "./json-numbers.ts";

const state = {
	loss: Number.NaN,
	best: [Number.POSITIVE_INFINITY, { low: Number.NEGATIVE_INFINITY, high: 0.1 + 0.2 }],
	text: "NaN",
	none: null,
	empty: {},
};

test("what was tagged comes back through JSON as it was; text that looks like a number stays text", () => {
	expect(untagNonFinite(JSON.parse(JSON.stringify(tagNonFinite(state))))).toEqual(state);
});

test("named numbers are readable and not null", () => {
	expect(JSON.stringify(state, nameNonFinite)).toBe(
		'{"loss":"NaN","best":["Infinity",{"low":"-Infinity","high":0.30000000000000004}],"text":"NaN","none":null,"empty":{}}',
	);
});

import fc from "fast-check";
import { expect, test } from "vitest";
import { findJsonMistake } from "./json-error.ts";

test("agrees with JSON.parse on what is JSON, over mutated JSON", () => {
	fc.assert(
		fc.property(
			fc.jsonValue(),
			fc.nat(),
			fc.nat(2),
			fc.constantFrom(
				"",
				'"',
				"{",
				"}",
				"[",
				"]",
				",",
				":",
				"\\",
				"\\u12",
				"-",
				".",
				"e",
				"0",
				"tru",
				"\n",
				"\t",
				"\u0001",
			),
			(value, position, removed, inserted) => {
				const json = JSON.stringify(value, null, position % 3);
				const at = position % (json.length + 1);
				const text = json.slice(0, at) + inserted + json.slice(at + removed);
				let valid = true;
				try {
					JSON.parse(text);
				} catch {
					valid = false;
				}
				const mistake = findJsonMistake(text);
				expect(mistake === undefined).toBe(valid);
				if (mistake === undefined) return;
				expect(mistake.offset).toBeLessThanOrEqual(text.length);
				// Nothing is wrong before the mistake: what stands there is the beginning of some JSON.
				expect(findJsonMistake(text.slice(0, mistake.offset))?.offset ?? mistake.offset).toBe(mistake.offset);
			},
		),
		{ numRuns: 3000, seed: 1 },
	);
});

test.each([
	['{"a": 1,}', 8, "a field name"],
	['{"a" 1}', 5, '":"'],
	["{'a': 1}", 1, "a field name"],
	['{"a": "x', 8, "the row ends"],
	['{"a": "x\ny"}', 8, "control character"],
	['{"a": NaN}', 6, "a value"],
	['{"a": 1} {"b": 2}', 9, "the end of the row"],
	['["\\x"]', 3, "an escape"],
])("%j is wrong at %i", (text, offset, message) => {
	expect(findJsonMistake(text)).toMatchObject({ offset, message: expect.stringContaining(message) });
});

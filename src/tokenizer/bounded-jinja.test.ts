import { describe, expect, test } from "vitest";
import { UserError } from "../util/errors.ts";
import { parseJinja } from "./bounded-jinja.ts";

const render = (text: string, variables = {}) => parseJinja(text)(variables);

test("renders what templates use", () => {
	expect(render("{% for i in range(1, 6, 2) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}")).toBe("1,3,5");
	expect(render("{{ x | trim }}{{ none is none }}{{ y is defined }}", { x: " a " })).toBe("atruefalse");
	expect(render("{% if strftime_now is defined %}clock{% else %}no clock{% endif %}")).toBe("no clock");
});

describe("stops", () => {
	const limit = (text: string) =>
		expect(() => render(text)).toThrow(expect.objectContaining({ code: "CHAT_TEMPLATE_LIMIT" }));

	test("loops in loops", () => {
		const loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}";
		limit(`${loops}x{% endfor %}{% endfor %}{% endfor %}`);
	});

	test("a range that is long", () => {
		limit("{{ range(1000000000) | length }}");
		limit("{{ range(0, 5, 0) | length }}");
	});

	test("text that doubles", () => {
		limit("{% set ns = namespace(s='0123456789') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}");
	});

	test("lists that double", () => {
		limit("{% set ns = namespace(s=[1,2]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}");
	});

	test("a text that is filled in again and again", () => {
		const grown =
			"{% set ns = namespace(s='aaaaaaaa') %}{% for i in range(6) %}{% set ns.s = ns.s.replace('a', ns.s) %}{% endfor %}";
		expect(() => render(grown)).toThrow(UserError);
	});

	test("macros that call themselves", () => limit("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"));

	test("deep nesting, in the template or while it is parsed", () => {
		expect(() => render(`{{ ${"(".repeat(20_000)}1${")".repeat(20_000)} }}`)).toThrow(UserError);
		limit(`{{ ${Array.from({ length: 600 }, () => "1").join(" + ")} }}`);
	});

	test("a template that is too long, or has blanks without end", () => {
		limit("x".repeat(70_000));
		limit(`a${" ".repeat(60_000)}b`);
	});
});

test("prototypes, constructors and globals are out of reach", () => {
	for (const expression of [
		"x.__proto__",
		"x.constructor",
		"x['__proto__']",
		"''.constructor",
		"[].constructor",
		"range.constructor",
		"raise_exception.constructor",
		"process",
		"globalThis",
		"self",
	]) {
		const value = (() => {
			try {
				return render(`{{ (${expression}) is defined }}`, { x: { a: 1 } });
			} catch (error) {
				expect(error).toBeInstanceOf(UserError);
				return "false";
			}
		})();
		expect(value, expression).toBe("false");
	}
	expect(() => render("{% set x.polluted = 1 %}", { x: { a: 1 } })).toThrow(UserError);
	render("{% set ns = namespace() %}{% set ns.__proto__ = {'polluted': 1} %}{% set ns.constructor = 1 %}");
	expect(({} as { polluted?: number }).polluted).toBeUndefined();
});

test("what cannot be parsed or evaluated is a UserError", () => {
	for (const text of [
		"{% for %}",
		"{{ 'a",
		"{% if x %}",
		"{{ x.y.z() }}",
		"{{ 1 + none }}",
		"{{ x | nonsense }}",
		"{% break %}",
	]) {
		expect(() => render(text), text).toThrow(UserError);
	}
});

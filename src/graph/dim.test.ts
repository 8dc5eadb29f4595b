import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { broadcast, type Dim, divideDim, formatShape, multiplyDims, resolveDim, sameShape } from "./dim.ts";
import { broadcastShapes } from "./testing/array.ts";

const sizes = { B: 2, T: 3, N: 5, R: 7 };
const name = fc.constantFrom(...Object.keys(sizes));
/** Known sizes, names, and products written in any order. */
const dim: fc.Arbitrary<Dim> = fc.oneof(
	fc.integer({ min: 1, max: 12 }),
	name,
	fc
		.tuple(fc.integer({ min: 1, max: 4 }), fc.array(name, { minLength: 1, maxLength: 3 }))
		.map(([n, names]) => [n, ...names].join("*")),
	fc.array(name, { minLength: 2, maxLength: 3 }).map((names) => names.join("*")),
);

describe("products", () => {
	test("written in one way", () => {
		expect(multiplyDims(["T", 2, "B"])).toBe("2*B*T");
		expect(multiplyDims(["T*B"])).toBe("B*T");
		expect(multiplyDims(["1*T"])).toBe("T");
		expect(multiplyDims([2, 3])).toBe(6);
		expect(multiplyDims(["B", 0])).toBe(0);
		expect(multiplyDims([])).toBe(1);
	});

	test("do not depend on order or grouping, and mean the product", () => {
		fc.assert(
			fc.property(dim, dim, dim, (a, b, c) => {
				const product = multiplyDims([a, b, c]);
				expect(multiplyDims([c, a, b])).toBe(product);
				expect(multiplyDims([a, multiplyDims([b, c])])).toBe(product);
				expect(multiplyDims([product])).toBe(product);
				const value = (x: Dim) => resolveDim(x, sizes);
				expect(value(product)).toBe(value(a) * value(b) * value(c));
			}),
		);
	});

	test("are undone by division", () => {
		fc.assert(
			fc.property(dim, dim, (a, b) => {
				expect(divideDim(multiplyDims([a, b]), b)).toBe(multiplyDims([a]));
				const quotient = divideDim(a, b);
				if (quotient !== undefined) expect(multiplyDims([quotient, b])).toBe(multiplyDims([a]));
			}),
		);
	});

	test("have no quotient that is not known to be whole", () => {
		expect(divideDim("B", 2)).toBeUndefined();
		expect(divideDim("B*T", "N")).toBeUndefined();
		expect(divideDim("B", "B*B")).toBeUndefined();
		expect(divideDim(7, 2)).toBeUndefined();
		expect(divideDim(7, 0)).toBeUndefined();
	});

	test("need every size", () => {
		expect(() => resolveDim("2*B*X", sizes)).toThrow('dimension X of "2*B*X" has no size');
	});
});

describe("broadcasting", () => {
	const shape = fc.array(fc.constantFrom<Dim>(1, 1, 2, 3, "B", "T", "B*T"), { maxLength: 4 });

	test("either way round, and with itself, and with a scalar", () => {
		fc.assert(
			fc.property(shape, shape, (a, b) => {
				expect(broadcast(a, b)).toEqual(broadcast(b, a));
				expect(broadcast(a, a)).toEqual(a);
				expect(broadcast(a, [])).toEqual(a);
				const once = broadcast(a, b);
				if (once) expect(broadcast(once, b)).toEqual(once);
			}),
		);
	});

	test("of numbers is NumPy's", () => {
		const numbers = fc.array(fc.constantFrom(1, 2, 3), { maxLength: 4 });
		fc.assert(
			fc.property(numbers, numbers, (a, b) => {
				let expected: number[] | undefined;
				try {
					expected = broadcastShapes(a, b);
				} catch {
					expected = undefined;
				}
				expect(broadcast(a, b)).toEqual(expected);
			}),
		);
	});

	test("of a name only with itself or 1", () => {
		expect(broadcast(["B", 1], ["T"])).toEqual(["B", "T"]);
		expect(broadcast(["B"], ["T"])).toBeUndefined();
		expect(broadcast(["B"], [2])).toBeUndefined();
	});
});

test("shapes are the same when every axis is", () => {
	expect(sameShape(["B", 2], ["B", 2])).toBe(true);
	expect(sameShape(["B", 2], ["B", 2, 1])).toBe(false);
	expect(sameShape(["B"], [2])).toBe(false);
	expect(formatShape(["B*T", 768])).toBe("[B*T, 768]");
});

// What an operator of the graph declares: its domain, its attributes and how types and shapes follow from the inputs.

import type { DType } from "../../runtime/index.ts";
import { broadcast, formatShape, type Shape } from "../dim.ts";

export interface TypedShape {
	readonly dtype: DType;
	readonly shape: Shape;
	/** For a vector that holds a shape (the result of `Shape`): that shape, in symbols. */
	readonly shapeOf?: Shape;
}

/** An input as inference sees it: `constant` is there when its contents are known while building. */
export interface OpInput extends TypedShape {
	readonly name: string;
	readonly constant?: ArrayLike<number | bigint>;
}

export type AttributeKind = "int" | "float" | "string" | "ints";
export type AttributeValue = number | string | readonly number[];
export type Attributes = Readonly<Record<string, AttributeValue>>;

export interface OpDefinition {
	/** Empty for ai.onnx. */
	readonly domain: "" | "com.microsoft";
	readonly attributes: Readonly<Record<string, AttributeKind>>;
	/** Types and shapes of the outputs. Throws a plain Error with the reason when the inputs do not fit. */
	infer(
		inputs: readonly (OpInput | undefined)[],
		attributes: Attributes,
		freshName: (hint: string) => string,
	): readonly TypedShape[];
}

/** The input at `index`; throws when it is absent. */
export function need(inputs: readonly (OpInput | undefined)[], index: number): OpInput {
	const input = inputs[index];
	if (!input) throw new Error(`input ${index} is missing`);
	return input;
}

export function needSameType(a: TypedShape, b: TypedShape): DType {
	if (a.dtype !== b.dtype) throw new Error(`types differ: ${a.dtype} and ${b.dtype}`);
	return a.dtype;
}

const floats: readonly DType[] = ["float32", "float64", "float16", "bfloat16"];

export function needFloat(x: OpInput): OpInput {
	if (!floats.includes(x.dtype)) throw new Error(`"${x.name}" is ${x.dtype}, not floating point`);
	return x;
}

export function needNumber(x: OpInput): OpInput {
	if (x.dtype === "bool") throw new Error(`"${x.name}" is bool, not a number`);
	return x;
}

export function needInteger(x: OpInput): OpInput {
	if (x.dtype === "bool" || floats.includes(x.dtype)) throw new Error(`"${x.name}" is ${x.dtype}, not an integer`);
	return x;
}

/** Throws when there are more inputs than the operator knows. */
export function needAtMost(inputs: readonly unknown[], most: number): void {
	if (inputs.length > most) throw new Error(`${inputs.length} inputs, at most ${most} are known`);
}

export function needBroadcast(a: Shape, b: Shape): Shape {
	const shape = broadcast(a, b);
	if (!shape) throw new Error(`shapes ${formatShape(a)} and ${formatShape(b)} do not broadcast`);
	return shape;
}

/** The contents of a constant input (axes, a shape) as numbers. */
export function needConstant(inputs: readonly (OpInput | undefined)[], index: number): number[] {
	const { constant, name } = need(inputs, index);
	if (!constant) throw new Error(`input ${index} ("${name}") must be a constant`);
	return Array.from(constant, Number);
}

/** The shape that input `index` holds: a constant, or the result of `Shape` on another value. */
export function needShape(inputs: readonly (OpInput | undefined)[], index: number): Shape {
	const shape = heldShape(need(inputs, index));
	if (!shape) throw new Error(`input ${index} holds no shape that is known while building`);
	return shape;
}

/** The shape that a vector of int64 is known to hold. */
export function heldShape({ dtype, shape, shapeOf, constant }: OpInput): Shape | undefined {
	if (dtype !== "int64" || shape.length !== 1) return undefined;
	if (shape[0] === 0) return [];
	return shapeOf ?? (constant && Array.from(constant, Number));
}

/** A possibly negative axis as an index from the front. */
export function normalizeAxis(axis: number, rank: number): number {
	const index = axis < 0 ? axis + rank : axis;
	if (!Number.isInteger(axis) || index < 0 || index >= rank) throw new Error(`axis ${axis} is outside rank ${rank}`);
	return index;
}

export function intAttribute(attributes: Attributes, name: string, fallback: number): number {
	return (attributes[name] as number | undefined) ?? fallback;
}

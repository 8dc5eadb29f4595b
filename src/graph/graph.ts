// The intermediate representation: a list of ONNX operators in the order they were added, which is a valid order of
// execution. Values know their type and (symbolic) shape; both are checked when a node is added, so that a mistake is
// reported where it is made. Weights are inputs or external initializers, never bytes inside the graph.

import type { DType } from "../runtime/index.ts";
import { formatShape, multiplyDims, type Shape } from "./dim.ts";
import { type OpName, ops } from "./ops/index.ts";
import type { AttributeKind, Attributes, AttributeValue, TypedShape } from "./ops/op.ts";

/** One tensor of a graph. Its node is undefined for inputs, initializers and constants. */
export interface Value extends TypedShape {
	readonly graph: Graph;
	readonly name: string;
	readonly node: Node | undefined;
	/** Present when the value is a constant of the graph. */
	readonly constant?: ConstantData;
}

export type ConstantData = Float32Array | BigInt64Array | Int32Array | Uint8Array | Float64Array | Uint32Array;

export interface Node {
	readonly op: OpName;
	/** undefined: an optional input that is absent. */
	readonly inputs: readonly (Value | undefined)[];
	readonly outputs: readonly Value[];
	readonly attributes: Attributes;
}

/** A shape or type that an operator does not accept: our own mistake while building, hence not a UserError. */
export class GraphError extends Error {
	override name = "GraphError";
}

const fits: Readonly<Record<AttributeKind, (value: AttributeValue) => boolean>> = {
	int: Number.isInteger,
	float: (value) => typeof value === "number",
	string: (value) => typeof value === "string",
	ints: (value) => Array.isArray(value) && value.every(Number.isInteger),
};

export class Graph {
	readonly nodes: Node[] = [];
	readonly inputs: Value[] = [];
	/** Values whose data the session is given at creation, sharing memory. */
	readonly initializers: Value[] = [];
	readonly constants: Value[] = [];
	readonly outputs = new Map<string, Value>();
	/** Values that gradients take for constants, though they are computed. */
	readonly detached = new Set<Value>();
	readonly #names = new Set<string>();
	readonly #constantsByKey = new Map<string, Value>();
	#counter = 0;

	/** A tensor that is fed at every run. */
	input(name: string, dtype: DType, shape: Shape): Value {
		const canonical = shape.map((dim) => multiplyDims([dim]));
		const value: Value = { graph: this, name: this.#claim(name), dtype, shape: canonical, node: undefined };
		this.inputs.push(value);
		return value;
	}

	/** A tensor that is given once, when the session is made; ONNX Runtime may repack it for speed. */
	initializer(name: string, dtype: DType, shape: readonly number[]): Value {
		const value: Value = { graph: this, name: this.#claim(name), dtype, shape, node: undefined };
		this.initializers.push(value);
		return value;
	}

	/** A small constant stored in the graph itself. Equal constants are stored once. */
	constant(data: ConstantData, shape: readonly number[], dtype: DType): Value {
		const size = shape.reduce((product, dim) => product * dim, 1);
		if (data.length !== size) {
			throw new GraphError(`constant: ${data.length} elements for ${dtype}${formatShape(shape)}, which has ${size}`);
		}
		const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
		const key = `${dtype}${formatShape(shape)}${data.length <= 64 ? bytes.join() : `#${this.#counter++}`}`;
		const known = this.#constantsByKey.get(key);
		if (known) return known;
		const value: Value = { graph: this, name: this.fresh("constant"), dtype, shape, node: undefined, constant: data };
		this.constants.push(value);
		this.#constantsByKey.set(key, value);
		return value;
	}

	/** A float32 scalar constant. */
	scalar(value: number): Value {
		return this.constant(Float32Array.of(value), [], "float32");
	}

	/** A constant vector of int64, as shapes and axes are given. */
	int64(values: readonly number[]): Value {
		return this.constant(BigInt64Array.from(values, BigInt), [values.length], "int64");
	}

	/** Adds one operator and returns its outputs. Throws GraphError when types or shapes do not fit. */
	add(op: OpName, inputs: readonly (Value | undefined)[], attributes: Attributes = {}): Value[] {
		const definition = ops[op];
		for (const input of inputs) {
			if (input && input.graph !== this) throw new GraphError(`${op}: "${input.name}" belongs to another graph`);
		}
		for (const [name, value] of Object.entries(attributes)) {
			const kind = definition.attributes[name];
			if (kind === undefined) throw new GraphError(`${op}: unknown attribute "${name}"`);
			if (!fits[kind](value)) throw new GraphError(`${op}: attribute "${name}" is ${value}, expected ${kind}`);
		}
		let types: readonly TypedShape[];
		try {
			types = definition.infer(inputs, attributes, (hint) => this.fresh(hint));
		} catch (error) {
			const given = inputs.map((v) => (v ? `${v.name}: ${v.dtype}${formatShape(v.shape)}` : "(absent)")).join(", ");
			throw new GraphError(`${op}(${given}): ${(error as Error).message}`, { cause: error });
		}
		const outputs: Value[] = [];
		const node: Node = { op, inputs, outputs, attributes };
		for (const type of types) {
			const { dtype, shape, shapeOf } = type;
			outputs.push({ graph: this, name: this.fresh(op), dtype, shape, node, ...(shapeOf && { shapeOf }) });
		}
		this.nodes.push(node);
		return outputs;
	}

	/** Declares a result under a name of its choice. */
	output(name: string, value: Value): void {
		if (value.graph !== this) throw new GraphError(`output "${name}": "${value.name}" belongs to another graph`);
		if (this.outputs.has(name)) throw new GraphError(`output "${name}" is declared twice`);
		this.outputs.set(this.#claim(name), value);
	}

	/** A name that no value of this graph has yet. */
	fresh(hint: string): string {
		return this.#claim(`${hint}.${this.#counter++}`);
	}

	#claim(name: string): string {
		if (this.#names.has(name)) throw new GraphError(`the name "${name}" is taken in this graph`);
		this.#names.add(name);
		return name;
	}
}

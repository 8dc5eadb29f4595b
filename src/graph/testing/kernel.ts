// What a row of the interpreter's table is.

import type { Node, Value } from "../graph.ts";
import { normalizeAxis } from "../ops/op.ts";
import type { Nd } from "./array.ts";

/** Attributes and types of the node that is computed. */
export class Settings {
	readonly node: Node;

	constructor(node: Node) {
		this.node = node;
	}

	get dtype(): string {
		return (this.node.outputs[0] as Value).dtype;
	}

	number(name: string, fallback?: number): number {
		const value = this.node.attributes[name] ?? fallback;
		if (typeof value !== "number") throw new Error(`${this.node.op} needs the attribute "${name}"`);
		return value;
	}

	axis(x: Nd, fallback?: number): number {
		return normalizeAxis(this.number("axis", fallback), x.shape.length);
	}
}

/** Inputs that are absent are undefined; each operator knows which of its own may be. */
export type Kernel = (inputs: readonly Nd[], settings: Settings) => Nd | Nd[];

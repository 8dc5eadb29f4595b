// Jinja with limits. Chat templates come with downloaded models, and @huggingface/jinja evaluates them without eval and
// without reaching prototypes, but lets them loop, recurse and grow for ever. Here every evaluated value is charged.

import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { UserError } from "../util/errors.ts";

export interface JinjaLimits {
	/** Characters of the template. */
	maxTemplateLength: number;
	/**
	 * Evaluated expressions, the items of each list they give, and a sixteenth of the characters of each text. Beyond
	 * the square of the number of values that are put in: templates may look at every turn from every turn.
	 */
	maxWork: number;
	/** Expressions inside expressions, blocks and macros. */
	maxDepth: number;
	/** Characters of any text, the output included, beyond four times those that are put in. */
	maxTextLength: number;
}

const defaultLimits: JinjaLimits = {
	maxTemplateLength: 1 << 16,
	maxWork: 200_000,
	maxDepth: 250,
	maxTextLength: 1 << 20,
};

/** Renders with the variables given; with no clock, so that the same conversation is the same text every day. */
export type JinjaRender = (variables: Readonly<Record<string, unknown>>) => string;

/** Throws CHAT_TEMPLATE_INVALID for a template that cannot be parsed, here or, when it fails, in the render. */
export function parseJinja(text: string, limits: Partial<JinjaLimits> = {}): JinjaRender {
	const bounds = { ...defaultLimits, ...limits };
	if (text.length > bounds.maxTemplateLength) throw overLimit(`is longer than ${bounds.maxTemplateLength} characters`);
	// The library's own clean-up looks at each such run from each of its characters.
	if (/\s{2000}/.test(text)) throw overLimit("has a run of more than 2000 blank characters");
	const { parsed } = guarded(() => new Template(text));
	return (variables) =>
		guarded(() => {
			const environment = new Environment();
			for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
			const { values, characters } = sizeOf(variables);
			const maxTextLength = bounds.maxTextLength + 4 * characters;
			const maxWork = bounds.maxWork + values ** 2 + characters;
			return new BoundedInterpreter(environment, { ...bounds, maxTextLength, maxWork }).run(parsed).value as string;
		});
}

const globals = {
	true: true,
	True: true,
	false: false,
	False: false,
	none: null,
	None: null,
	raise_exception: (message: unknown) => {
		throw new UserError("CHAT_TEMPLATE_REFUSED", `The chat template refuses this conversation: ${message}`);
	},
	range: (first: number, end?: number, step = 1) => {
		const [start, stop] = end === undefined ? [0, first] : [first, end];
		const length = Math.max(0, Math.ceil((stop - start) / step));
		if (!(length <= 10_000)) throw overLimit("makes a range of more than 10,000 numbers");
		return Array.from({ length }, (_, i) => start + i * step);
	},
};

class BoundedInterpreter extends Interpreter {
	readonly #limits: JinjaLimits;
	#work = 0;
	#depth = 0;

	constructor(environment: Environment, limits: JinjaLimits) {
		super(environment);
		this.#limits = limits;
	}

	override evaluate(...args: Parameters<Interpreter["evaluate"]>): ReturnType<Interpreter["evaluate"]> {
		if (++this.#depth > this.#limits.maxDepth) throw overLimit(`is nested deeper than ${this.#limits.maxDepth}`);
		try {
			const result = super.evaluate(...args);
			const value: unknown = result.value;
			this.#work += 1;
			if (typeof value === "string") {
				if (value.length > this.#limits.maxTextLength) throw overLimit("makes a text that is too long");
				this.#work += value.length / 16;
			} else if (Array.isArray(value)) this.#work += value.length;
			if (this.#work > this.#limits.maxWork) throw overLimit("does not come to an end");
			return result;
		} finally {
			this.#depth--;
		}
	}
}

function sizeOf(value: unknown): { values: number; characters: number } {
	if (typeof value === "string") return { values: 1, characters: value.length };
	if (typeof value !== "object" || value === null) return { values: 1, characters: 0 };
	const size = { values: 1, characters: 0 };
	for (const part of Object.values(value)) {
		const { values, characters } = sizeOf(part);
		size.values += values;
		size.characters += characters;
	}
	return size;
}

function overLimit(what: string): UserError {
	return new UserError("CHAT_TEMPLATE_LIMIT", `The chat template ${what}.`, {
		where: "chat_template",
		hint: "Use the template the model was published with, or a simpler one.",
	});
}

function guarded<Result>(action: () => Result): Result {
	try {
		return action();
	} catch (cause) {
		if (cause instanceof UserError) throw cause;
		throw new UserError("CHAT_TEMPLATE_INVALID", `The chat template does not work: ${(cause as Error).message}`, {
			where: "chat_template",
			cause,
		});
	}
}

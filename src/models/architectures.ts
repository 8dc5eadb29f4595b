// The model families that can be loaded: one row each.

import { UserError } from "../util/errors.ts";
import type { Architecture } from "./architecture.ts";
import { gpt2 } from "./gpt2.ts";

// The config type differs per row; a model keeps its architecture and its config together, so they always match.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type AnyArchitecture = Architecture<any>;

const architectures: Readonly<Record<string, AnyArchitecture>> = { gpt2 };

/** The architecture named by `model_type` in a parsed config.json. */
export function architectureFor(configJson: unknown): AnyArchitecture {
	const type = (configJson as { model_type?: unknown } | null)?.model_type;
	const found = typeof type === "string" && Object.hasOwn(architectures, type) ? architectures[type] : undefined;
	if (found) return found;
	throw new UserError("MODEL_UNSUPPORTED", "This kind of model is not supported.", {
		where: 'config.json, field "model_type"',
		expected: Object.keys(architectures).join(", "),
		found: type === undefined ? "no model_type" : JSON.stringify(type),
	});
}

// Tokens that a base model lacked (the roles of the chat template): their embedding rows are trained even when all else
// is frozen, or the model could never write them. The rows are a parameter of their own over the table's memory, under
// the name that PEFT gives trainable tokens.

import type { ParameterSpec } from "./architecture.ts";
import type { AnyArchitecture } from "./architectures.ts";
import type { Model } from "./model.ts";

/** The model with the rows of its new tokens as one more parameter; the model itself when it has none. */
export function withNewRows(model: Model): Model {
	const { architecture, config, parameters, firstNewToken: from, tokenizer } = model;
	const count = tokenizer.size - from;
	if (count <= 0) return model;
	const table = architecture.embedding;
	const { channels } = architecture.sizes(config);
	const name = newRowsName(architecture);
	const spec: ParameterSpec = {
		name,
		shape: [count, channels],
		kind: "embedding",
		layer: -1,
		initial: { constant: 0 },
		rowsOf: { parameter: table, from },
	};
	const rows = (parameters.get(table) as Float32Array).subarray(from * channels, (from + count) * channels);
	return {
		...model,
		architecture: { ...architecture, parameters: (given) => [...architecture.parameters(given), spec] },
		parameters: new Map([...parameters, [name, rows]]),
	};
}

/** "wte.token_adapter.trainable_tokens_delta" (PEFT's word; what it holds are the rows themselves). */
export const newRowsName = ({ embedding }: AnyArchitecture) =>
	`${embedding.replace(/\.weight$/, "")}.token_adapter.trainable_tokens_delta`;

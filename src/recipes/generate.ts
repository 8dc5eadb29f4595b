// Completes a text: no roles, no template.

import { generateText } from "../generate/generate.ts";
import { UserError } from "../util/errors.ts";
import { decoderFor } from "./decoder-for.ts";
import { loadReferencedModel } from "./model-reference.ts";
import { generateOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";
import { samplingOf } from "./sampling.ts";

/** `text-generated` events whose texts join to the completion, then one `generation-done`. */
export const generate: Recipe<typeof generateOptions> = async function* (options, { origins, signal } = {}) {
	const { values } = resolveOptions(generateOptions, { options, origins });
	const model = await loadReferencedModel(values.directory, signal ? { signal } : {});
	const ids = model.tokenizer.encode(values.prompt);
	if (ids.length === 0) {
		throw new UserError("PROMPT_EMPTY", "The prompt is empty.", {
			where: "--prompt",
			expected: "at least one character",
		});
	}
	const decoder = await decoderFor(model, values);
	try {
		const { sampling, maxTokens, stop, seed } = samplingOf(values);
		const stopIds = model.template.stopIds;
		const startedAt = performance.now();
		const request = { ...sampling, ids, maxTokens, stop, stopIds, seed, ...(signal && { signal }) };
		for await (const event of generateText(decoder, model, request)) {
			if (event.type === "text-generated") yield event;
			else {
				const { finishReason, tokens } = event;
				const seconds = (performance.now() - startedAt) / 1000;
				yield { type: "generation-done", finishReason, tokens, tokensPerSecond: tokens / seconds };
			}
		}
	} finally {
		decoder.dispose();
	}
};

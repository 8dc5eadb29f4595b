// What a model costs where it is used: the time of a token, by the engine that generates, and its memory.

import { Decoder } from "../../generate/decoder.ts";
import { countParameters } from "../../models/costs.ts";
import type { Model } from "../../models/model.ts";

const [promptTokens, measuredTokens] = [16, 48];

/** Median milliseconds of a token, one sequence after a short prompt. Which tokens does not matter. */
export async function millisecondsPerToken(model: Model, { threads }: { threads: number }): Promise<number> {
	const decoder = await Decoder.create(model, { threads });
	try {
		const times: number[] = [];
		const prompt = Array.from({ length: Math.min(promptTokens, decoder.context >> 1) }, (_, i) => i);
		await decoder.feed(prompt);
		for (let i = 0; i < measuredTokens && decoder.ids.length < decoder.context; i++) {
			const start = performance.now();
			await decoder.feed([i]);
			times.push(performance.now() - start);
		}
		return times.sort((a, b) => a - b)[times.length >> 1] as number;
	} finally {
		decoder.dispose();
	}
}

/** Bytes of all weights as they are held, an adapter's included. */
export function bytesInMemory({ architecture, config }: Model): number {
	return countParameters(architecture.parameters(config), new Set()).bytes;
}

// The same questions answered before and after training, as a person would first look at a model.

import { Decoder } from "../generate/decoder.ts";
import { generateText } from "../generate/generate.ts";
import type { Model } from "../models/model.ts";

export interface AnswerOptions {
	maxTokens?: number;
	threads?: number;
	signal?: AbortSignal;
}

/** The likeliest answer to each question, token by token. */
export async function answerQuestions(
	model: Model,
	questions: readonly string[],
	{ maxTokens = 80, threads, signal }: AnswerOptions = {},
): Promise<string[]> {
	if (questions.length === 0) return [];
	// A few answers: not worth the memory that the forecast of the run would have to hold.
	const decoder = await Decoder.create(model, { pack: false, ...(threads !== undefined && { threads }) });
	try {
		const answers: string[] = [];
		for (const question of questions) {
			const { ids } = model.template.render([{ role: "user", content: question }], { addGenerationPrompt: true });
			const options = { ids, maxTokens, stopIds: model.template.stopIds, temperature: 0, seed: 0 };
			let answer = "";
			for await (const event of generateText(decoder, model, { ...options, ...(signal && { signal }) })) {
				if (event.type === "generation-done") answer = event.text;
			}
			answers.push(answer.trim());
		}
		return answers;
	} finally {
		decoder.dispose();
	}
}

// The first thing to try: the built-in model learns the voice and the facts of an imaginary shop, in about a minute.

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot } from "../util/package-root.ts";
import { finetune } from "./finetune.ts";
import { demoOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";

/** The same events as fine-tuning. */
export const demo: Recipe<typeof demoOptions> = async function* (options, context = {}) {
	const { values } = resolveOptions(demoOptions, { options, origins: context.origins });
	const examples = join(packageRoot(), "examples", "customer-service");
	const questions = (await readFile(join(examples, "questions.txt"), "utf8")).split("\n").filter((line) => line !== "");
	const { signal } = context;
	yield* finetune(
		{
			model: "builtin",
			data: ["train.en.json", "train.zh.json", "train.multi.jsonl"].map((name) => join(examples, name)),
			validation: join(examples, "held-out.jsonl"),
			output: values.output,
			overwrite: true,
			epochs: 8,
			learningRate: 2e-3,
			weightDecay: 0.1,
			ask: questions,
			...(values.threads !== undefined && { threads: values.threads }),
		},
		signal ? { signal } : {},
	);
};

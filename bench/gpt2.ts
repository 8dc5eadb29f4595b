// GPT-2 124M with random weights, and what the sides share.

import { architectureFor } from "../src/models/architectures.ts";
import { createModel, type Model } from "../src/models/model.ts";
import { gpt2Tokenizer } from "../src/tokenizer/testing/gpt2.ts";
import { Rng } from "../src/util/rng.ts";

export function gpt2Parts() {
	const architecture = architectureFor({ model_type: "gpt2" });
	const config = architecture.parseConfig({ model_type: "gpt2" });
	const rng = new Rng(["bench"]);
	const parameters = new Map(
		architecture.parameters(config).map(({ name, shape, initial }) => {
			const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
			if ("constant" in initial) data.fill(initial.constant);
			// Uniform numbers of that deviation: a normal number takes ten times as long.
			else for (let i = 0; i < data.length; i++) data[i] = (rng.uniform() - 0.5) * initial.deviation * Math.sqrt(12);
			return [name, data];
		}),
	);
	return { architecture, config, parameters };
}

/** With GPT-2's own vocabulary and the tokens of the chat template. */
export function gpt2Model(): Model {
	const architecture = architectureFor({ model_type: "gpt2" });
	const config = architecture.parseConfig({ model_type: "gpt2" });
	return createModel(architecture, { config, tokenizer: gpt2Tokenizer(), rng: new Rng(["bench"]) });
}

/** --name value, or the default. */
export function option(name: string, otherwise: string): string {
	const at = process.argv.indexOf(`--${name}`);
	return at < 0 ? otherwise : (process.argv[at + 1] as string);
}

export const peakBytes = () => process.resourceUsage().maxRSS * 1024;

export function report(line: Record<string, number>): void {
	console.log(JSON.stringify(line));
}

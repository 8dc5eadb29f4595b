// A prompt of 128 tokens, then 100 tokens one by one, always the likeliest. Several rounds in one process.

import { Decoder } from "../../src/generate/decoder.ts";
import { gpt2Parts, peakBytes, report } from "../gpt2.ts";

const decoder = await Decoder.create(gpt2Parts());
const prompt = Array.from({ length: 128 }, (_, i) => (i * 7919) % 50000);
for (let round = 0; round < 3; round++) {
	decoder.truncate(0);
	const start = performance.now();
	let logits = await decoder.feed(prompt);
	const first = performance.now();
	for (let i = 0; i < 100; i++) {
		let best = 0;
		for (let id = 1; id < logits.length; id++) if ((logits[id] as number) > (logits[best] as number)) best = id;
		logits = await decoder.feed([best]);
	}
	const seconds = (performance.now() - first) / 1000;
	report({ prefillMs: first - start, decodeTokensPerSecond: 100 / seconds, peakBytes: peakBytes() });
}
decoder.dispose();

// Searching settings of something that is not a model: how to pack a text so that it becomes small without taking long.
// Run it after `npm run build`: node --experimental-strip-types examples/search-anything.ts (Node 22 or later)
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { categorical, createStudy, importanceOf, int, journalStorage, tpeSampler } from "attune/search";

const text = Buffer.from(Array.from({ length: 4000 }, (_, i) => `line ${i}: ${(i * i) % 97} of ${i % 13}`).join("\n"));

const study = await createStudy({
	space: {
		method: categorical(["gzip", "brotli"]),
		level: int({ low: 1, high: 9, when: { method: "gzip" } }),
		memory: int({ low: 1, high: 9, when: { method: "gzip" } }),
		quality: int({ low: 0, high: 9, when: { method: "brotli" } }),
		window: int({ low: 10, high: 22, when: { method: "brotli" } }),
	},
	sampler: tpeSampler(),
	// With a file, killing this and running it again goes on where it was.
	...(process.argv[2] !== undefined && { storage: journalStorage(process.argv[2]) }),
});

/** `params` is typed: `level` may be absent, `method` is one of two words. */
const events = study.optimize(
	({ params }) => {
		const packed =
			params.method === "gzip"
				? gzipSync(text, { level: params.level ?? 6, memLevel: params.memory ?? 8 })
				: brotliCompressSync(text, {
						params: {
							[constants.BROTLI_PARAM_QUALITY]: params.quality ?? 5,
							[constants.BROTLI_PARAM_LGWIN]: params.window ?? 22,
						},
					});
		return packed.length;
	},
	{ maxTrials: 40, budgetMs: 60_000 },
);

for await (const event of events) {
	if (event.type === "best-changed") console.log(event.best[0]?.rungs[0]?.values[0], "bytes", event.best[0]?.params);
}
const importance = importanceOf(study.snapshot);
for (const { name, importance: share } of importance?.parameters ?? [])
	console.log(name, `${(100 * share).toFixed(0)} %`);

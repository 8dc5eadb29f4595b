// Texts for property tests: any Unicode, with the things tokenizers trip over put in often.

import fc from "fast-check";

const pieces = [
	"<bot>",
	"<user>",
	"<|endoftext|>",
	"👩‍👩‍👧",
	"🏳️‍🌈",
	"你好，世界。",
	"  \n",
	"\u00a0",
	"don't",
	"e\u0301",
	"2024",
	"\ud83d",
	"\ude42",
	"\u0000",
] as const;

/** May hold lone surrogates. */
export const anyText = fc
	.array(
		fc.oneof(fc.string({ unit: "binary", maxLength: 8 }), fc.string({ maxLength: 12 }), fc.constantFrom(...pieces)),
		{
			maxLength: 8,
		},
	)
	.map((parts) => parts.join(""));

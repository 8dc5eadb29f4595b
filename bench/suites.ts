// What is measured, and against whom.

import type { Case } from "./compare.ts";

export interface Places {
	python: string;
	/** The peers' scripts. */
	scripts: string;
	data: string;
	llama: string;
	/** Our own sides, built. */
	sides: string;
}

interface SuiteOptions {
	places: Places;
	quick: boolean;
}

const seconds = { unit: "s", better: "less" } as const;
const peak = { peakBytes: { unit: "GB", better: "less", factor: 1e-9 } } as const;
const perSecond = { unit: "tok/s", better: "more" } as const;

const ours = (places: Places, side: string, ...args: string[]) => ({
	name: "attune",
	command: [process.execPath, `${places.sides}sides/${side}.js`, ...args],
});

function training({ places, quick }: SuiteOptions): Case[] {
	const { python, scripts, data } = places;
	const steps = quick ? "3" : "6";
	const shakespeare = `${data}/text/tiny-shakespeare.txt`;
	const characterSteps = quick ? "100" : "2000";
	const dialogues = `${data}/dialogues/bitext-customer-support.csv`;
	const trl = (mode: string, { name = `TRL (${mode})` } = {}) => ({
		name,
		command: [python, `${scripts}/trl_sft.py`, "--data", dialogues, "--mode", mode, "--steps", steps],
		cwd: "/tmp",
		needs: [python, `${scripts}/trl_sft.py`, dialogues],
	});
	const nanogpt = new URL("../../bench/peers/nanogpt_char.py", `file://${places.sides}`).pathname;
	return [
		{
			name: "GPT-2 124M, 8 x 128 tokens, forward + backward + AdamW",
			measures: { medianSeconds: seconds, tokensPerSecond: perSecond, ...peak },
			ours: ours(places, "step", "--steps", steps),
			peers: [
				{
					name: "PyTorch",
					command: [python, `${scripts}/torch_step.py`, "--batch", "8", "--time", "128", "--steps", steps],
					needs: [python, `${scripts}/torch_step.py`],
				},
			],
		},
		{
			name: `characters: 4 layers, 128 channels, 12 x 64, ${characterSteps} steps`,
			measures: {
				medianSeconds: seconds,
				totalSeconds: seconds,
				validationLoss: { unit: "", better: "less" },
				...peak,
			},
			ours: ours(places, "char", "--steps", characterSteps, "--data", shakespeare),
			peers: [
				{
					name: "PyTorch",
					command: [python, nanogpt, "--steps", characterSteps, "--data", shakespeare],
					needs: [python, shakespeare],
				},
			],
		},
		{
			name: "fine-tuning on customer service, 124M, batches of 8 up to 512 tokens",
			measures: { supervisedTokensPerSecond: perSecond, ...peak },
			ours: ours(places, "finetune", "--steps", steps, "--data", dialogues),
			peers: [trl("pad"), trl("pack")],
		},
		{
			name: "LoRA of rank 8 on customer service, 124M, batches of 8 up to 512 tokens",
			measures: { supervisedTokensPerSecond: perSecond, ...peak },
			ours: ours(places, "finetune", "--steps", steps, "--data", dialogues, "--lora", "8"),
			peers: [trl("lora", { name: "TRL + PEFT" })],
		},
	];
}

function generation({ places }: SuiteOptions): Case[] {
	const model = `${places.llama}/models/gpt2-f32.gguf`;
	const script = `${places.llama}/llamacpp_decode.mjs`;
	return [
		{
			name: "GPT-2 124M in float32: prompt of 128 tokens, then 100 one by one",
			measures: { decodeTokensPerSecond: perSecond, prefillMs: { unit: "ms", better: "less" }, ...peak },
			ours: ours(places, "decode"),
			peers: [
				{
					name: "node-llama-cpp",
					command: [process.execPath, script, model],
					cwd: places.llama,
					needs: [model, script],
				},
			],
		},
		{
			name: "start of the command line: attune --help",
			measures: { startMs: { unit: "ms", better: "less" } },
			ours: ours(places, "start"),
			peers: [],
		},
	];
}

/** Peak memory of runs with everything that belongs to one; the peer takes steps alone. */
function memory({ places, quick }: SuiteOptions): Case[] {
	const { python, sides } = places;
	const script = new URL("../../bench/peers/peft_step.py", `file://${sides}`).pathname;
	const gpt2 = (layers: number, channels: number, batch: number, time: number, more: object) =>
		JSON.stringify({ layers, channels, vocabulary: 50257, batch: [batch], time: [time], labelled: 0.5, ...more });
	const measure = (setting: string) => ({
		name: "attune",
		command: [process.execPath, `${sides}forecast/measure.js`, setting],
		fields: { peakBytes: "peak" },
	});
	const lora = [
		{ name: "124M", layers: 12, channels: 768, batch: 8, recompute: false },
		{ name: "774M", layers: 36, channels: 1280, batch: 2, recompute: true },
		{ name: "1.5B", layers: 48, channels: 1600, batch: 1, recompute: true },
	].slice(0, quick ? 1 : 3);
	const full = quick ? [] : [false, true];
	return [
		...lora.map(({ name, layers, channels, batch, recompute }): Case => {
			const sizes = {
				layers,
				channels,
				heads: channels / 64,
				batch,
				time: 256,
				steps: 2,
				checkpointing: recompute ? 1 : 0,
			};
			return {
				name: `LoRA of rank 8 on GPT-2 ${name}, ${batch} x 256${recompute ? ", recomputed" : ""}`,
				measures: peak,
				ours: measure(gpt2(layers, channels, batch, 256, { lora: true, recompute })),
				peers: [
					{
						name: "PEFT",
						command: [python, script, ...Object.entries(sizes).flatMap(([flag, value]) => [`--${flag}`, `${value}`])],
						cwd: "/tmp",
						needs: [python],
					},
				],
			};
		}),
		...full.map(
			(recompute): Case => ({
				name: `all of GPT-2 355M, 4 x 128, no room for a copy of the checkpoint${recompute ? ", recomputed" : ""}`,
				measures: peak,
				ours: measure(gpt2(24, 1024, 4, 128, { snapshot: false, recompute })),
				peers: [],
			}),
		),
	];
}

export const suites = { training, generation, memory } as const;

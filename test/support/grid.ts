// The settings under which a run that was stopped has to end with the bytes of one that was not: each optimizer, each
// schedule, and everything else that has a state or a random stream. Names and values as in a library call.
import { finetune } from "../../src/recipes/finetune.ts";
import type { RecipeContext, RecipeEvent } from "../../src/recipes/options/recipe.ts";
import { kebabCase } from "../../src/recipes/options/table.ts";
import { pretrain } from "../../src/recipes/pretrain.ts";
import { dialoguesFile, quick, textFile, tinyModelDirectory } from "./tiny.ts";

export type Settings = Readonly<Record<string, unknown>>;

const pretrained = {
	tokenizer: "characters",
	layers: 1,
	heads: 2,
	channels: 16,
	blockSize: 16,
	threads: 1,
	seed: 7,
	learningRate: 1e-2,
	batchSize: 4,
	validation: 0.1,
	saveSteps: 2,
} as const;

const variants = {
	"adamw, cosine, by epochs": { epochs: 3, steps: undefined, optimizer: "adamw", lrSchedule: "cosine" },
	"adam, linear, dropout": { optimizer: "adam", lrSchedule: "linear", dropout: 0.2, evalSteps: 3, saveSteps: 1 },
	"sgd, wsd, accumulation": {
		optimizer: "sgd",
		momentum: 0.9,
		nesterov: true,
		lrSchedule: "wsd",
		accumulate: 2,
		tokenBudget: 40,
		saveSteps: 2,
	},
	"rmsprop, constant, label smoothing": {
		optimizer: "rmsprop",
		momentum: 0.5,
		learningRate: 1e-3,
		lrSchedule: "constant",
		labelSmoothing: 0.1,
		layerLrDecay: 0.8,
		saveSteps: 2,
	},
	"batch ramp": { epochs: 4, steps: undefined, batchRamp: "1:6@0.6", rampLearningRate: "sqrt", saveSteps: 3 },
	"patience, keeping the best": {
		steps: 12,
		evalSteps: 1,
		patience: 2,
		learningRate: 0.05,
		keep: "best",
		saveSteps: 4,
		saveTotalLimit: 1,
	},
	"LoRA, dropout, accumulation": {
		lora: true,
		loraRank: 4,
		loraDropout: 0.1,
		accumulate: 2,
		tokenBudget: 60,
		saveSteps: 1,
	},
	"DoRA on some layers, rsLoRA, best": {
		lora: true,
		loraRank: 2,
		loraRs: true,
		loraDora: true,
		loraTargets: ["c_attn", "c_fc"],
		optimizer: "rmsprop",
		learningRate: 1e-3,
		evalSteps: 2,
	},
	"frozen layers, recomputed": { freeze: ["h.0"], recompute: true, saveSteps: 2 },
} satisfies Record<string, Settings>;

export interface Variant {
	name: string;
	recipe: "finetune" | "pretrain";
	settings: Settings;
}

/** Writes model and data, and gives every variant of a run over them, without an output. */
export async function resumeGrid(sizes: Parameters<typeof tinyModelDirectory>[0] = {}): Promise<Variant[]> {
	const model = await tinyModelDirectory(sizes);
	const data = [dialoguesFile()];
	const text = [textFile()];
	return [
		...Object.entries(variants).map(([name, variant]) => ({
			name,
			recipe: "finetune" as const,
			settings: { model, data, ...quick, ...variant },
		})),
		{ name: "text, random order", recipe: "pretrain", settings: { data: text, ...pretrained, steps: 6, dropout: 0.1 } },
		{ name: "text, epoch order", recipe: "pretrain", settings: { data: text, ...pretrained, epochs: 0.2 } },
	];
}

/** The run of a variant, as a library call. */
export function start(
	{ recipe, settings }: Pick<Variant, "recipe" | "settings">,
	{ context = {}, ...more }: { output?: string; resume?: string; context?: RecipeContext } & Settings,
): AsyncIterable<RecipeEvent> {
	// Any of the grid's settings are options of its recipe: the recipe itself checks them.
	const options = { ...settings, ...more } as never;
	return recipe === "finetune" ? finetune(options, context) : pretrain(options, context);
}

/** The same, as arguments of the command line. */
export function flags({ recipe, settings }: Pick<Variant, "recipe" | "settings">, more: Settings): string[] {
	const spelled = Object.entries({ ...settings, ...more }).flatMap(([name, value]) => {
		if (value === undefined || value === false) return [];
		if (value === true) return [`--${kebabCase(name)}`];
		const files = name === "data" ? (value as string[]) : [String(value)];
		return [`--${kebabCase(name)}`, ...files];
	});
	return [recipe, ...spelled];
}

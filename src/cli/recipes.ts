// The joint between commands and recipes: what each recipe must look like, and how it is loaded. A recipe is imported when
// its command runs, never before, so that help stays quick. A command without a row in `recipes` is not offered.
import type {
	benchRampOptions,
	chatOptions,
	dataCheckOptions,
	demoOptions,
	exportOptions,
	finetuneOptions,
	generateOptions,
	planOptions,
	pretrainOptions,
	searchOptions,
	searchWorkerOptions,
	tokenizerTrainOptions,
} from "../recipes/options/jobs.ts";
import type { ChatSession, Recipe, RecipeContext } from "../recipes/options/recipe.ts";
import type { OptionsInput } from "../recipes/options/table.ts";

/** The functions that src/recipes/<name in kebab-case>.ts export under these names. */
export interface Recipes {
	finetune: Recipe<typeof finetuneOptions>;
	pretrain: Recipe<typeof pretrainOptions>;
	tokenizerTrain: Recipe<typeof tokenizerTrainOptions>;
	dataCheck: Recipe<typeof dataCheckOptions>;
	chat: (options: OptionsInput<typeof chatOptions>, context?: RecipeContext) => Promise<ChatSession>;
	generate: Recipe<typeof generateOptions>;
	export: Recipe<typeof exportOptions>;
	plan: Recipe<typeof planOptions>;
	search: Recipe<typeof searchOptions>;
	searchWorker: Recipe<typeof searchWorkerOptions>;
	benchRamp: Recipe<typeof benchRampOptions>;
	demo: Recipe<typeof demoOptions>;
}

export type RecipeLoaders = { readonly [Name in keyof Recipes]?: () => Promise<Recipes[Name]> };

/** One row a recipe: `finetune: async () => (await import("../recipes/finetune.ts")).finetune`. */
export const recipes: RecipeLoaders = {
	demo: async () => (await import("../recipes/demo.ts")).demo,
	dataCheck: async () => (await import("../recipes/data-check.ts")).dataCheck,
	tokenizerTrain: async () => (await import("../recipes/tokenizer-train.ts")).tokenizerTrain,
	benchRamp: async () => (await import("../recipes/bench-ramp.ts")).benchRamp,
	plan: async () => (await import("../recipes/plan.ts")).plan,
	pretrain: async () => (await import("../recipes/pretrain.ts")).pretrain,
	search: async () => (await import("../recipes/search.ts")).search,
	searchWorker: async () => (await import("../recipes/search-worker.ts")).searchWorker,
	finetune: async () => (await import("../recipes/finetune.ts")).finetune,
	chat: async () => (await import("../recipes/chat.ts")).chat,
	generate: async () => (await import("../recipes/generate.ts")).generate,
	export: async () => (await import("../recipes/export.ts")).export,
};

// The whole program with stand-ins for the recipes: what the process tests start. FAKE_RECIPE says how they behave.
import type { ChatSession, RecipeContext, RecipeEvent } from "../../recipes/options/recipe.ts";
import { UserError } from "../../util/errors.ts";
import type { RecipeLoaders } from "../recipes.ts";
import { runCommandLine } from "../run.ts";
import { processTerminal } from "../terminal.ts";
import { fakeChatSession, fakeFinetune } from "./fakes.ts";

async function* behave(_options: unknown, context: RecipeContext = {}): AsyncIterable<RecipeEvent> {
	const how = process.env.FAKE_RECIPE ?? "steps";
	if (how === "user-error") {
		throw new UserError("FILE_NOT_FOUND", "Cannot read nowhere.json: it does not exist.", { hint: "Check the path." });
	}
	if (how === "bug") throw new TypeError("cannot read properties of undefined");
	if (how === "stuck") {
		yield { type: "warning", code: "STUCK", message: "waiting" };
		await new Promise((resolve) => setTimeout(resolve, 60_000));
	}
	yield* fakeFinetune({ steps: how === "endless" ? 1e6 : 5, stepMs: 5, context });
}

const recipe = async () => behave;
const loaders: RecipeLoaders = {
	demo: recipe,
	dataCheck: recipe,
	plan: recipe,
	finetune: recipe,
	generate: recipe,
	evaluate: recipe,
	export: recipe,
	pretrain: recipe,
	tokenizerTrain: recipe,
	chat: async () => async (): Promise<ChatSession> => fakeChatSession(),
};

process.exitCode = await runCommandLine(process.argv.slice(2), { recipes: loaders, terminal: processTerminal() });

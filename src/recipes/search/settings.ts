// What a search of this call changes, and what it leaves: the bridge between the options of `search`, those of `finetune`,
// and the space.

import type { Space } from "../../search/index.ts";
import { UserError } from "../../util/errors.ts";
import { readConfig } from "../options/config.ts";
import { finetuneOptions } from "../options/jobs.ts";
import type { SearchObjective } from "../options/recipe.ts";
import { type OptionRecord, resolveOptions } from "../options/resolve.ts";
import { kebabCase } from "../options/table.ts";
import { composeSpace, defaultSpace } from "./space.ts";
import type { SearchValues } from "./study-run.ts";
import { tokensPerExample } from "./trial-run.ts";
import type { FinetuneValues, Workbench } from "./workbench.ts";

/** A whole run of the longest trial takes at most this part of the budget: the search has to see more than a few. */
const longestTrial = 1 / 12;

/** Options of `finetune` that a search has, too; those that it does not have keep their defaults. */
export function finetuneValues(values: Partial<SearchValues> & object, { output }: { output: string }): FinetuneValues {
	const shared = Object.entries(values).filter(
		([name, value]) => name in finetuneOptions.options && value !== undefined && !callOnly.has(name),
	);
	return resolveOptions(finetuneOptions, { options: { ...Object.fromEntries(shared), output } }).values;
}

const callOnly = new Set(["output", "overwrite", "resume", "allowChange", "force"]);

/** Not searched: what names data and files, what decides the split, what is about the machine. */
const notSearched = new Set([
	...callOnly,
	...["model", "data", "columns", "maxLength", "overflow", "maxLossOfRows", "validation", "test", "seed", "threads"],
	...["recompute", "evalSteps", "saveSteps", "saveTotalLimit", "keep", "patience", "tensorboard", "ask", "stopAt"],
]);

/** The space to search, when the study is new, and what the person fixed in it. */
export async function spaceOf(
	values: SearchValues,
	{
		record,
		usual,
		bench,
		budget,
		epochSeconds,
	}: {
		record: OptionRecord;
		usual: FinetuneValues;
		bench: Workbench;
		budget: number | undefined;
		epochSeconds: number;
	},
): Promise<{ space: Space; fixed: Record<string, unknown> }> {
	const given = new Set(Object.keys(record).filter((name) => record[name]?.origin !== "default"));
	// Steps fix the length of a run as epochs do.
	if (given.has("steps")) given.add("epochs");
	const affordable = budget === undefined ? usual.epochs * 2 : (budget * longestTrial) / epochSeconds;
	const mostEpochs = Math.min(Math.max(affordable, 1e-3), usual.epochs * 4);
	const objectives = values.objective as SearchObjective[];
	const base = defaultSpace({
		defaults: { ...usual, learningRate: usual.learningRate as number },
		examples: bench.dialogues.train.length,
		tokensPerExample: tokensPerExample(bench),
		mostEpochs,
		objectives,
	});
	const composed = composeSpace(base, {
		values: usual,
		given,
		...(values.space !== undefined && { file: await readConfig(values.space) }),
		vary: values.vary,
		known: new Set(Object.keys(finetuneOptions.options).filter((name) => !notSearched.has(name))),
	});
	checkObjectives(objectives, composed.space);
	return composed;
}

/** Settings on which the time of a token and the size of a model depend. */
const changesCost = ["lora", "loraRank", "loraTargets", "loraDora", "baseBits"];

function checkObjectives(objectives: readonly SearchObjective[], space: Space): void {
	const constant = objectives.filter((objective) => objective !== "quality");
	if (constant.length === 0 || Object.keys(space).some((name) => changesCost.includes(name))) return;
	throw new UserError("OBJECTIVE_CONSTANT", `Nothing that is searched changes ${constant.join(" or ")}.`, {
		where: "--objective",
		expected: `one of ${changesCost.map(kebabCase).join(", ")} in the search space`,
		found: Object.keys(space).join(", "),
		hint: "Add --lora, which searches rank and base-bits, or leave the objective out.",
	});
}

// Which part of a model a fine-tuning run trains: everything, everything but frozen layers, or an adapter. New tokens are
// trained in each case.

import { adapterParameters, allTargets, createAdapter } from "../models/adapter.ts";
import type { Model } from "../models/model.ts";
import { newRowsName, withNewRows } from "../models/new-tokens.ts";
import { UserError } from "../util/errors.ts";
import { Rng } from "../util/rng.ts";
import type { finetuneOptions } from "./options/jobs.ts";
import type { OptionsOf } from "./options/table.ts";
import { allParameters, fullLearningRate } from "./training-run.ts";

type Values = Pick<
	OptionsOf<typeof finetuneOptions>,
	"freeze" | "seed" | "lora" | "loraRank" | "loraAlpha" | "loraTargets" | "loraDropout" | "loraRs" | "loraDora"
>;

export interface TrainedPart {
	/** The model with what is trained, adapter included. */
	model: Model;
	/** Names of the parameters to train. */
	trainable: Set<string>;
	defaultLearningRate: number;
}

/** An adapter starts from so few numbers, one factor zero, that it wants a rate about ten times that of full training. */
const loraRateFactor = 10;

/** Throws UserError for names that fit no layer, and when nothing is left to train. */
export function trainedPart(base: Model, values: Values): TrainedPart {
	const rate = fullLearningRate(base);
	if (!values.lora) {
		const names = unfrozen(allParameters(base), values.freeze);
		// The rows of new tokens are trained with the table, or apart when it is frozen.
		const model = names.has(base.architecture.embedding) ? base : withNewRows(base);
		return { model, trainable: somethingOf(names, model), defaultLearningRate: rate };
	}
	const model = createAdapter(base, {
		rank: values.loraRank,
		alpha: values.loraAlpha,
		targets: values.loraTargets ?? allTargets(base),
		dropout: values.loraDropout,
		rsLora: values.loraRs,
		dora: values.loraDora,
		rng: new Rng([values.seed, "lora"]),
	});
	const names = adapterParameters(model);
	names.delete(newRowsName(model.architecture));
	const defaultLearningRate = Number((loraRateFactor * rate).toPrecision(2));
	return { model, trainable: somethingOf(unfrozen(names, values.freeze), model), defaultLearningRate };
}

/** The names that do not begin with one of `frozen`. */
function unfrozen(all: ReadonlySet<string>, frozen: readonly string[] = []): Set<string> {
	const names = new Set(all);
	for (const prefix of frozen) {
		const matching = [...all].filter((name) => name.startsWith(prefix));
		if (matching.length === 0) {
			throw new UserError("FREEZE_UNKNOWN", `No weight's name begins with "${prefix}".`, {
				where: "--freeze",
				expected: `names such as ${[...all].slice(0, 4).join(", ")}`,
				found: prefix,
			});
		}
		for (const name of matching) names.delete(name);
	}
	return names;
}

/** With the rows of new tokens, when they are a parameter of their own. */
function somethingOf(names: Set<string>, { architecture, parameters }: Model): Set<string> {
	const rows = newRowsName(architecture);
	if (parameters.has(rows)) names.add(rows);
	if (names.size > 0) return names;
	throw new UserError("NOTHING_TO_TRAIN", "All weights are frozen: nothing would be trained.", { where: "--freeze" });
}

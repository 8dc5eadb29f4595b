// The groups of options that several jobs share. A job is a composition of them (jobs.ts); where jobs differ only in a
// default, the group is a function of it.
import type { Overflow } from "../../data/example.ts";
import { rampLearningRates } from "../../optim/batch-ramp.ts";
import { decayExclusions } from "../../optim/parameter-groups.ts";
import { scheduleNames } from "../../optim/schedule.ts";
import {
	boolean,
	choice,
	fractionOrFile,
	integer,
	list,
	number,
	pairs,
	path,
	paths,
	ramp,
	text,
	texts,
} from "./option.ts";
import { optionGroup } from "./table.ts";

const dataHelp = "conversations to train on (JSON, JSON Lines or CSV, recognised by themselves)";

export const modelGroup = optionGroup("Model", {
	model: text({
		default: "builtin",
		placeholder: "DIR|HUB-ID|builtin",
		help: "the model to start from: a folder, a Hugging Face id, or the small built-in one",
	}),
});

export const dialogueDataGroup = optionGroup("Data", {
	data: paths({ required: true, help: dataHelp }),
});

export const optionalDialogueDataGroup = optionGroup("Data", {
	data: paths({ help: `${dataHelp}; without it, the cost of one token is told` }),
});

export const textDataGroup = optionGroup("Data", {
	data: paths({ required: true, help: "plain text, or conversations, to train on" }),
});

export const columnsGroup = optionGroup("Data", {
	columns: pairs(["input", "output"], {
		extra: ["system"],
		placeholder: "input=NAME,...",
		help: "names of the columns or keys that hold question and answer, as in input=q,output=a",
	}),
});

export const lengthGroup = optionGroup("Data", {
	maxLength: integer({ min: 2, unit: "tokens", defaultNote: "the model's context", help: "longest conversation" }),
	overflow: choice(["split", "truncate-left", "drop"] satisfies readonly Overflow[], {
		default: "split",
		help: "a longer one becomes several, keeps its last exchanges, or is left out",
	}),
});

export const lossOfRowsGroup = optionGroup("Data", {
	maxLossOfRows: number({
		min: 0,
		max: 1,
		default: 0.01,
		unit: "part of the rows",
		help: "stop before training when more than this would be dropped or cut",
	}),
});

export const validationGroup = optionGroup("Data", {
	validation: fractionOrFile({
		default: 0.1,
		help: "held-out data: a file, a part of --data (2,000 dialogues at most; of text 262,144 tokens are scored), or 0 for none",
	}),
});

export function testGroup<const Share extends number>({ share }: { share: Share }) {
	return optionGroup("Data", {
		test: fractionOrFile({
			default: share as number,
			help: "held-out data for one last score, by which nothing is chosen: a file, a part of --data, or 0 for none",
		}),
	});
}

/** How long to train; `epochs` is the default, and does not count when `steps` is given. */
export function runLengthGroup<const Epochs extends number>({ epochs }: { epochs: Epochs }) {
	return optionGroup("Training", {
		epochs: number({ above: 0, default: epochs as number, help: "passes over the data, unless --steps is given" }),
		steps: integer({ min: 1, defaultNote: "from --epochs", help: "optimizer updates in all" }),
	});
}

export const stopGroup = optionGroup("Training", {
	stopAt: integer({
		min: 1,
		unit: "steps",
		defaultNote: "the end",
		help: "end at this step, though rate and batch follow the whole length",
	}),
});

export const batchGroup = optionGroup("Training", {
	batchSize: integer({ min: 1, default: 8, unit: "sequences", help: "conversations a micro-step" }),
	accumulate: integer({
		min: 1,
		default: 1,
		unit: "micro-steps",
		help: "micro-steps a step: the batch is this many times larger",
	}),
	tokenBudget: integer({
		min: 1,
		unit: "tokens",
		defaultNote: "1,024; of text 4,096",
		help: "split a micro-step so that no part holds more tokens, padding included",
	}),
	batchRamp: ramp({ help: "let the batch grow: from 8 to 64 sequences over the first 0.3 of training is 8:64@0.3" }),
	rampLearningRate: choice(rampLearningRates, {
		default: "none",
		needs: { batchRamp: "given" },
		help: "how the learning rate grows with the batch",
	}),
});

export const regularisationGroup = optionGroup("Training", {
	dropout: number({ min: 0, below: 1, default: 0, help: "part of the activations to drop" }),
	labelSmoothing: number({ min: 0, below: 1, default: 0, help: "part of each label to spread over the vocabulary" }),
});

export const seedGroup = optionGroup("Training", {
	seed: integer({
		min: 0,
		default: 0,
		help: "for shuffling, dropout and new weights: the same seed gives the same bytes",
	}),
});

export const optimizerGroup = optionGroup("Optimizer", {
	optimizer: choice(["adamw", "adam", "sgd", "rmsprop"], { default: "adamw", help: "update rule, as in torch.optim" }),
	learningRate: number({ above: 0, max: 100, defaultNote: "chosen for the method", help: "highest learning rate" }),
	beta1: number({
		min: 0,
		below: 1,
		default: 0.9,
		needs: { optimizer: ["adamw", "adam"] },
		help: "decay of the first moment",
	}),
	beta2: number({
		min: 0,
		below: 1,
		default: 0.999,
		needs: { optimizer: ["adamw", "adam"] },
		help: "decay of the second moment",
	}),
	epsilon: number({
		above: 0,
		default: 1e-8,
		needs: { optimizer: ["adamw", "adam", "rmsprop"] },
		help: "added to the denominator",
	}),
	momentum: number({ min: 0, below: 1, default: 0, needs: { optimizer: ["sgd", "rmsprop"] }, help: "momentum" }),
	nesterov: boolean({ default: false, needs: { optimizer: ["sgd"] }, help: "Nesterov momentum" }),
	alpha: number({
		min: 0,
		below: 1,
		default: 0.99,
		needs: { optimizer: ["rmsprop"] },
		help: "smoothing of the squares",
	}),
	weightDecay: number({ min: 0, default: 0.01, help: "decoupled in adamw, added to the gradient elsewhere" }),
	decayExclusions: list({
		choices: decayExclusions,
		default: decayExclusions,
		help: "weights without weight decay",
	}),
	maxGradNorm: number({ min: 0, default: 1, help: "clip the gradient to this norm; 0 leaves it" }),
	layerLrDecay: number({
		above: 0,
		max: 1,
		default: 1,
		help: "each layer below the last learns at this part of the rate above it",
	}),
});

export const scheduleGroup = optionGroup("Schedule", {
	lrSchedule: choice(scheduleNames, {
		default: "cosine",
		help: "course of the learning rate after the warm-up (wsd: warm-up, stable, decay)",
	}),
	warmupSteps: integer({
		min: 0,
		unit: "steps",
		defaultNote: "5 % of the steps",
		help: "steps from 0 to the highest rate",
	}),
	minLearningRateRatio: number({
		min: 0,
		max: 1,
		default: 0,
		needs: { lrSchedule: ["linear", "cosine", "wsd"] },
		help: "last learning rate, as a part of the highest",
	}),
});

export const loraGroup = optionGroup("LoRA", {
	lora: boolean({ default: false, help: "train low-rank adapters and leave the model's own weights as they are" }),
	loraRank: integer({ min: 1, default: 8, needs: { lora: [true] }, help: "rank of the adapters" }),
	loraAlpha: number({ above: 0, default: 16, needs: { lora: [true] }, help: "their strength: scaled by alpha / rank" }),
	loraTargets: list({
		defaultNote: "all linear layers",
		needs: { lora: [true] },
		help: "layers that get one, by weight name",
	}),
	loraDropout: number({ min: 0, below: 1, default: 0, needs: { lora: [true] }, help: "dropout before the adapters" }),
	loraRs: boolean({ default: false, needs: { lora: [true] }, help: "rsLoRA: scale by alpha / sqrt(rank)" }),
	loraDora: boolean({ default: false, needs: { lora: [true] }, help: "DoRA: train direction and size apart" }),
	baseBits: choice(["4", "8"], {
		needs: { lora: [true] },
		defaultNote: "32",
		help: "hold the frozen weights in this many bits (QLoRA)",
	}),
});

export const freezeGroup = optionGroup("Training", {
	freeze: list({ defaultNote: "nothing", help: "layers that stay as they are, by weight name or its beginning" }),
});

export const evaluationGroup = optionGroup("Evaluation and saving", {
	evalSteps: integer({ min: 1, unit: "steps", defaultNote: "once an epoch", help: "steps between evaluations" }),
	patience: integer({
		min: 1,
		unit: "evaluations",
		defaultNote: "never",
		help: "stop after this many evaluations without a better validation loss",
	}),
	keep: choice(["best", "last"], { default: "best", help: "which weights become the result" }),
	saveSteps: integer({ min: 1, unit: "steps", defaultNote: "as --eval-steps", help: "steps between checkpoints" }),
	saveTotalLimit: integer({
		min: 1,
		unit: "checkpoints",
		default: 2,
		help: "checkpoints to keep; the best and the last always stay",
	}),
	tensorboard: boolean({ default: false, help: "write the events for TensorBoard, too" }),
});

export const outputGroup = optionGroup("Output", {
	output: path({ required: true, placeholder: "DIR", help: "the run directory to write" }),
	overwrite: boolean({ default: false, help: "replace the output when it exists" }),
});

export const resumeGroup = optionGroup("Output", {
	resume: text({
		placeholder: "DIR|auto",
		help: "go on with this run; auto: with the one in --output, when there is one",
	}),
	allowChange: list({ needs: { resume: "given" }, help: "options that may differ from those of the resumed run" }),
});

export const questionsGroup = optionGroup("Output", {
	ask: texts({ help: "questions to answer before and after; @FILE holds one a line" }),
});

export const machineGroup = optionGroup("Machine", {
	threads: integer({ min: 1, max: 1024, defaultNote: "physical cores", help: "threads to compute with" }),
});

export const memoryGroup = optionGroup("Machine", {
	recompute: boolean({
		default: false,
		help: "compute activations again in the backward pass: less memory, more time",
	}),
});

export const forceGroup = optionGroup("Machine", {
	force: boolean({ default: false, help: "start even when the forecast says that it does not fit" }),
});

/** How the next token is chosen. */
export const samplingGroup = optionGroup("Sampling", {
	maxTokens: integer({ min: 1, default: 256, unit: "tokens", help: "longest answer" }),
	temperature: number({ min: 0, max: 100, default: 0.7, help: "0 always takes the likeliest token" }),
	topK: integer({ min: 1, defaultNote: "all", help: "choose among the k likeliest tokens" }),
	topP: number({ above: 0, max: 1, default: 0.95, help: "choose among the likeliest that make up this probability" }),
	minP: number({ min: 0, max: 1, default: 0, help: "leave out tokens below this part of the likeliest one" }),
	repetitionPenalty: number({ above: 0, default: 1, help: "above 1, tokens that occurred become less likely" }),
	stop: texts({ help: "end the answer before this text" }),
	seed: integer({ min: 0, defaultNote: "a new one each time", help: "the same seed gives the same text" }),
});

export const savedModelGroup = optionGroup("Model", {
	directory: path({
		required: true,
		positional: true,
		placeholder: "DIR",
		help: "a run directory, a model folder, a Hugging Face id, or builtin",
	}),
});

// One option table a job, composed of groups. An option stands here only when the job's recipe reads it.

import { rampLearningRates } from "../../optim/batch-ramp.ts";
import {
	batchGroup,
	columnsGroup,
	dialogueDataGroup,
	evaluationGroup,
	forceGroup,
	freezeGroup,
	lengthGroup,
	loraGroup,
	lossOfRowsGroup,
	machineGroup,
	memoryGroup,
	modelGroup,
	optimizerGroup,
	optionalDialogueDataGroup,
	outputGroup,
	questionsGroup,
	regularisationGroup,
	resumeGroup,
	runLengthGroup,
	samplingGroup,
	savedModelGroup,
	scheduleGroup,
	seedGroup,
	stopGroup,
	testGroup,
	textDataGroup,
	validationGroup,
} from "./groups.ts";
import { boolean, choice, duration, integer, list, number, path, paths, ramp, text, texts } from "./option.ts";
import { searchObjectives } from "./recipe.ts";
import { optionGroup, optionTable } from "./table.ts";

const lengthOrSteps = [["epochs", "steps"]] as const;

export const finetuneOptions = optionTable({ job: "finetune", exclusive: lengthOrSteps }, [
	modelGroup,
	dialogueDataGroup,
	columnsGroup,
	lengthGroup,
	lossOfRowsGroup,
	validationGroup,
	testGroup({ share: 0 }),
	runLengthGroup({ epochs: 3 }),
	stopGroup,
	batchGroup,
	regularisationGroup,
	freezeGroup,
	seedGroup,
	optimizerGroup,
	scheduleGroup,
	loraGroup,
	evaluationGroup,
	outputGroup,
	resumeGroup,
	questionsGroup,
	machineGroup,
	memoryGroup,
	forceGroup,
]);

const newModelGroup = optionGroup("Model", {
	model: text({
		placeholder: "DIR|HUB-ID|builtin",
		defaultNote: "random weights",
		help: "go on with this model, its sizes and its tokenizer, instead of random weights",
	}),
	tokenizer: text({
		default: "bpe",
		placeholder: "DIR|bpe|characters",
		help: "a tokenizer to use, or the kind to train on the data",
	}),
	vocabularySize: integer({
		min: 256,
		default: 8000,
		unit: "tokens",
		needs: { tokenizer: ["bpe"] },
		help: "size of the vocabulary to train",
	}),
	layers: integer({ min: 1, default: 4, help: "transformer layers" }),
	heads: integer({ min: 1, default: 4, help: "attention heads; they divide the channels" }),
	channels: integer({ min: 1, default: 128, help: "width of the model" }),
	blockSize: integer({ min: 2, default: 128, unit: "tokens", help: "context, and length of the training windows" }),
});

export const pretrainOptions = optionTable({ job: "pretrain", exclusive: lengthOrSteps }, [
	newModelGroup,
	textDataGroup,
	columnsGroup,
	lossOfRowsGroup,
	validationGroup,
	runLengthGroup({ epochs: 1 }),
	stopGroup,
	batchGroup,
	regularisationGroup,
	seedGroup,
	optimizerGroup,
	scheduleGroup,
	evaluationGroup,
	outputGroup,
	resumeGroup,
	machineGroup,
	memoryGroup,
	forceGroup,
]);

export const searchOptions = optionTable({ job: "search", exclusive: lengthOrSteps }, [
	modelGroup,
	dialogueDataGroup,
	columnsGroup,
	lengthGroup,
	lossOfRowsGroup,
	validationGroup,
	testGroup({ share: 0.1 }),
	optionGroup("Search", {
		budget: duration({
			defaultNote: "30m, unless --trials is given",
			help: "time for everything, as in 90s, 30m or 2h",
		}),
		trials: integer({ min: 1, unit: "trials", defaultNote: "as many as the budget allows", help: "settings to try" }),
		space: path({
			help: "what to search, in YAML: names of options with ranges or choices; anything else keeps its value",
		}),
		vary: texts({
			placeholder: "NAME=RANGE",
			help: "search this option, too: learning-rate=1e-5..1e-2:log, batch-size=4..64:log or optimizer=adamw,sgd",
		}),
		objective: list({
			choices: searchObjectives,
			default: ["quality"],
			help: "what counts: quality (held-out loss), latency (of a token) or size (in memory); the first one decides",
		}),
		sampler: choice(["tpe", "gp", "sobol", "random"], { default: "tpe", help: "who proposes settings" }),
		pruner: choice(["asha", "hyperband", "median", "none"], {
			default: "asha",
			help: "who stops or pauses the trials that lose",
		}),
		evaluations: integer({
			min: 1,
			default: 9,
			unit: "evaluations",
			help: "times a whole trial is evaluated; asha pauses it after 1, 3, 9, ... of them",
		}),
		noiseSeeds: integer({
			min: 0,
			default: 3,
			unit: "seeds",
			help: "runs of the default settings that measure what luck does; 0 for none",
		}),
		keepTrials: integer({
			min: 1,
			default: 8,
			unit: "trials",
			help: "trials whose checkpoints are kept; another one starts anew if it is wanted after all",
		}),
		baseline: boolean({ default: false, help: "then run random search with the same budget, for comparison" }),
		workers: integer({
			min: 1,
			default: 1,
			unit: "processes",
			help: "processes that share the study (attune search worker), each with its part of the threads",
		}),
	}),
	runLengthGroup({ epochs: 3 }),
	batchGroup,
	regularisationGroup,
	freezeGroup,
	seedGroup,
	optimizerGroup,
	scheduleGroup,
	loraGroup,
	outputGroup,
	resumeGroup,
	machineGroup,
	memoryGroup,
	forceGroup,
]);

export const searchWorkerOptions = optionTable({ job: "search worker" }, [
	optionGroup("Search", {
		study: path({ required: true, placeholder: "DIR", help: "the directory of a search that is running" }),
	}),
]);

export const tokenizerTrainOptions = optionTable({ job: "tokenizer train" }, [
	optionGroup("Data", {
		files: paths({ required: true, positional: true, help: "UTF-8 text, or conversations, to learn from" }),
	}),
	optionGroup("Tokenizer", {
		kind: choice(["bpe", "characters"], {
			default: "bpe",
			help: "byte-level BPE as in GPT-2, or the characters of the text",
		}),
		vocabularySize: integer({
			min: 256,
			default: 8000,
			unit: "tokens",
			needs: { kind: ["bpe"] },
			help: "size of the vocabulary, the 256 bytes included",
		}),
	}),
	optionGroup("Output", {
		output: path({ required: true, placeholder: "DIR", help: "folder for tokenizer.json" }),
		overwrite: boolean({ default: false, help: "replace the output when it exists" }),
	}),
]);

export const dataCheckOptions = optionTable({ job: "data check" }, [
	optionGroup("Data", {
		files: paths({ required: true, positional: true, help: "JSON, JSON Lines, CSV or text" }),
	}),
	columnsGroup,
	lengthGroup,
	optionGroup("Data", {
		model: text({
			default: "builtin",
			placeholder: "DIR|HUB-ID|builtin",
			help: "whose tokenizer and chat template to use",
		}),
		show: integer({ min: 0, default: 0, unit: "rows", help: "rows to show as the model sees them" }),
	}),
]);

export const chatOptions = optionTable({ job: "chat" }, [
	savedModelGroup,
	optionGroup("Conversation", {
		system: text({ help: "instructions put before the conversation" }),
		prefix: text({ help: "a style or topic put before each question" }),
	}),
	samplingGroup,
	machineGroup,
]);

export const generateOptions = optionTable({ job: "generate" }, [
	savedModelGroup,
	optionGroup("Prompt", {
		prompt: text({ required: true, help: "the text to go on with; - reads it from standard input" }),
	}),
	samplingGroup,
	machineGroup,
]);

export const exportOptions = optionTable({ job: "export" }, [
	savedModelGroup,
	optionGroup("Output", {
		output: path({ required: true, placeholder: "DIR", help: "the model folder to write" }),
		overwrite: boolean({ default: false, help: "replace the output when it exists" }),
		merge: boolean({ default: false, help: "add a LoRA adapter to the weights of its base" }),
		dtype: choice(["F32", "F16", "BF16"], { default: "F32", help: "number format of the weights" }),
	}),
]);

export const planOptions = optionTable({ job: "plan", exclusive: lengthOrSteps, sharesConfigWith: finetuneOptions }, [
	modelGroup,
	optionalDialogueDataGroup,
	columnsGroup,
	lengthGroup,
	validationGroup,
	runLengthGroup({ epochs: 3 }),
	batchGroup,
	freezeGroup,
	optionGroup("Optimizer", {
		optimizer: choice(["adamw", "adam", "sgd", "rmsprop"], { default: "adamw", help: "update rule" }),
	}),
	loraGroup,
	machineGroup,
	memoryGroup,
]);

export const benchRampOptions = optionTable({ job: "bench ramp" }, [
	modelGroup,
	dialogueDataGroup,
	columnsGroup,
	lengthGroup,
	validationGroup,
	optionGroup("Training", {
		epochs: number({ above: 0, default: 3, help: "passes over the data, for both sides" }),
		batchRamp: ramp({ defaultNote: "8:64@0.3", help: "the ramp to try" }),
		rampLearningRate: choice(rampLearningRates, {
			default: "none",
			help: "how the learning rate grows with the batch",
		}),
		batchSize: integer({
			min: 1,
			unit: "sequences",
			defaultNote: "the end of the ramp",
			help: "the constant batch to compare with",
		}),
		learningRate: number({ above: 0, max: 100, defaultNote: "chosen for the method", help: "highest learning rate" }),
		seeds: integer({ min: 2, default: 3, unit: "seeds", help: "runs of each side" }),
	}),
	machineGroup,
]);

export const demoOptions = optionTable({ job: "demo" }, [
	optionGroup("Output", {
		output: path({
			default: "runs/demo",
			placeholder: "DIR",
			help: "the run directory to write; an earlier demo in it is replaced",
		}),
	}),
	machineGroup,
]);

/** Every job, for what has to hold for all of them. */
export const optionTables = {
	finetune: finetuneOptions,
	pretrain: pretrainOptions,
	tokenizerTrain: tokenizerTrainOptions,
	dataCheck: dataCheckOptions,
	chat: chatOptions,
	generate: generateOptions,
	export: exportOptions,
	plan: planOptions,
	benchRamp: benchRampOptions,
	search: searchOptions,
	searchWorker: searchWorkerOptions,
	demo: demoOptions,
};

export type JobName = keyof typeof optionTables;

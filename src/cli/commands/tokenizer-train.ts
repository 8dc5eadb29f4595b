// `attune tokenizer train`: a vocabulary from text.
import { tokenizerTrainOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const tokenizerTrainCommand = eventCommand({
	recipe: "tokenizerTrain",
	words: "tokenizer train",
	summary: "make a tokenizer from text",
	table: tokenizerTrainOptions,
	examples: ["attune tokenizer train book.txt --vocabulary-size 8000 --output tokenizer"],
});

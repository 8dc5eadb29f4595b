// The library. Every command of the command line is one function here, with the same options in camelCase: an async
// iterable of events, so that progress can be shown anywhere. `completed` waits for the end of one.

export { Decoder, type DecoderOptions } from "./generate/decoder.ts";
export { type FinishReason, type GenerateEvent, type GenerateOptions, generateText } from "./generate/generate.ts";
export { type SamplingOptions, sampleToken } from "./generate/sample-token.ts";
export { loadModel } from "./models/load-model.ts";
export { type Model, parameterCount, saveModel } from "./models/model.ts";
export { chat } from "./recipes/chat.ts";
export { completed } from "./recipes/completed.ts";
export { dataCheck } from "./recipes/data-check.ts";
export { demo } from "./recipes/demo.ts";
export { finetune } from "./recipes/finetune.ts";
export { generate } from "./recipes/generate.ts";
export type { ChatSession, EventOf, Recipe, RecipeContext, RecipeEvent, RunReport } from "./recipes/options/recipe.ts";
export { pretrain } from "./recipes/pretrain.ts";
export { search } from "./recipes/search.ts";
export { searchWorker } from "./recipes/search-worker.ts";
export { tokenizerTrain } from "./recipes/tokenizer-train.ts";
export { type ChatTemplate, chatTemplateFor, type Role, type Turn } from "./tokenizer/chat-template.ts";
export { loadTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";
export { trainBpe } from "./tokenizer/train-bpe.ts";
export { trainCharacters } from "./tokenizer/train-characters.ts";
export { UserError } from "./util/errors.ts";

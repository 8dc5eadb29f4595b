// What the layers above use of data.
export {
	BatchStream,
	type BatchStreamOptions,
	type BatchStreamState,
	evaluationBatches,
	type TrainingStep,
} from "./batch-stream.ts";
export {
	type DialogueData,
	type DialogueOptions,
	type DialogueReport,
	type HeldOutSource,
	type PreparationProgress,
	prepareDialogues,
} from "./dialogues.ts";
export { type Example, encodeConversation, type Overflow } from "./example.ts";
export { ExampleStore } from "./example-store.ts";
export type { Columns, DatasetFormat, ReadOptions } from "./format.ts";
export { detectFormat, type FormatName, formats, readDialogues, readRows } from "./formats.ts";
export {
	type DataInspection,
	inspectData,
	type Percentiles,
	type RenderedRow,
	type Segment,
	segmentsOf,
} from "./inspect.ts";
export type { Leak } from "./leakage.ts";
export { assertAcceptableLoss, type LedgerReport, type Outcome, outcomes, type ProblemCount } from "./ledger.ts";
export type { HeldOut, MicroBatch, StepBatch } from "./micro-batch.ts";
export { type Problem, type ProblemCode, problemCodes, type Row } from "./row.ts";
export { prepareTexts, type TextData, type TextOptions, type TextReport } from "./texts.ts";
export { TokenArchive } from "./token-archive.ts";
export {
	evaluationWindows,
	type WindowOrder,
	type WindowStep,
	WindowStream,
	type WindowStreamOptions,
	type WindowStreamState,
} from "./windows.ts";

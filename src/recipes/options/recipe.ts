// What a recipe is, seen from outside: options in, events out. The command line shows the events, the server
// streams them, a program reads them. Every recipe may be stopped through a signal: it then writes what it needs to be
// resumed and returns.
import type { LedgerReport } from "../../data/ledger.ts";
import type { Importance } from "../../search/importance.ts";
import type { Choice, Space } from "../../search/space.ts";
import type { Origin as TrialOrigin, TrialState } from "../../search/trial.ts";
import type { Turn } from "../../tokenizer/turn.ts";
import type { Origins } from "./resolve.ts";
import type { OptionsInput, OptionTable } from "./table.ts";

export interface RecipeContext {
	/** Aborted: finish the step, write a checkpoint, return (or throw the signal's reason). */
	signal?: AbortSignal;
	/** Where the options came from, when a command line gathered them; "option" for all otherwise. */
	origins?: Origins;
}

export type Recipe<T extends OptionTable, Event extends RecipeEvent = RecipeEvent> = (
	options: OptionsInput<T>,
	context?: RecipeContext,
) => AsyncIterable<Event>;

/** What a data set looks like, beside what becomes of its rows. */
export interface DataShape {
	format: string;
	conversations: number;
	turns: number;
	/** Tokens of a conversation at these percentiles, as in { 50: 120, 95: 480 }. */
	lengthPercentiles: Readonly<Record<string, number>>;
}

export interface PlanSummary {
	parameters: number;
	trainableParameters: number;
	steps?: number;
	peakBytes: number;
	/** What this machine has free. */
	availableBytes: number;
	diskBytes: number;
	/** There is no room for a copy of what is saved: training waits while a checkpoint is written. */
	waitsForSaves?: true;
	secondsPerEpoch?: number;
	/** Told in its place when there are no data. */
	secondsPerThousandTokens?: number;
	fits: boolean;
	/** The smallest changes that would make it fit, as flags and prose. */
	changes?: readonly string[];
	/** What other models would cost here. */
	alternatives?: readonly {
		model: string;
		parameters: number;
		peakBytes: number;
		secondsPerEpoch?: number;
		fits: boolean;
	}[];
}

export interface RunReport {
	steps: number;
	supervisedTokens: number;
	seconds: number;
	/** Steps not taken because the gradient was not finite. */
	skippedSteps?: number;
	validationLossBefore?: number;
	validationLossAfter?: number;
	/** Of the result, on held-out data by which nothing was chosen. */
	testLoss?: number;
	bestStep?: number;
	/** Losses by step, thinned out. */
	curve?: {
		training: readonly (readonly [step: number, loss: number])[];
		validation: readonly (readonly [step: number, loss: number])[];
	};
	/** What the course of the run suggests for another one. */
	advice?: readonly string[];
	/** What to do next, each a command or a sentence. */
	next?: readonly string[];
}

/** What a search makes better: held-out loss, milliseconds a token, bytes of the model in memory. All are minimized. */
export const searchObjectives = ["quality", "latency", "size"] as const;

export type SearchObjective = (typeof searchObjectives)[number];

/** A trial of a search as people read it. */
export interface TrialSummary {
	number: number;
	/** What is searched, by the name of the option in camelCase. */
	settings: Readonly<Record<string, Choice>>;
	origin: TrialOrigin;
	state: TrialState;
	/** Parts of its whole training, 0 to 1: done, and where it pauses next. */
	trained: number;
	target: number;
	/** One for each objective, as of the last rung. */
	values?: readonly number[];
	/** Spent on it so far. */
	seconds: number;
	/** Why it failed. */
	reason?: string;
}

/** Random search beside the study: run with the same budget, or replayed from the study's own trials. */
export type SearchBaseline =
	| { kind: "run"; trials: number; seconds: number; validationLoss: number; testLoss?: number }
	| { kind: "replayed"; times: number; runs: number; expected: number; optimistic: number; pessimistic: number }
	| { kind: "unknown"; reason: string };

export interface SearchReport {
	objectives: readonly SearchObjective[];
	/** Best first; the repeats that measure noise are left out. */
	ranking: readonly TrialSummary[];
	/** Trials of the whole study, noise repeats and failures included. */
	trials: number;
	/** How far two seeds of one setting lie apart in the first objective, by luck alone. */
	noise?: { deviation: number; margin: number; seeds: number };
	/** Numbers of the trials within noise of the best, cheapest first. */
	ties: readonly number[];
	/** The cheapest of the ties, and where its settings stand as a config file. */
	winner: TrialSummary & { config: string };
	/** Numbers of the trials that no other beats in every objective. With one objective: the best. */
	front: readonly number[];
	/** Of the model as it was, and of the winner's best checkpoint. The test part was never searched by. */
	validationLoss: { before: number; winner: number };
	testLoss?: { before: number; winner: number };
	/** What mattered, most important first; absent when there are too few trials to tell. */
	importance?: Importance;
	baselines: readonly SearchBaseline[];
	/** Of this call and process. `training` and `evaluating` are what the budget is for. */
	seconds: { total: number; training: number; evaluating: number; other: number };
	/** What to do next, each a command or a sentence. */
	next: readonly string[];
}

/** Everything that recipes tell. Types are noun-verb; numbers of time are in seconds, of memory in bytes. */
export type RecipeEvent =
	| {
			type: "data-read";
			files: readonly string[];
			use: "training" | "validation" | "test" | "check";
			shape?: DataShape;
			ledger: LedgerReport;
	  }
	| { type: "text-read"; files: readonly string[]; documents: number; tokens: number; heldOutTokens: number }
	| { type: "row-rendered"; line: number; fate: string; pieces: readonly { text: string; supervised: boolean }[] }
	| { type: "plan-made"; plan: PlanSummary }
	| { type: "work-advanced"; what: string; done: number; total?: number; unit: "bytes" | "items" }
	/** Now and then during a long evaluation; tokens are supervised ones. */
	| { type: "evaluation-advanced"; part: "validation" | "test"; tokens: number; totalTokens: number }
	| {
			type: "step-done";
			step: number;
			/** Steps in all. */
			steps: number;
			/** Mean over the supervised tokens of the step. */
			loss: number;
			learningRate: number;
			/** Since the run began. */
			supervisedTokens?: number;
			supervisedTokensPerSecond: number;
			secondsLeft: number;
			gradientNorm: number;
			/** The measure of a useful batch (McCandlish et al., 2018), in supervised tokens, where it is known. */
			gradientNoiseScale?: number;
			batchSize: number;
	  }
	| { type: "evaluation-done"; step: number; loss: number; perplexity: number }
	| { type: "checkpoint-saved"; step: number; path: string }
	| { type: "warning"; code: string; message: string; hint?: string }
	| { type: "answer"; question: string; before?: string; after?: string }
	| { type: "metric-measured"; name: string; value: number; low?: number; high?: number; baseline?: number }
	| { type: "text-generated"; text: string }
	| { type: "generation-done"; finishReason: "stop" | "length" | "aborted"; tokens: number; tokensPerSecond: number }
	| { type: "file-written"; path: string; bytes: number }
	/** A study begins or goes on. */
	| {
			type: "search-started";
			directory: string;
			objectives: readonly SearchObjective[];
			space: Space;
			/** Trials there are already. */
			trials: readonly TrialSummary[];
			budgetSeconds?: number;
			/** Random search for comparison, after the study itself. */
			baseline: boolean;
	  }
	/** Something became of a trial: it was started, paused, promoted, pruned, done, or it failed. */
	| { type: "trial-changed"; trial: TrialSummary; best: boolean; secondsLeft?: number }
	/** A step of the trial that is being trained. */
	| { type: "trial-advanced"; trial: number; step: number; steps: number; loss: number; secondsLeft?: number }
	| { type: "search-done"; directory: string; report: SearchReport }
	| { type: "run-done"; directory: string; report: RunReport };

export type EventOf<Type extends RecipeEvent["type"]> = Extract<RecipeEvent, { type: Type }>;

/** A conversation that remembers its turns. One question at a time. */
export interface ChatSession {
	/**
	 * Streams the answer in whole characters. Aborted, it ends early without an error, and the turn counts with the
	 * text that was streamed. When it throws, the turn is as if it was never asked. `onNotice` hears what the person
	 * should know, such as that the oldest turns no longer fit.
	 */
	ask(text: string, options: { signal: AbortSignal; onNotice?: (notice: string) => void }): AsyncIterable<string>;
	/** Forgets the turns; system text and prefix stay. */
	reset(): void;
	/** undefined: none. Takes effect with the next question. */
	setSystem(text: string | undefined): void;
	/** Put before each question from now on. undefined: none. */
	setPrefix(text: string | undefined): void;
	/** The turns so far, the system turn first when there is one. */
	transcript(): readonly Turn[];
	/** Frees the model. */
	[Symbol.asyncDispose](): Promise<void>;
}

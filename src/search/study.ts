// A study: one search, shared by any number of workers through its storage. Everything it knows is the sum of the
// records there (state.ts). Whoever is free takes a turn under the storage's lock: reads what the others did, decides,
// writes the decision. Decisions are pure functions of the records, so one worker that is killed and started again
// writes the same journal as one that was not.
//
// It knows nothing of what is searched. The objective is a function from settings and steps to values.
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../util/errors.ts";
import { Rng } from "../util/rng.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { StopReason, StudyEvent } from "./events.ts";
import { type Failure, isFailure, type Outcome, readOutcome } from "./outcome.ts";
import { parseSpace } from "./parse-space.ts";
import { completePoint, defaultPoint } from "./point.ts";
import { noPruner, type Pruner } from "./pruners/pruner.ts";
import { bestTrials, measureNoise, mostPromising, type Noise, type Ranking, rankTrials } from "./ranking.ts";
import type { StudyHeader, StudyRecord } from "./records.ts";
import type { Sampler } from "./samplers/sampler.ts";
import { tpeSampler } from "./samplers/tpe.ts";
import type { Json, Params, ParamsOf, Space } from "./space.ts";
import { applyRecord, emptyState, type StudyState } from "./state.ts";
import { memoryStorage } from "./storage/memory.ts";
import type { StorageTransaction, StudyStorage } from "./storage/storage.ts";
import { type Direction, isCandidate, lastStep, type Trial } from "./trial.ts";

export interface StudyOptions<S extends Space> {
	readonly space: S;
	/** Default: TPE. */
	readonly sampler?: Sampler;
	/** Default: none. `ashaPruner` and `hyperbandPruner` pause trials at rungs. */
	readonly pruner?: Pruner;
	/** Default: memory. */
	readonly storage?: StudyStorage;
	/** For one objective; "minimize" unless said. */
	readonly direction?: Direction;
	/** For several objectives. */
	readonly directions?: readonly Direction[];
	/** The root of all randomness, and the seed that trials are given; 0 unless said. */
	readonly seed?: number;
	/** The whole budget of one trial in the objective's steps, for pruners without rungs; 1 unless said. */
	readonly maxStep?: number;
	/** Runs the default point first, with so many seeds, to the lowest rung, and so measures seed noise; 0 unless said. */
	readonly noiseSeeds?: number;
	/** Milliseconds since the epoch; the machine's clock unless said. */
	readonly clock?: Clock;
	/** A name for this worker in the journal. */
	readonly worker?: string;
}

/** A trial in hand: to be run from `fromStep` to `toStep`, then told. */
export interface ActiveTrial<S extends Space> {
	readonly number: number;
	readonly params: ParamsOf<S>;
	/** For the trial's own randomness. The same for every setting, so that settings differ by nothing else. */
	readonly seed: number;
	/** 0, or the step of `checkpoint`. */
	readonly fromStep: number;
	readonly toStep: number;
	/** What the objective returned, or saved, at `fromStep`. */
	readonly checkpoint: Json | undefined;
	/**
	 * Records an intermediate value. Steps that were reported before the trial was interrupted are passed over.
	 * A value that is not finite fails the trial: stop when `shouldPrune` says so.
	 */
	report(value: number, step: number): Promise<void>;
	/** Whether to stop now and return "pruned": the pruner gave the trial up, or it has failed. */
	shouldPrune(): boolean;
	/** Records where the trial can go on from if it is interrupted between rungs. */
	saveCheckpoint(checkpoint: Json, step: number): Promise<void>;
}

export interface ObjectiveContext<S extends Space> {
	readonly params: ParamsOf<S>;
	readonly trial: ActiveTrial<S>;
	readonly fromStep: number;
	readonly toStep: number;
	readonly checkpoint: Json | undefined;
	/**
	 * Aborted when the budget is used up or the caller stops. Then save a checkpoint if you can, and throw: the trial
	 * will go on from there. A value that is returned counts as the value at `toStep`.
	 */
	readonly signal: AbortSignal;
}

export type Objective<S extends Space> = (context: ObjectiveContext<S>) => Outcome | Promise<Outcome>;

export interface OptimizeOptions {
	/** Wall-clock time of this call, milliseconds. */
	readonly budgetMs?: number;
	/** Trials of the whole study, those before this call included (noise repeats and enqueued points too). */
	readonly maxTrials?: number;
	readonly signal?: AbortSignal;
	/** Stops with an error when so many trials, and no other, have failed; 5 unless said. */
	readonly stopAfterFailures?: number;
	/** How often the lease on the running trial is renewed, milliseconds; 20 seconds unless said. */
	readonly heartbeatMs?: number;
	/**
	 * Asked before each turn: whether the time has come to begin nothing new, but to bring the paused trials that may still
	 * win to their whole budget, whatever the pruner would do. Never, unless said.
	 */
	readonly finishing?: () => boolean;
}

/**
 * Makes a study, or opens the one in `storage`. Throws a UserError when the options do not fit together
 * (STUDY_OPTIONS, SPACE_INVALID) or differ from those the study was made with (STUDY_MISMATCH).
 */
export async function createStudy<const S extends Space>(options: StudyOptions<S>): Promise<Study<S>> {
	const { sampler = tpeSampler(), pruner = noPruner(), storage = memoryStorage(), clock = systemClock } = options;
	const { seed = 0, maxStep = 1, noiseSeeds = 0 } = options;
	const directions = options.directions ?? [options.direction ?? "minimize"];
	const header: StudyHeader = {
		version: 1,
		space: parseSpace(options.space),
		directions,
		seed,
		sampler: { name: sampler.name, options: sampler.options },
		pruner: { name: pruner.name, options: pruner.options },
		maxStep,
		noiseSeeds,
	};
	checkOptions(options, header, pruner);
	const state = emptyState();
	await storage.exclusive((transaction) => {
		for (const record of transaction.read(0)) applyRecord(state, record);
		if (state.header !== undefined) return checkSame(state.header, header);
		const record: StudyRecord = { type: "study-created", ...header, at: clock() };
		transaction.append(record);
		applyRecord(state, record);
	});
	return new Study<S>({ state, storage, sampler, pruner, clock, worker: options.worker ?? "" });
}

/** The study in a storage as it is now, to look at: no sampler or pruner is needed. Undefined when there is none. */
export function readStudy(storage: StudyStorage): StudySnapshot | undefined {
	const state = emptyState();
	for (const record of storage.read(0)) applyRecord(state, record);
	const { header, trials } = state;
	return header && { ...header, trials };
}

export interface StudySnapshot extends StudyHeader {
	readonly trials: readonly Trial[];
}

interface Parts {
	readonly state: StudyState;
	readonly storage: StudyStorage;
	readonly sampler: Sampler;
	readonly pruner: Pruner;
	readonly clock: Clock;
	readonly worker: string;
}

/** Made by `createStudy`. Close it when done, so that the trials it holds are free for others at once. */
export class Study<S extends Space> {
	readonly #parts: Parts;
	readonly #state: StudyState;
	readonly #header: StudyHeader;

	constructor(parts: Parts) {
		this.#parts = parts;
		this.#state = parts.state;
		this.#header = parts.state.header as StudyHeader;
	}

	get space(): S {
		return this.#header.space as S;
	}
	get directions(): readonly Direction[] {
		return this.#header.directions;
	}
	/** The paused trial that `finishing` would go on with; undefined when none may still win. */
	get mostPromising(): Trial<ParamsOf<S>> | undefined {
		const trials = this.#state.trials.filter(isCandidate);
		return mostPromising({ trials, directions: this.directions }) as Trial<ParamsOf<S>> | undefined;
	}
	/** As of the last turn of this worker. */
	get trials(): readonly Trial<ParamsOf<S>>[] {
		return this.#state.trials as unknown as readonly Trial<ParamsOf<S>>[];
	}
	/** The best trial by value alone; see `ranking` for ties. With several objectives: one of the front. */
	get best(): Trial<ParamsOf<S>> | undefined {
		return this.front[0];
	}
	/** The non-dominated trials. With one objective: the best. */
	get front(): readonly Trial<ParamsOf<S>>[] {
		return bestTrials(this.trials, this.directions);
	}
	/** Seed noise, when the study has `noiseSeeds` and they are done. */
	get noise(): Noise | undefined {
		return measureNoise(this.trials);
	}
	/** Trials in order, ties within noise, and the cheapest of them. */
	get ranking(): Ranking<Trial<ParamsOf<S>>> {
		return rankTrials(this.trials, { directions: this.directions });
	}
	/** The study as plain data, for importance, plots and baseline. */
	get snapshot(): StudySnapshot {
		return { ...this.#header, trials: [...this.#state.trials] };
	}

	/** Adds a point to be tried before the sampler's next one. Missing parameters take their defaults. */
	async enqueue(params: Partial<ParamsOf<S>>): Promise<void> {
		const point = completePoint(this.#header.space, params as Params);
		await this.#turn(({ write }) => write({ type: "point-enqueued", params: point, at: this.#now() }));
	}

	/** The next thing to run. Tell its outcome. Throws STUDY_EXHAUSTED when the sampler has no point left. */
	async ask(): Promise<ActiveTrial<S>> {
		const next = await this.#turn((turn) =>
			this.#next(turn, { maxTrials: Number.POSITIVE_INFINITY, finishing: false }),
		);
		if (next !== undefined) return this.#activate(next.trial);
		throw new UserError("STUDY_EXHAUSTED", "The sampler has no point left to try.", {
			hint: "Every point of the grid was tried. Use more points, or another sampler.",
		});
	}

	/** Records the outcome of a trial from `ask`: its value(s) at `toStep`, "pruned", or why it failed. */
	async tell(trial: ActiveTrial<S>, outcome: Outcome | Failure): Promise<void> {
		const startedAt = this.#startedAt.get(trial) ?? this.#now();
		await this.#turn((turn) => this.#settle(turn, { trial, outcome, startedAt }));
	}

	/**
	 * Asks, runs and tells until the budget, the trials or the points are used up or the signal is aborted; yields what
	 * happens. Leaving the loop early is safe: the trial in hand is run again when the study goes on. Throws a UserError
	 * (EVERY_TRIAL_FAILED) when nothing but failures came.
	 */
	async *optimize(objective: Objective<S>, options: OptimizeOptions = {}): AsyncGenerator<StudyEvent<ParamsOf<S>>> {
		const { budgetMs, maxTrials = Number.POSITIVE_INFINITY, stopAfterFailures = 5, heartbeatMs = 20_000 } = options;
		const finishing = options.finishing ?? (() => false);
		const endsAt = budgetMs === undefined ? Number.POSITIVE_INFINITY : this.#now() + budgetMs;
		const stop = stopSignal(options.signal, budgetMs);
		let best = this.#bestNumbers();
		try {
			for (;;) {
				const over = (): StopReason | undefined =>
					options.signal?.aborted ? "aborted" : stop.signal.aborted || this.#now() >= endsAt ? "budget" : undefined;
				const reason = over();
				if (reason !== undefined) return yield { type: "study-stopped", reason };
				const hurry = finishing();
				const next = await this.#turn((turn) => this.#next(turn, { maxTrials, finishing: hurry }));
				if (next === undefined && this.#state.trials.some(({ state }) => state === "running")) {
					// Other workers have them: each may be promoted, or be left behind.
					await sleep(waitMs);
					continue;
				}
				if (next === undefined) {
					const exhausted = this.#state.trials.length < maxTrials;
					return yield { type: "study-stopped", reason: hurry ? "finished" : exhausted ? "exhausted" : "trials" };
				}
				const active = this.#activate(next.trial);
				const { number, params, fromStep, toStep, checkpoint } = active;
				let told = false;
				try {
					if (next.promoted) yield { type: "trial-promoted", trial: this.#trial(number), toStep };
					yield { type: "trial-started", trial: this.#trial(number), fromStep, toStep };
					const beat = setInterval(() => void this.#renew(number), heartbeatMs);
					beat.unref?.();
					let outcome: Outcome | Failure;
					try {
						outcome = await objective({ params, trial: active, fromStep, toStep, checkpoint, signal: stop.signal });
					} catch (error) {
						outcome = { failed: error instanceof Error ? error.message : String(error) };
					} finally {
						clearInterval(beat);
					}
					if (over() !== undefined && isFailure(outcome)) {
						yield { type: "trial-interrupted", trial: this.#trial(number) };
						continue;
					}
					await this.tell(active, outcome);
					told = true;
				} finally {
					if (!told) await this.#turn(({ transaction }) => transaction.release(number));
				}
				yield* this.#eventsOf(number, toStep);
				const now = this.#bestNumbers();
				if (now !== best) yield { type: "best-changed", best: this.front };
				best = now;
				this.#checkFailures(number, stopAfterFailures);
			}
		} finally {
			stop.dispose();
		}
	}

	/** Gives up the trials this worker holds. */
	async close(): Promise<void> {
		await this.#parts.storage.close();
	}

	/** Reads what other workers did. */
	async refresh(): Promise<void> {
		await this.#turn(() => undefined);
	}

	readonly #startedAt = new WeakMap<ActiveTrial<S>, number>();

	#now(): number {
		return this.#parts.clock();
	}

	#trial(number: number): Trial<ParamsOf<S>> {
		const trial = this.#state.trials[number] as unknown as Trial<ParamsOf<S>>;
		return { ...trial, rungs: [...trial.rungs], reports: [...trial.reports] };
	}

	#turn<T>(body: (turn: Turn) => T): Promise<T> {
		return this.#parts.storage.exclusive((transaction) => {
			for (const record of transaction.read(this.#state.records)) applyRecord(this.#state, record);
			const write = (record: StudyRecord) => {
				transaction.append(record);
				applyRecord(this.#state, record);
			};
			return body({ transaction, write });
		});
	}

	/** Takes the next run: one that was interrupted, a promotion, a noise repeat, an enqueued point, a new proposal. */
	#next(
		{ transaction, write }: Turn,
		{ maxTrials, finishing }: { maxTrials: number; finishing: boolean },
	): { trial: Trial; promoted: boolean } | undefined {
		const { trials } = this.#state;
		const leased = transaction.leased();
		const orphan = trials.find(({ state, number }) => state === "running" && !leased.has(number));
		if (orphan !== undefined) {
			transaction.lease(orphan.number);
			return { trial: orphan, promoted: false };
		}
		const context = { trials: trials.filter(isCandidate), directions: this.directions };
		const promoted = finishing ? mostPromising(context) : this.#parts.pruner.promote(context);
		if (promoted !== undefined) {
			const toStep = this.#rungs(promoted.bracket).find((step) => step > promoted.toStep) as number;
			write({ type: "trial-promoted", trial: promoted.number, toStep, at: this.#now() });
			transaction.lease(promoted.number);
			return { trial: promoted, promoted: true };
		}
		if (finishing || trials.length >= maxTrials) return undefined;
		const created = this.#create(context);
		if (created === undefined) return undefined;
		write(created);
		transaction.lease(created.trial);
		return { trial: trials[created.trial] as Trial, promoted: false };
	}

	#create(context: { trials: readonly Trial[]; directions: readonly Direction[] }) {
		const { trials, queue } = this.#state;
		const { space, seed, noiseSeeds } = this.#header;
		const trial = trials.length;
		const made = (params: Params, origin: Trial["origin"], rest: { seed?: number; bracket?: number } = {}) => {
			const bracket = rest.bracket ?? this.#parts.pruner.nextBracket(context);
			const toStep = this.#rungs(bracket)[0] as number;
			return {
				type: "trial-created" as const,
				trial,
				params,
				origin,
				seed: rest.seed ?? seed,
				bracket,
				toStep,
				at: this.#now(),
			};
		};
		// Repeat 0 is a candidate like any other; the rest only measure, at the same step, with seeds of their own.
		if (trial === 0 && noiseSeeds > 0) return made(defaultPoint(space), "default", { bracket: 0 });
		if (trial < noiseSeeds) return made(defaultPoint(space), "noise", { bracket: 0, seed: seed + trial });
		if (queue[0] !== undefined) return made(queue[0], "enqueued");
		const index = trials.filter(({ origin }) => origin === "random" || origin === "model").length;
		const rng = new Rng([seed, "trial", trial]);
		const suggestion = this.#parts.sampler.suggest({ space, trials, directions: this.directions, rng, seed, index });
		return suggestion && made(suggestion.params, suggestion.origin);
	}

	#rungs(bracket: number): readonly number[] {
		return this.#parts.pruner.rungs(bracket) ?? [this.#header.maxStep];
	}

	#activate(trial: Trial): ActiveTrial<S> {
		const { number, params, seed, toStep, checkpoint } = trial;
		const current = () => this.#state.trials[number] as Trial;
		let giveUp = false;
		const active: ActiveTrial<S> = {
			number,
			params: params as ParamsOf<S>,
			seed,
			fromStep: checkpoint?.step ?? 0,
			toStep,
			checkpoint: checkpoint?.ref,
			report: (value, step) =>
				this.#turn(({ write }) => {
					const { state, reports } = current();
					if (state !== "running") giveUp = true;
					else if (!Number.isFinite(value)) {
						const durationMs = this.#now() - (this.#startedAt.get(active) as number);
						const reason = `the value reported at step ${step} is ${value}`;
						write({
							type: "trial-failed",
							trial: number,
							reason,
							durationMs,
							worker: this.#parts.worker,
							at: this.#now(),
						});
						giveUp = true;
					} else if (step > (reports.at(-1)?.step ?? Number.NEGATIVE_INFINITY)) {
						write({ type: "value-reported", trial: number, step, value, at: this.#now() });
					}
				}),
			shouldPrune: () => {
				if (giveUp || current().origin === "noise") return giveUp;
				const trials = this.#state.trials.filter(isCandidate);
				return this.#parts.pruner.shouldPrune(current(), { trials, directions: this.directions });
			},
			saveCheckpoint: (ref, step) =>
				this.#turn(({ write }) => {
					const { state, checkpoint: before } = current();
					if (state !== "running" || step <= (before?.step ?? 0)) return;
					write({ type: "checkpoint-saved", trial: number, step, checkpoint: ref, at: this.#now() });
				}),
		};
		this.#startedAt.set(active, this.#now());
		return active;
	}

	/** Writes what became of a run, unless that is known already: a report failed it, or another worker took it over. */
	#settle({ write, transaction }: Turn, { trial, outcome, startedAt }: Settling<S>): void {
		const { state, toStep, origin, bracket, reports } = this.#state.trials[trial.number] as Trial;
		transaction.release(trial.number);
		if (state !== "running" || toStep !== trial.toStep) return;
		const at = this.#now();
		const common = { trial: trial.number, durationMs: at - startedAt, worker: this.#parts.worker, at };
		const result = readOutcome(outcome, this.directions.length);
		if (result === "pruned") write({ type: "trial-pruned", ...common, step: reports.at(-1)?.step ?? trial.fromStep });
		else if ("failed" in result) write({ type: "trial-failed", ...common, reason: result.failed });
		else {
			// A noise repeat never goes on: it has told what it was run for.
			const last = origin === "noise" || toStep === this.#rungs(bracket).at(-1);
			write({ type: "rung-done", ...common, step: toStep, outcome: last ? "done" : "paused", ...result });
		}
	}

	*#eventsOf(number: number, toStep: number): Generator<StudyEvent<ParamsOf<S>>> {
		const trial = this.#trial(number);
		const last = trial.rungs.at(-1);
		if (last?.step === toStep) yield { type: "rung-done", trial, step: toStep, values: last.values };
		if (trial.state === "paused") yield { type: "trial-paused", trial, step: toStep };
		if (trial.state === "done") yield { type: "trial-done", trial, values: last?.values ?? [] };
		if (trial.state === "pruned") yield { type: "trial-pruned", trial, step: trial.reports.at(-1)?.step ?? 0 };
		if (trial.state === "failed") yield { type: "trial-failed", trial, reason: trial.reason ?? "" };
	}

	#bestNumbers(): string {
		return this.front.map((trial) => `${trial.number}@${lastStep(trial)}`).join();
	}

	#checkFailures(number: number, limit: number): void {
		const { trials } = this.#state;
		const failed = trials.filter(({ state }) => state === "failed");
		const ended = trials.filter(({ state, rungs }) => state !== "running" || rungs.length > 0);
		if (trials[number]?.state !== "failed" || failed.length < limit || failed.length < ended.length) return;
		const reasons = [...new Set(failed.map(({ reason }) => reason))];
		throw new UserError(
			"EVERY_TRIAL_FAILED",
			`The first ${failed.length} trials all failed, so the search has stopped.`,
			{
				found: reasons.slice(0, 3).join("; "),
				hint: "Run the objective once by hand with the default settings. Then fix it, or narrow the space.",
			},
		);
	}

	async #renew(number: number): Promise<void> {
		// A beat that is missed costs nothing; the next comes soon.
		await this.#turn(({ transaction }) => transaction.lease(number)).catch(() => undefined);
	}
}

/** Between looks at what other workers do when there is nothing to do but wait for them. */
const waitMs = 100;

interface Turn {
	readonly transaction: StorageTransaction;
	readonly write: (record: StudyRecord) => void;
}

interface Settling<S extends Space> {
	readonly trial: ActiveTrial<S>;
	readonly outcome: Outcome | Failure;
	readonly startedAt: number;
}

/** A signal that aborts with the caller's, or when the budget is over. */
function stopSignal(outer: AbortSignal | undefined, budgetMs: number | undefined) {
	const controller = new AbortController();
	const abort = () => controller.abort(outer?.reason);
	if (outer?.aborted) abort();
	outer?.addEventListener("abort", abort, { once: true });
	// setTimeout counts in 32 bits; a longer budget is watched by the clock between trials.
	const timer =
		budgetMs !== undefined && budgetMs < 2 ** 31 ? setTimeout(() => controller.abort(), budgetMs) : undefined;
	return {
		signal: controller.signal,
		dispose() {
			clearTimeout(timer);
			outer?.removeEventListener("abort", abort);
		},
	};
}

function checkOptions(options: StudyOptions<Space>, header: StudyHeader, pruner: Pruner): void {
	const refuse = (message: string, rest: { expected?: string; found?: string; hint?: string }) => {
		throw new UserError("STUDY_OPTIONS", message, rest);
	};
	const { directions, seed, maxStep, noiseSeeds } = header;
	if (options.direction !== undefined && options.directions !== undefined) {
		refuse("Give `direction` for one objective or `directions` for several, not both.", {});
	}
	const unknown = directions.find((one) => one !== "minimize" && one !== "maximize");
	if (directions.length === 0 || unknown !== undefined) {
		refuse("An objective is minimized or maximized.", {
			expected: '"minimize" or "maximize"',
			found: JSON.stringify(directions),
		});
	}
	if (!Number.isSafeInteger(seed)) refuse("The seed is a whole number.", { found: `${seed}` });
	if (!(maxStep > 0 && Number.isFinite(maxStep))) refuse("maxStep is a number above 0.", { found: `${maxStep}` });
	if (!Number.isInteger(noiseSeeds) || noiseSeeds < 0 || noiseSeeds === 1) {
		refuse("Noise takes at least two seeds, or none.", {
			expected: "noiseSeeds: 0, 2, 3, ...",
			found: `${noiseSeeds}`,
		});
	}
	if (pruner.singleObjective && directions.length > 1) {
		refuse(`The ${pruner.name} pruner compares reports of a single objective.`, {
			found: `${directions.length} objectives`,
			hint: "Use ashaPruner or hyperbandPruner.",
		});
	}
}

/** A study goes on as it was begun: other options would make its journal a mixture of two. */
function checkSame(old: StudyHeader, now: StudyHeader): void {
	for (const field of Object.keys(now) as (keyof StudyHeader)[]) {
		const [was, is] = [JSON.stringify(old[field]), JSON.stringify(now[field])];
		if (was === is) continue;
		throw new UserError("STUDY_MISMATCH", `The stored study was made with another ${field}.`, {
			where: field,
			expected: was.slice(0, 300),
			found: is.slice(0, 300),
			hint: "Open it with the same options, or start a new study in another place.",
		});
	}
}

// One process at work on a study: trials are trained as the study asks for them, until the budget or the trials are used
// up. The recipe, its workers and the baseline are all this, on different journals or with different samplers.

import { join } from "node:path";
import {
	ashaPruner,
	createStudy,
	gpSampler,
	hyperbandPruner,
	journalStorage,
	medianPruner,
	noPruner,
	type ObjectiveContext,
	type Params,
	randomSampler,
	rankTrials,
	type Space,
	type Study,
	type StudyEvent,
	type StudyRecord,
	sobolSampler,
	type Trial,
	tpeSampler,
} from "../../search/index.ts";
import { isCandidate, lastStep } from "../../search/trial.ts";
import { Channel } from "../../util/channel.ts";
import { partsOfRun } from "../finetune.ts";
import { finetuneOptions, type searchOptions } from "../options/jobs.ts";
import type { EventOf, RecipeEvent, SearchObjective, TrialSummary } from "../options/recipe.ts";
import { resolveOptions } from "../options/resolve.ts";
import type { OptionsOf } from "../options/table.ts";
import { bytesInMemory, millisecondsPerToken } from "./measures.ts";
import { type Course, canStartFrom, courseOf, differInRateOnly } from "./shared-start.ts";
import { informedGuesses, settingsOf } from "./space.ts";
import { hasCheckpoint, journalFile, knownLatency, removeTrial, trialDirectory } from "./study-files.ts";
import { runTrial, type TimeSpent, type TrialStart } from "./trial-run.ts";
import type { FinetuneValues, Setting, Workbench } from "./workbench.ts";

export type SearchValues = OptionsOf<typeof searchOptions>;

export interface StudyRunOptions {
	/** Where journal and trials are. */
	directory: string;
	bench: Workbench;
	space: Space;
	/** Settings of `finetune` for everything that is not searched. */
	fixed: FinetuneValues;
	values: Pick<SearchValues, "sampler" | "pruner" | "evaluations" | "noiseSeeds" | "keepTrials" | "objective" | "seed">;
	threads: number;
	/** Added to as it is spent. */
	spent: TimeSpent;
}

/** A trial's checkpoint as the journal names it: another trial's, when the two were one training. */
interface CheckpointReference {
	trial: number;
	step: number;
}

/** Share of the time to finish a trial that is added to its forecast. */
const margin = 0.15;

const eta = 3;

/** Samplers that learn from points, whoever chose them. */
const usesModel: ReadonlySet<string> = new Set(["tpe", "gp"]);

/** Opens the study in the directory, or makes it there. Close it when done. */
export class StudyRun {
	readonly study: Study<Space>;
	readonly #options: StudyRunOptions;
	readonly #objectives: readonly SearchObjective[];

	private constructor(study: Study<Space>, options: StudyRunOptions) {
		this.study = study;
		this.#options = options;
		this.#objectives = options.values.objective as readonly SearchObjective[];
	}

	static async open(options: StudyRunOptions): Promise<StudyRun> {
		const { directory, space, values } = options;
		const { evaluations, noiseSeeds, seed, objective } = values;
		const rungs = { minStep: 1, maxStep: evaluations, eta };
		const pruners = {
			asha: () => ashaPruner(rungs),
			hyperband: () => hyperbandPruner(rungs),
			median: () => medianPruner(),
			none: noPruner,
		};
		const samplers = { tpe: tpeSampler, gp: gpSampler, sobol: sobolSampler, random: randomSampler };
		const storage = journalStorage(join(directory, journalFile));
		const study = await createStudy<Space>({
			space,
			sampler: samplers[values.sampler](),
			pruner: pruners[values.pruner](),
			storage,
			directions: objective.map(() => "minimize" as const),
			seed,
			maxStep: evaluations,
			noiseSeeds,
			worker: `${process.pid}`,
		});
		// Random search and sequences are what they are. A study that was killed here has some of the guesses already.
		const enqueued = storage.read(0).filter((record) => (record as StudyRecord).type === "point-enqueued").length;
		if (usesModel.has(values.sampler) && study.trials.length === 0)
			for (const guess of informedGuesses(space).slice(enqueued)) await study.enqueue(guess);
		return new StudyRun(study, options);
	}

	/** What a point means for `finetune`, with everything said. */
	valuesOf(params: Params): FinetuneValues {
		const { fixed, bench } = this.#options;
		return resolveOptions(finetuneOptions, {
			options: { ...fixed, ...settingsOf(params, { fixed, examples: bench.dialogues.train.length }) },
		}).values;
	}

	summary(trial: Trial): TrialSummary {
		const { evaluations } = this.#options.values;
		const values = trial.rungs.at(-1)?.values;
		return {
			number: trial.number,
			settings: trial.params,
			origin: trial.origin,
			state: trial.state,
			trained: lastStep(trial) / evaluations,
			target: trial.toStep / evaluations,
			...(values && { values }),
			seconds: trial.rungs.reduce((sum, { durationMs }) => sum + durationMs, 0) / 1000,
			...(trial.reason !== undefined && { reason: trial.reason }),
		};
	}

	/** By value wherever a trial stopped: its best checkpoint so far can be had as it is. */
	get ranking() {
		return rankTrials(this.study.trials, { directions: this.study.directions, anyStep: true });
	}

	get objectives(): readonly SearchObjective[] {
		return this.#objectives;
	}

	/** Where the best weights of a trial are. Was its checkpoint removed, the trial is trained once more. */
	async bestCheckpoint(trial: Trial): Promise<TrialStart> {
		const { directory, bench, values } = this.#options;
		const reference = trial.checkpoint?.ref as CheckpointReference | undefined;
		if (reference) {
			const start = { directory: trialDirectory(directory, reference.trial), step: reference.step };
			if (await hasCheckpoint(start.directory, start.step)) return start;
		}
		const place = trialDirectory(directory, trial.number);
		const result = await runTrial(
			{
				bench,
				values: this.valuesOf(trial.params),
				seed: trial.seed,
				evaluations: values.evaluations,
				target: lastStep(trial),
				directory: place,
			},
			this.#options.spent,
		);
		if (result.end !== "reached") throw new Error("a trial without a limit came to no end");
		return { directory: place, step: result.step };
	}

	/** What there is to say before the work. */
	started({ endsAt }: { endsAt: number | null }, { baseline }: { baseline: boolean }): EventOf<"search-started"> {
		const { directory, space } = this.#options;
		return {
			type: "search-started",
			directory,
			objectives: this.#objectives,
			space,
			trials: this.study.trials.map((trial) => this.summary(trial)),
			...(endsAt !== null && { budgetSeconds: Math.max(0, (endsAt - Date.now()) / 1000) }),
			baseline,
		};
	}

	/** Works on the study until `endsAt` (milliseconds since the epoch), so many trials, or the signal. */
	async *work({
		endsAt,
		trials,
		signal,
	}: {
		endsAt: number | null;
		trials: number | null;
		signal?: AbortSignal | undefined;
	}): AsyncGenerator<RecipeEvent> {
		const channel = new Channel<RecipeEvent>();
		const stop = new AbortController();
		const abort = () => stop.abort(signal?.reason);
		if (signal?.aborted) abort();
		signal?.addEventListener("abort", abort, { once: true });
		const secondsLeft = () => (endsAt === null ? {} : { secondsLeft: Math.max(0, (endsAt - Date.now()) / 1000) });
		const work = async () => {
			const events = this.study.optimize((context) => this.#objective(context, channel, secondsLeft), {
				...(endsAt !== null && { budgetMs: Math.max(0, endsAt - Date.now()) }),
				...(trials !== null && { maxTrials: trials }),
				finishing: () => this.#finishing({ endsAt, trials }),
				signal: stop.signal,
			});
			let best = this.ranking.order[0]?.number;
			for await (const event of events) {
				const now = this.ranking.order[0]?.number;
				const told = this.#told(event);
				if (told)
					channel.push({
						type: "trial-changed",
						trial: told,
						best: told.number === now && now !== best,
						...secondsLeft(),
					});
				best = now;
				if (event.type === "rung-done") await this.#tidy();
			}
		};
		const done = work().then(
			() => channel.close(),
			(error: unknown) => channel.close({ error }),
		);
		try {
			yield* channel;
		} finally {
			stop.abort();
			signal?.removeEventListener("abort", abort);
			await done;
		}
	}

	async close(): Promise<void> {
		await this.study.close();
	}

	async #objective(
		{ params, trial, fromStep, toStep, signal }: ObjectiveContext<Space>,
		channel: Channel<RecipeEvent>,
		secondsLeft: () => { secondsLeft?: number },
	) {
		const { bench, directory, values, threads } = this.#options;
		const twin = this.#twin(trial);
		const done = twin?.rungs.find(({ step }) => step === toStep);
		if (twin && done) {
			const checkpoint = twin.toStep === toStep ? (twin.checkpoint?.ref ?? undefined) : undefined;
			return {
				value: done.values,
				...(checkpoint !== undefined && { checkpoint }),
				...(done.cost !== undefined && { cost: done.cost }),
			};
		}
		const settings = this.valuesOf(params);
		const from = await this.#start(trial, settings);
		const result = await runTrial(
			{
				bench,
				values: settings,
				seed: trial.seed,
				evaluations: values.evaluations,
				target: toStep,
				directory: trialDirectory(directory, trial.number),
				from,
				signal,
				onStep: ({ step, steps, loss }) =>
					channel.push({ type: "trial-advanced", trial: trial.number, step, steps, loss, ...secondsLeft() }),
				...(values.pruner === "median" && {
					onEvaluation: async (best, evaluation) => {
						await trial.report(best, evaluation);
						return trial.shouldPrune();
					},
				}),
			},
			this.#options.spent,
		);
		if (result.end === "given-up") return "pruned" as const;
		if (result.end === "interrupted") {
			if (result.evaluation > fromStep) {
				await trial.saveCheckpoint({ trial: trial.number, step: result.step }, result.evaluation);
			}
			throw new Error("interrupted");
		}
		const measured: number[] = [];
		for (const objective of this.#objectives) {
			if (objective === "quality") measured.push(result.loss);
			else if (objective === "size") measured.push(bytesInMemory(result.setting.model));
			else measured.push(await this.#latency(result.setting, threads));
		}
		return { value: measured, checkpoint: { trial: trial.number, step: result.step }, cost: result.flops };
	}

	/** An earlier trial with the same settings: the two are one training. */
	#twin({ number, params, seed }: { number: number; params: Params; seed: number }): Trial | undefined {
		const same = JSON.stringify(params);
		return this.study.trials.find(
			(other) => other.number < number && other.seed === seed && JSON.stringify(other.params) === same,
		);
	}

	/** Its own checkpoint, or, for a new trial, that of another one which is the same training so far. */
	async #start(
		{ number, seed, checkpoint }: { number: number; seed: number; checkpoint: unknown },
		settings: FinetuneValues,
	): Promise<TrialStart | undefined> {
		const { directory, bench, values } = this.#options;
		const own = checkpoint as CheckpointReference | undefined;
		if (own) {
			const start = { directory: trialDirectory(directory, own.trial), step: own.step };
			// Its checkpoint was removed when it seemed to have lost: it is trained anew, to the same bytes.
			if (await hasCheckpoint(start.directory, start.step)) return start;
		}
		const { evaluations } = values;
		let furthest: TrialStart | undefined;
		for (const other of this.study.trials) {
			const reference = other.checkpoint?.ref as CheckpointReference | undefined;
			if (other.number === number || other.state !== "paused" || other.seed !== seed || !reference) continue;
			const theirs = this.valuesOf(other.params);
			if (!differInRateOnly(settings, theirs) || reference.step <= (furthest?.step ?? 0)) continue;
			const parts = partsOfRun(settings, bench.dialogues);
			const [mine, course] = [settings, theirs].map((one) => courseOf(one, { parts, evaluations })) as [Course, Course];
			if (!canStartFrom(mine, course, reference.step)) continue;
			const place = trialDirectory(directory, reference.trial);
			if (await hasCheckpoint(place, reference.step))
				furthest = { directory: place, step: reference.step, borrowed: true };
		}
		return furthest;
	}

	/** Of what it depends on: the graph, never the weights. */
	#latency({ model, values }: Setting, threads: number): Promise<number> {
		const { lora, loraRank, loraTargets, loraDora, baseBits } = values;
		const key = JSON.stringify([baseBits, lora && [loraRank, loraTargets, loraDora]]);
		return knownLatency(this.#options.directory, key, () => millisecondsPerToken(model, { threads }));
	}

	/** Whether what is left of the budget is needed for the trial that may still win. */
	#finishing({ endsAt, trials }: { endsAt: number | null; trials: number | null }): boolean {
		if (trials !== null && this.study.trials.length >= trials) return true;
		const candidate = this.study.mostPromising;
		if (endsAt === null || candidate === undefined) return false;
		const spent = candidate.rungs.reduce((sum, { durationMs }) => sum + durationMs, 0);
		const needed = (spent / lastStep(candidate)) * (this.#options.values.evaluations - lastStep(candidate));
		const runs = this.study.trials.flatMap(({ rungs }) => rungs).map(({ durationMs }) => durationMs);
		const usual = runs.reduce((sum, ms) => sum + ms, 0) / runs.length;
		return Date.now() + usual + needed * (1 + margin) > endsAt;
	}

	/** Removes the checkpoints of trials that lost, and of those beyond the number to keep. */
	async #tidy(): Promise<void> {
		const { directory, values } = this.#options;
		const { trials, front } = this.study;
		const { ties } = this.ranking;
		const keep = new Set<number>(front.map(({ number }) => number));
		const paused = trials.filter(({ state }) => state === "paused");
		const inRung = (step: number) =>
			trials
				.filter((trial) => isCandidate(trial) && trial.rungs.some((rung) => rung.step === step))
				.sort((a, b) => valueAt(a, step) - valueAt(b, step));
		// The winner first, then the best of each rung in turn: who is near promotion.
		const wanted: Trial[] = [...ties.slice(0, 1)];
		const steps = [...new Set(paused.map(lastStep))].sort((a, b) => b - a);
		const rungs = steps.map(inRung);
		for (let rank = 0; rank < Math.max(0, ...rungs.map(({ length }) => length)); rank++) {
			for (const [i, rung] of rungs.entries()) {
				const trial = rung[rank];
				if (trial?.state === "paused" && lastStep(trial) === steps[i]) wanted.push(trial);
			}
		}
		for (const trial of wanted) {
			const reference = trial.checkpoint?.ref as CheckpointReference | undefined;
			if (reference && keep.size < Math.max(values.keepTrials, front.length)) keep.add(reference.trial);
		}
		for (const { number, state } of trials) {
			if (state !== "running" && !keep.has(number)) await removeTrial(directory, number);
		}
	}

	#told(event: StudyEvent<Params>): TrialSummary | undefined {
		switch (event.type) {
			case "trial-started":
			case "trial-paused":
			case "trial-pruned":
			case "trial-failed":
			case "trial-done":
			case "trial-interrupted":
				return this.summary(event.trial);
			default:
				return undefined;
		}
	}
}

const valueAt = (trial: Trial, step: number) =>
	trial.rungs.find((rung) => rung.step === step)?.values[0] ?? Number.POSITIVE_INFINITY;

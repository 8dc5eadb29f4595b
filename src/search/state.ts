// The state of a study: the sum of its records. `applyRecord` checks each record against the state before it, so a
// journal that was edited or damaged is refused with the record's number and never half-believed.
import { UserError } from "../util/errors.ts";
import { parseSpace } from "./parse-space.ts";
import { completePoint } from "./point.ts";
import type { StudyHeader, StudyRecord } from "./records.ts";
import type { Json, Params } from "./space.ts";
import type { Origin, Report, RungResult, Trial, TrialState } from "./trial.ts";

export interface StudyState {
	header: StudyHeader | undefined;
	readonly trials: MutableTrial[];
	/** Enqueued points that no trial has taken yet, oldest first. */
	readonly queue: Params[];
	/** Records applied so far. */
	records: number;
}

interface MutableTrial extends Trial {
	state: TrialState;
	toStep: number;
	readonly rungs: RungResult[];
	readonly reports: Report[];
	checkpoint?: { readonly step: number; readonly ref: Json };
	reason?: string;
}

export function emptyState(): StudyState {
	return { header: undefined, trials: [], queue: [], records: 0 };
}

/** Applies one record. `data` may come from a file: anything that does not fit throws JOURNAL_CORRUPT. */
export function applyRecord(state: StudyState, data: unknown): void {
	const corrupt = (why: string, cause?: unknown) =>
		new UserError("JOURNAL_CORRUPT", `Record ${state.records + 1} of the study's journal does not fit: ${why}.`, {
			where: `record ${state.records + 1}`,
			found: JSON.stringify(data)?.slice(0, 120) ?? "nothing",
			hint: "The file was changed by something else. Restore it, or cut it off before this line to go on from there.",
			cause,
		});
	if (typeof data !== "object" || data === null || Array.isArray(data)) throw corrupt("it is not an object");
	const record = data as StudyRecord;
	const need = (truth: unknown, why: string) => {
		if (!truth) throw corrupt(why);
	};
	need(isNumber(record.at), "`at` is not a number");
	if (record.type === "study-created") {
		need(state.records === 0, "a study is created once, at the start");
		state.header = checkHeader(record, need, corrupt);
	} else {
		const { header } = state;
		if (header === undefined) throw corrupt("the first record must create the study");
		const point = (params: unknown): Params => {
			need(typeof params === "object" && params !== null && !Array.isArray(params), "`params` is not a point");
			try {
				return completePoint(header.space, params as Params);
			} catch (cause) {
				throw corrupt("its point is not in the space", cause);
			}
		};
		if (record.type === "point-enqueued") state.queue.push(point(record.params));
		else if (record.type === "trial-created") {
			need(record.trial === state.trials.length, `the next trial is ${state.trials.length}`);
			need(Object.hasOwn(ORIGINS, record.origin), "unknown origin");
			need(isCount(record.bracket) && isNumber(record.seed), "bad bracket or seed");
			need(isNumber(record.toStep) && record.toStep > 0, "bad toStep");
			if (record.origin === "enqueued") need(state.queue.shift() !== undefined, "nothing was enqueued");
			const { trial: number, origin, seed, bracket, toStep } = record;
			const params = point(record.params);
			state.trials.push({ number, params, origin, state: "running", seed, bracket, toStep, rungs: [], reports: [] });
		} else {
			const trial = isCount(record.trial) ? state.trials[record.trial] : undefined;
			if (trial === undefined) throw corrupt("it names a trial that does not exist");
			applyToTrial(trial, record, { need, objectives: header.directions.length });
		}
	}
	state.records++;
}

type TrialRecord = Exclude<StudyRecord, { type: "study-created" | "point-enqueued" | "trial-created" }>;
type Need = (truth: unknown, why: string) => void;

function applyToTrial(
	trial: MutableTrial,
	record: TrialRecord,
	{ need, objectives }: { need: Need; objectives: number },
) {
	const running = () => need(trial.state === "running", `trial ${trial.number} is ${trial.state}, not running`);
	if (record.type === "trial-promoted") {
		need(trial.state === "paused", `trial ${trial.number} is ${trial.state}, not paused`);
		need(isNumber(record.toStep) && record.toStep > trial.toStep, "a promotion goes to a later step");
		trial.state = "running";
		trial.toStep = record.toStep;
		return;
	}
	running();
	switch (record.type) {
		case "value-reported":
			need(isNumber(record.value) && isNumber(record.step), "bad report");
			need(record.step > (trial.reports.at(-1)?.step ?? Number.NEGATIVE_INFINITY), "reports go forward");
			trial.reports.push({ step: record.step, value: record.value });
			return;
		case "checkpoint-saved":
			need(isNumber(record.step) && record.checkpoint !== undefined, "bad checkpoint");
			trial.checkpoint = { step: record.step, ref: record.checkpoint };
			return;
		case "rung-done": {
			need(record.step === trial.toStep, `trial ${trial.number} was to run to step ${trial.toStep}`);
			need(Array.isArray(record.values) && record.values.length === objectives, `it needs ${objectives} value(s)`);
			need(record.values.every(isNumber), "values must be finite numbers");
			need(record.cost === undefined || isNumber(record.cost), "bad cost");
			need(isNumber(record.durationMs), "bad duration");
			need(record.outcome === "paused" || record.outcome === "done", "unknown outcome");
			const { step, values, cost, durationMs } = record;
			trial.rungs.push({ step, values, ...(cost !== undefined && { cost }), durationMs });
			if (record.checkpoint !== undefined) trial.checkpoint = { step, ref: record.checkpoint };
			trial.state = record.outcome;
			return;
		}
		case "trial-pruned":
			need(isNumber(record.step), "bad step");
			trial.state = "pruned";
			return;
		case "trial-failed":
			need(typeof record.reason === "string", "a failure needs its reason");
			trial.state = "failed";
			trial.reason = record.reason;
			return;
		default:
			need(false, `its type ${JSON.stringify((record as { type: unknown }).type)} is unknown`);
	}
}

function checkHeader(
	record: StudyRecord & { type: "study-created" },
	need: Need,
	corrupt: (why: string, cause?: unknown) => UserError,
): StudyHeader {
	const { version, directions, seed, sampler, pruner, maxStep, noiseSeeds } = record;
	need(version === 1, "it was written by another version of attune");
	need(Array.isArray(directions) && directions.length > 0, "no directions");
	need(
		directions.every((direction) => direction === "minimize" || direction === "maximize"),
		"unknown direction",
	);
	need(isNumber(seed) && isNumber(maxStep) && maxStep > 0 && isCount(noiseSeeds), "bad seed, maxStep or noiseSeeds");
	for (const part of [sampler, pruner]) {
		need(
			typeof part?.name === "string" && typeof part.options === "object" && part.options !== null,
			"bad sampler or pruner",
		);
	}
	try {
		return { version, space: parseSpace(record.space), directions, seed, sampler, pruner, maxStep, noiseSeeds };
	} catch (cause) {
		throw corrupt("its search space is invalid", cause);
	}
}

const ORIGINS = { default: 1, noise: 1, enqueued: 1, random: 1, model: 1 } satisfies Record<Origin, 1>;

function isNumber(value: unknown): value is number {
	return typeof value === "number" && Number.isFinite(value);
}

function isCount(value: unknown): value is number {
	return isNumber(value) && Number.isInteger(value) && value >= 0;
}

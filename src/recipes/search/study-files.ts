// Where a search keeps its things, inside the run directory:
//
//     study.jsonl              the journal: the study itself
//     trials/0007/checkpoints  where a trial can go on from, and its best weights
//     workers.json             until when other processes may work on it
//     latency.json             what a token takes, by what it depends on
//     baseline/                random search with the same budget: a journal and trials of its own
//     winner.yaml              the winner's settings, for `finetune --config`
//     model/                   the winner's best checkpoint
//     front/0007/              with several objectives, the models that no other beats

import { readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { checkpointName, checkpointsFolder } from "../../checkpoint/checkpoints.ts";
import { writeFileAtomic } from "../../util/atomic-file.ts";

export const journalFile = "study.jsonl";
export const winnerFile = "winner.yaml";
export const baselineFolder = "baseline";
export const frontFolder = "front";
const workersFile = "workers.json";
const latencyFile = "latency.json";
const trialsFolder = "trials";

/** What a search writes besides the files of every run. */
export const searchFiles = [
	...["", ".lock", ".leases"].map((end) => `${journalFile}${end}`),
	...[winnerFile, baselineFolder, frontFolder, workersFile, latencyFile, trialsFolder],
	...["history", "rungs", "parallel", "slices", "importance"].map((plot) => `${plot}.svg`),
];

export const trialFolderName = (trial: number) => String(trial).padStart(4, "0");

export const trialDirectory = (study: string, trial: number) => join(study, trialsFolder, trialFolderName(trial));

export async function hasCheckpoint(directory: string, step: number): Promise<boolean> {
	const there = await stat(join(directory, checkpointsFolder, checkpointName(step))).catch(() => undefined);
	return there !== undefined;
}

export async function removeTrial(study: string, trial: number): Promise<void> {
	await rm(trialDirectory(study, trial), { recursive: true, force: true });
}

/** What a worker needs to know of the call that runs the study. */
export interface WorkOrder {
	/** Milliseconds since the epoch; null: until there is nothing left to do. */
	endsAt: number | null;
	trials: number | null;
	keepTrials: number;
}

export async function writeWorkOrder(study: string, order: WorkOrder): Promise<void> {
	await writeFileAtomic(join(study, workersFile), `${JSON.stringify(order)}\n`);
}

export async function readWorkOrder(study: string): Promise<WorkOrder | undefined> {
	return readJson<WorkOrder>(join(study, workersFile));
}

/** Milliseconds a token, by what they depend on: measured once a study, so that every process tells the same. */
export async function knownLatency(study: string, key: string, measure: () => Promise<number>): Promise<number> {
	const path = join(study, latencyFile);
	const known = (await readJson<Record<string, number>>(path)) ?? {};
	const before = known[key];
	if (before !== undefined) return before;
	const measured = await measure();
	await writeFileAtomic(path, `${JSON.stringify({ ...known, [key]: measured }, null, "\t")}\n`);
	return measured;
}

async function readJson<T>(path: string): Promise<T | undefined> {
	const text = await readFile(path, "utf8").catch(() => undefined);
	return text === undefined ? undefined : (JSON.parse(text) as T);
}

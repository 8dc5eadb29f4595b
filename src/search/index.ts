// attune/search: find good settings for anything that returns a number. A library of its own: Study, Trial, Sampler,
// Pruner, Storage. It knows nothing of models.

export { type RandomReplay, replayRandomSearch } from "./baseline.ts";
export { type Clock, systemClock } from "./clock.ts";
export type { StopReason, StudyEvent } from "./events.ts";
export { type Importance, type ImportanceOptions, importanceOf, type ParameterImportance } from "./importance.ts";
export type { DetailedOutcome, Failure, Outcome } from "./outcome.ts";
export { dominates, hypervolume, nonDominatedSort } from "./pareto.ts";
export { parseSpace } from "./parse-space.ts";
export { historyPlot, importancePlot, parallelPlot, rungsPlot, slicesPlot } from "./plots/plots.ts";
export { completePoint, defaultPoint } from "./point.ts";
export { type AshaOptions, ashaPruner } from "./pruners/asha.ts";
export { hyperbandPruner } from "./pruners/hyperband.ts";
export { type MedianOptions, medianPruner } from "./pruners/median.ts";
export { type PatientOptions, patientPruner } from "./pruners/patient.ts";
export { noPruner, type Pruner, type PrunerContext } from "./pruners/pruner.ts";
export { type ThresholdOptions, thresholdPruner } from "./pruners/threshold.ts";
export { bestTrials, measureNoise, type Noise, type Ranking, rankTrials } from "./ranking.ts";
export { type Named, type StudyHeader, type StudyRecord, TIME_FIELDS, withoutTime } from "./records.ts";
export { type GpOptions, gpSampler } from "./samplers/gp.ts";
export { gridSampler } from "./samplers/grid.ts";
export { randomSampler } from "./samplers/random.ts";
export type { Sampler, SamplerContext, Suggestion } from "./samplers/sampler.ts";
export { sobolSampler } from "./samplers/sobol.ts";
export { type TpeOptions, tpeSampler } from "./samplers/tpe.ts";
export {
	type CategoricalParameter,
	type Choice,
	categorical,
	type FloatParameter,
	float,
	type IntParameter,
	int,
	type Json,
	type Parameter,
	type Params,
	type ParamsOf,
	type Space,
	type When,
} from "./space.ts";
export { type JournalOptions, journalStorage } from "./storage/journal.ts";
export { memoryStorage, type SharedMemory } from "./storage/memory.ts";
export type { StorageTransaction, StudyStorage } from "./storage/storage.ts";
export {
	type ActiveTrial,
	createStudy,
	type Objective,
	type ObjectiveContext,
	type OptimizeOptions,
	readStudy,
	type Study,
	type StudyOptions,
	type StudySnapshot,
} from "./study.ts";
export type { Direction, Origin, Report, RungResult, Trial, TrialState } from "./trial.ts";

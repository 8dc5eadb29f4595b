// Optimizers, schedules and what decides how each parameter is updated.

export * from "./batch-ramp.ts";
export { clippingScale } from "./clipping.ts";
export type { Moment, Optimizer, SettingRule, Settings, Update, UpdateInputs, Variant } from "./optimizer.ts";
export { type OptimizerName, optimizerNames, optimizers, resolveSettings } from "./optimizers.ts";
export * from "./parameter-groups.ts";
export {
	type OptimizerState,
	type Parameter,
	ParameterUpdater,
	type ParameterUpdaterOptions,
} from "./parameter-updater.ts";
export { createSchedule, type Schedule, type ScheduleName, type ScheduleOptions, scheduleNames } from "./schedule.ts";

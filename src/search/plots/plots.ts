// The pictures of a study: plain functions from its data to SVG text. `objective` chooses among several; the first unless
// said. Values are shown as the objective returned them.
import type { Importance } from "../importance.ts";
import { toUnit } from "../point.ts";
import { bestTrials } from "../ranking.ts";
import type { Choice, Parameter } from "../space.ts";
import type { StudySnapshot } from "../study.ts";
import { isCandidate, lastStep, type Trial } from "../trial.ts";
import {
	axes,
	describe,
	dot,
	emptyPlot,
	type Frame,
	HEIGHT,
	label,
	path,
	type Scale,
	scaleFor,
	svg,
	text,
	WIDTH,
} from "./svg.ts";

type Study = Pick<StudySnapshot, "space" | "trials" | "directions">;
interface PlotOptions {
	readonly objective?: number;
	/** What the values are, for the axis: "held-out loss". */
	readonly valueLabel?: string;
}

const FRAME: Frame = { left: 84, right: WIDTH - 24, top: 62, bottom: HEIGHT - 56 };

/** Every trial's last value in order, and the best so far among those that went furthest. */
export function historyPlot(study: Study, { objective = 0, valueLabel = "value" }: PlotOptions = {}): string {
	const title = "History: value of each trial, and the best so far";
	const trials = scored(study.trials);
	if (trials.length === 0) return emptyPlot(title, "No trial has a value yet.");
	const furthest = Math.max(...trials.map(lastStep));
	const values = trials.map((trial) => lastValue(trial, objective));
	const x = scaleFor([0, Math.max(1, study.trials.length - 1)], { from: FRAME.left, to: FRAME.right, whole: true });
	const y = valueScale(values, FRAME);
	const better = study.directions[objective] === "maximize" ? Math.max : Math.min;
	const best: [number, number][] = [];
	let sofar: number | undefined;
	const dots = trials.map((trial, i) => {
		const value = values[i] as number;
		const whole = lastStep(trial) === furthest;
		if (whole) {
			if (sofar !== undefined) best.push([x(trial.number), y(sofar)]);
			sofar = sofar === undefined ? value : better(sofar, value);
			best.push([x(trial.number), y(sofar)]);
		}
		const hint = `trial ${trial.number}, step ${lastStep(trial)}: ${label(value)}\n${describe(trial.params)}`;
		return dot([x(trial.number), y(value)], whole ? "c0" : "c2", { hint });
	});
	if (sofar !== undefined) best.push([FRAME.right, y(sofar)]);
	const failed = study.trials.filter(({ state }) => state === "failed");
	const crosses = failed.map(({ number, reason }) =>
		dot([x(number), FRAME.top + 4], "c1", { hint: `trial ${number} failed: ${reason}`, radius: 3 }),
	);
	const legend = `blue: step ${label(furthest)}${trials.some((trial) => lastStep(trial) < furthest) ? "; grey: stopped earlier" : ""}${
		failed.length > 0 ? "; orange at the top: failed" : ""
	}; orange line: best so far`;
	return svg({
		title,
		body: [
			axes(FRAME, { x, y, xLabel: "trial", yLabel: valueLabel }),
			...dots,
			...crosses,
			path(best, "c1 line"),
			text({ x: FRAME.right, y: 48, anchor: "end", className: "quiet" }, legend),
		],
	});
}

/** Each trial's values over its rungs: where it was paused, and what it became when it went on. */
export function rungsPlot(study: Study, { objective = 0, valueLabel = "value" }: PlotOptions = {}): string {
	const title = "Rungs: value of each trial as it was given more steps";
	const trials = scored(study.trials);
	if (trials.length === 0) return emptyPlot(title, "No trial has a value yet.");
	const steps = trials.flatMap(({ rungs }) => rungs.map(({ step }) => step));
	const values = trials.flatMap(({ rungs }) => rungs.map((rung) => rung.values[objective] as number));
	const x = scaleFor(steps, { from: FRAME.left + 12, to: FRAME.right - 12, log: true });
	const y = valueScale(values, FRAME);
	const best = new Set(bestTrials(trials, study.directions).map(({ number }) => number));
	// The best are drawn last, on top.
	const ordered = [...trials].sort((a, b) => Number(best.has(a.number)) - Number(best.has(b.number)));
	const body = ordered.flatMap((trial) => {
		const points = trial.rungs.map((rung) => [x(rung.step), y(rung.values[objective] as number)] as const);
		const colour = best.has(trial.number) ? "c1" : "c0";
		const hint = `trial ${trial.number}\n${describe(trial.params)}`;
		return [
			path(points, `${colour} line`, best.has(trial.number) ? 1 : 0.45),
			...points.map((point) => dot(point, colour, { hint })),
		];
	});
	const exact = [...new Set(steps)].sort((a, b) => a - b).slice(0, 12);
	const ticks: Scale = Object.assign((value: number) => x(value), {
		ticks: exact.map((step) => ({ at: x(step), label: label(step) })),
	});
	return svg({
		title,
		body: [
			axes(FRAME, { x: ticks, y, xLabel: "step (logarithmic)", yLabel: valueLabel }),
			...body,
			text({ x: FRAME.right, y: 48, anchor: "end", className: "quiet" }, "orange: the best"),
		],
	});
}

/** One line for each trial through its settings; the stronger, the better its rank. */
export function parallelPlot(study: Study, { objective = 0, valueLabel = "value" }: PlotOptions = {}): string {
	const title = "Parallel coordinates: settings of each trial";
	const trials = furthestFirst(study, objective);
	if (trials.length === 0) return emptyPlot(title, "No trial has a value yet.");
	const names = Object.keys(study.space);
	// A column needs room for the labels of the next.
	const width = Math.max(WIDTH, 150 + names.length * 92);
	const frame = { ...FRAME, left: 96, right: width - 54, top: 64 };
	const column = (i: number) => frame.left + ((frame.right - frame.left) * i) / names.length;
	const rows = (u: number) => frame.bottom - u * (frame.bottom - frame.top);
	const y = valueScale(
		trials.map((trial) => lastValue(trial, objective)),
		frame,
	);
	const lines = [...trials].reverse().map((trial, i) => {
		const points: [number, number][] = [];
		names.forEach((name, at) => {
			const value = trial.params[name];
			if (value !== undefined) points.push([column(at), rows(toUnit(study.space[name] as Parameter, value))]);
		});
		points.push([column(names.length), y(lastValue(trial, objective))]);
		const rank = (i + 1) / trials.length;
		return path(
			points,
			i === trials.length - 1 ? "c1 line" : "c0 curve",
			i === trials.length - 1 ? 1 : 0.08 + 0.6 * rank ** 3,
		);
	});
	const rulers = [...names, valueLabel].flatMap((name, i) => {
		const parameter = study.space[name];
		const ticks =
			i < names.length && parameter
				? parameterTicks(parameter).map(({ u, label: l }) => ({ at: rows(u), label: l }))
				: y.ticks;
		// Long names would run into each other: every second one a line lower.
		return [
			path(
				[
					[column(i), frame.top],
					[column(i), frame.bottom],
				],
				"axis",
			),
			...ticks.map(({ at, label: l }) =>
				text({ x: column(i) - 5, y: at + 4, anchor: "end", className: "quiet over" }, l),
			),
			text({ x: column(i), y: frame.bottom + (i % 2 === 0 ? 22 : 40), anchor: "middle" }, name),
		];
	});
	return svg({
		title,
		width,
		body: [...lines, ...rulers, text({ x: frame.right, y: 48, anchor: "end", className: "quiet" }, "orange: the best")],
	});
}

/** The value over each setting, one small plot a parameter, with its average effect when the importance is given. */
export function slicesPlot(study: Study, options: PlotOptions & { readonly importance?: Importance } = {}): string {
	const { objective = 0, valueLabel = "value", importance } = options;
	const title = "Slices: value over each setting";
	const trials = furthestFirst(study, objective);
	if (trials.length === 0) return emptyPlot(title, "No trial has a value yet.");
	const names = Object.keys(study.space);
	const across = Math.min(names.length, 3);
	const down = Math.ceil(names.length / across);
	const cell = { width: (WIDTH - 24) / across, height: 210 };
	const body = names.flatMap((name, i) => {
		const left = (i % across) * cell.width + 76;
		const top = 66 + Math.floor(i / across) * cell.height;
		const frame: Frame = { left, right: left + cell.width - 88, top, bottom: top + cell.height - 62 };
		const y = valueScale(
			trials.map((trial) => lastValue(trial, objective)),
			frame,
		);
		const parameter = study.space[name] as Parameter;
		const place = (value: Choice) => frame.left + toUnit(parameter, value) * (frame.right - frame.left);
		const x: Scale = Object.assign((value: number) => value, {
			ticks: parameterTicks(parameter, 3).map(({ u, label: l }) => ({
				at: frame.left + u * (frame.right - frame.left),
				label: l,
			})),
		});
		const dots = trials.flatMap((trial) => {
			const value = trial.params[name];
			const hint = `trial ${trial.number}: ${label(lastValue(trial, objective))}\n${describe(trial.params)}`;
			return value === undefined
				? []
				: [dot([place(value), y(lastValue(trial, objective))], "c0", { hint, radius: 2.5 })];
		});
		const effect = importance?.parameters.find((one) => one.name === name)?.effect ?? [];
		const points = effect.map(
			({ value, mean }) => [place(value), Math.min(Math.max(y(mean), frame.top), frame.bottom)] as const,
		);
		// Choices have no order, so that a line from one to the next would say nothing.
		const curves =
			parameter.type === "categorical"
				? points.map(([at, height]) =>
						path(
							[
								[at - 9, height],
								[at + 9, height],
							],
							"c1 line",
						),
					)
				: [path(points, "c1 line")];
		return [axes(frame, { x, y, xLabel: name, ...(i % across === 0 && { yLabel: valueLabel }) }), ...dots, ...curves];
	});
	if (importance !== undefined) {
		body.push(text({ x: FRAME.right, y: 48, anchor: "end", className: "quiet" }, "orange: average effect (fANOVA)"));
	}
	return svg({ title, body, height: 66 + down * cell.height });
}

/** How much of the objective's variance each setting explains alone. */
export function importancePlot(importance: Importance | undefined): string {
	const title = "Importance: share of the variance each setting explains";
	if (importance === undefined) return emptyPlot(title, "Too few trials with different values to tell.");
	const bars = [
		...importance.parameters.map(({ name, importance: share }) => ({ name, share })),
		{ name: "(interactions)", share: importance.interactions },
	];
	const frame: Frame = { left: 190, right: WIDTH - 70, top: 48, bottom: 60 + bars.length * 30 };
	const x = scaleFor([0, 1], { from: frame.left, to: frame.right });
	const body = bars.flatMap(({ name, share }, i) => {
		const y = frame.top + 8 + i * 30;
		return [
			`<rect class="${name === "(interactions)" ? "c2" : "c0"}" x="${frame.left}" y="${y}" width="${Math.max(1, x(share) - frame.left).toFixed(1)}" height="20"/>`,
			text({ x: frame.left - 8, y: y + 15, anchor: "end" }, name),
			text({ x: x(share) + 8, y: y + 15, className: "quiet" }, `${(100 * share).toFixed(1)} %`),
		];
	});
	return svg({
		title,
		height: frame.bottom + 56,
		body: [axes(frame, { x, xLabel: `share of variance; ${importance.method}, ${importance.trials} trials` }), ...body],
	});
}

function scored(trials: readonly Trial[]): Trial[] {
	return trials.filter((trial) => isCandidate(trial) && trial.rungs.length > 0);
}

/** Trials with a value, those that went furthest first and by value among them. */
function furthestFirst({ trials, directions }: Study, objective: number): Trial[] {
	const sign = directions[objective] === "maximize" ? -1 : 1;
	return scored(trials).sort(
		(a, b) => lastStep(b) - lastStep(a) || sign * (lastValue(a, objective) - lastValue(b, objective)),
	);
}

function lastValue(trial: Trial, objective: number): number {
	return trial.rungs.at(-1)?.values[objective] as number;
}

/** Logarithmic when the values span more than two decades: a few diverged trials would hide the rest. */
function valueScale(values: readonly number[], { top, bottom }: Frame): Scale {
	const [low, high] = [Math.min(...values), Math.max(...values)];
	const pad = 0.04 * (high - low);
	const log = low > 0 && high / low > 100;
	return scaleFor(log ? values : [low - pad, high + pad], {
		from: bottom,
		to: top,
		log,
		count: bottom - top < 200 ? 3 : 5,
	});
}

function parameterTicks(parameter: Parameter, count = 4): { u: number; label: string }[] {
	if (parameter.type === "categorical") {
		return parameter.choices.map((choice) => ({ u: toUnit(parameter, choice), label: label(choice).slice(0, 12) }));
	}
	const scale = scaleFor([parameter.low, parameter.high], {
		from: toUnit(parameter, parameter.low),
		to: toUnit(parameter, parameter.high),
		log: parameter.log === true,
		whole: parameter.type === "int",
		count,
	});
	return scale.ticks.map(({ at, label: l }) => ({ u: at, label: l }));
}

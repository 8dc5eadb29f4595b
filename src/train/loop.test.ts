// The loop over a fake engine and updater: what happens at which step, and that a run which was stopped anywhere and goes
// on from its last checkpoint does what the whole run does.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MicroBatch } from "../data/micro-batch.ts";
import { parseBatchRamp } from "../optim/batch-ramp.ts";
import { createSchedule, scheduleNames } from "../optim/schedule.ts";
import {
	type LoopOptions,
	planTraining,
	type StepStream,
	type TrainEvent,
	type TrainState,
	trainLoop,
} from "./loop.ts";

interface FakeStreamState {
	examples: number;
	supervisedTokens: number;
}

/** `perEpoch` examples of 3 supervised tokens each; micro-batches of two. */
function fakeStream(perEpoch: number, from: FakeStreamState = { examples: 0, supervisedTokens: 0 }) {
	let state = from;
	const stream: StepStream & { readonly state: FakeStreamState } = {
		examplesPerEpoch: perEpoch,
		supervisedTokensPerEpoch: perEpoch * 3,
		tokensPerEpoch: perEpoch * 3,
		get state() {
			return { ...state };
		},
		next(batchSize) {
			const epoch = Math.floor(state.examples / perEpoch);
			const count = Math.min(batchSize, perEpoch * (epoch + 1) - state.examples);
			state = { examples: state.examples + count, supervisedTokens: state.supervisedTokens + count * 3 };
			const rows = (part: number) => new Int32Array(3 * Math.min(2, count - 2 * part));
			const microBatches = Array.from(
				{ length: Math.ceil(count / 2) },
				(_, part) => ({ rows: rows(part) }) as MicroBatch,
			);
			const supervisedTokens = count * 3;
			const sizes = { tokens: supervisedTokens, slots: supervisedTokens, examples: count };
			return { microBatches, supervisedTokens, ...sizes, epoch, endsEpoch: state.examples === perEpoch * (epoch + 1) };
		},
	};
	return stream;
}

interface World {
	options: LoopOptions<FakeStreamState>;
	/** What reached the updater. */
	updates: { learningRate: number; gradientScale: number }[];
	/** Steps that were saved. */
	saves: TrainState<FakeStreamState>[];
	/** Steps after which was evaluated. */
	evaluations: number[];
	microSteps: { tokenWeight: number; dropoutSeed: readonly (number | string)[] | undefined }[];
	/** Called at each micro-step. */
	onMicroStep: (count: number) => void;
	gradientNorm: (step: number) => number;
}

function world(
	given: Partial<LoopOptions<FakeStreamState>> & { perEpoch?: number; validation?: (step: number) => number },
): World {
	const { perEpoch = 10, validation, ...options } = given;
	let steps = options.resumed?.step ?? 0;
	let clock = 0;
	const made: World = {
		updates: [],
		saves: [],
		evaluations: [],
		microSteps: [],
		onMicroStep: () => {},
		gradientNorm: () => 0.5,
		options: {
			engine: {
				beginStep: () => void steps++,
				microStep: async (_, { tokenWeight, dropoutSeed, signal }) => {
					made.microSteps.push({ tokenWeight, dropoutSeed });
					made.onMicroStep(made.microSteps.length);
					signal?.throwIfAborted();
					return 0.25;
				},
			},
			updater: {
				gradientNorm: async () => made.gradientNorm(steps),
				step: async ({ learningRate, gradientScale = 1 }) => void made.updates.push({ learningRate, gradientScale }),
			},
			stream: fakeStream(perEpoch, options.resumed?.stream),
			length: { steps: 5 },
			batchSize: 4,
			learningRate: 1,
			schedule: { name: "constant", warmupSteps: 0 },
			maxGradNorm: 1,
			seed: 3,
			clock: () => ++clock,
			save: async (state) => {
				made.saves.push(state);
				return `step-${state.step}`;
			},
			...(validation && {
				evaluate: async (signal?: AbortSignal) => {
					signal?.throwIfAborted();
					made.evaluations.push(steps);
					return validation(steps);
				},
			}),
			...options,
		},
	};
	return made;
}

async function run({ options }: World): Promise<TrainEvent[]> {
	const events: TrainEvent[] = [];
	for await (const event of trainLoop(options)) events.push(event);
	return events;
}

const of = <Type extends TrainEvent["type"]>(events: readonly TrainEvent[], type: Type) =>
	events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type);
const stepsOf = (events: readonly TrainEvent[]) => of(events, "step-done").map(({ batchSize }) => batchSize);
const savedSteps = ({ saves }: World) => saves.map(({ step }) => step);

test("the time that is left goes by tokens: a last step of half the size counts half, a cold first step and saving do not", async () => {
	let ms = 0;
	const made = world({ length: { epochs: 1 }, saveSteps: 1, clock: () => ms });
	const { microStep } = made.options.engine;
	let first = true;
	made.options.engine.microStep = async (batch, more) => {
		ms += 1000 * batch.rows.length * (first ? 10 : 1);
		first = false;
		return microStep(batch, more);
	};
	const { save } = made.options;
	made.options.save = async (state) => {
		ms += 1e6;
		return (await save?.(state)) as string;
	};
	const left = of(await run(made), "step-done").map(({ secondsLeft }) => secondsLeft);
	expect(left[1]).toBeCloseTo(2 * 3);
	expect(left[2]).toBe(0);
});

test("a long evaluation tells how far it is, once a second, and its time is not that of a step", async () => {
	let ms = 0;
	const made = world({ length: { steps: 2 }, evalSteps: 1, clock: () => ms });
	const { microStep } = made.options.engine;
	made.options.engine.microStep = async (batch, more) => {
		ms += 1000;
		return microStep(batch, more);
	};
	made.options.evaluate = async (_, onAdvance) => {
		for (const tokens of [10, 20, 30]) {
			ms += 800;
			onAdvance?.(tokens);
		}
		return 1;
	};
	const events = await run(made);
	expect(of(events, "evaluation-advanced").map(({ tokens }) => tokens)).toEqual([20, 20]);
	// Two micro-steps of 3 tokens an example each: 12 tokens in 2 seconds.
	expect(of(events, "step-done").at(-1)?.supervisedTokensPerSecond).toBeCloseTo(6);
});

test("an update takes its time whatever the length of the step", async () => {
	let ms = 0;
	const made = world({ length: { epochs: 1 }, clock: () => ms });
	const { microStep } = made.options.engine;
	made.options.engine.microStep = async (batch, more) => {
		ms += 100 * batch.rows.length;
		return microStep(batch, more);
	};
	const { step } = made.options.updater;
	made.options.updater.step = async (update) => {
		ms += 5000;
		return step(update);
	};
	// Left after the second of the steps of 4, 4 and 2 examples: 6 tokens and one update.
	expect(of(await run(made), "step-done")[1]?.secondsLeft).toBeCloseTo(0.6 + 5);
});

describe("length", () => {
	test.each([
		[{ steps: 4 }, [4, 4, 2, 4]],
		[{ epochs: 1 }, [4, 4, 2]],
		[{ epochs: 2 }, [4, 4, 2, 4, 4, 2]],
		[{ epochs: 1.5 }, [4, 4, 2, 4, 1]],
		[{ epochs: 0.3 }, [3]],
		[{ epochs: 0.01 }, [1]],
	])("%o over 10 examples by 4", async (length, sizes) => {
		const events = await run(world({ length }));
		expect(stepsOf(events)).toEqual(sizes);
		const done = of(events, "step-done");
		expect(done.map(({ step }) => step)).toEqual(sizes.map((_, i) => i + 1));
		expect(new Set(done.map(({ steps }) => steps))).toEqual(new Set([sizes.length]));
		expect(done.at(-1)?.secondsLeft).toBeCloseTo(0);
	});

	test("the number of steps told beforehand is the number taken, and every epoch sees each example once", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.integer({ min: 1, max: 40 }),
				fc.integer({ min: 1, max: 12 }),
				fc.double({ min: 0.01, max: 4, noNaN: true }),
				async (perEpoch, batchSize, epochs) => {
					const events = await run(world({ perEpoch, batchSize, length: { epochs } }));
					const done = of(events, "step-done");
					expect(done.at(-1)?.steps).toBe(done.length);
					const examples = stepsOf(events).reduce((a, b) => a + b, 0);
					expect(examples).toBe(Math.max(1, Math.round(epochs * perEpoch)));
				},
			),
			{ numRuns: 60, seed: 1 },
		);
	});
});

describe("learning rate", () => {
	test.each(scheduleNames)("%s: warm-up and course are those of the schedule, step by step", async (name) => {
		const made = world({ length: { steps: 12 }, learningRate: 0.5, schedule: { name, warmupSteps: 3, minRatio: 0.1 } });
		await run(made);
		const schedule = createSchedule({ name, total: 12, warmup: 3, minRatio: 0.1 });
		expect(made.updates.map(({ learningRate }) => learningRate)).toEqual(
			Array.from({ length: 12 }, (_, step) => 0.5 * schedule(step)),
		);
	});

	test("5 % of the steps warm up unless said, and a run of one step has its full rate", async () => {
		const long = world({ length: { steps: 40 }, schedule: { name: "constant" } });
		await run(long);
		expect(long.updates.slice(0, 4).map(({ learningRate }) => learningRate)).toEqual([0, 0.5, 1, 1]);
		const short = world({ length: { steps: 1 }, schedule: { name: "cosine" } });
		await run(short);
		expect(short.updates).toEqual([{ learningRate: 1, gradientScale: 1 }]);
	});

	test("a warm-up that never ends is refused, not cut", () => {
		const { options } = world({ length: { steps: 5 }, schedule: { name: "constant", warmupSteps: 5 } });
		expect(() => planTraining(options)).toThrow(expect.objectContaining({ code: "SCHEDULE_INVALID" }));
	});
});

test("gradients are clipped by their norm, or not when it is 0", async () => {
	const scales = async (maxGradNorm: number) => {
		const made = world({ maxGradNorm, length: { steps: 2 } });
		made.gradientNorm = (step) => (step === 1 ? 0.5 : 4);
		await run(made);
		return made.updates.map(({ gradientScale }) => gradientScale);
	};
	expect(await scales(1)).toEqual([1, 1 / (4 + 1e-6)]);
	expect(await scales(0)).toEqual([1, 1]);
});

test("each supervised token of a step weighs the same in all micro-steps, and dropout is seeded by place", async () => {
	const made = world({ length: { steps: 3 } });
	const events = await run(made);
	expect(made.microSteps.map(({ tokenWeight }) => tokenWeight)).toEqual([1 / 12, 1 / 12, 1 / 12, 1 / 12, 1 / 6]);
	expect(made.microSteps.map(({ dropoutSeed }) => dropoutSeed)).toEqual([
		[3, 0, 0],
		[3, 0, 1],
		[3, 1, 0],
		[3, 1, 1],
		[3, 2, 0],
	]);
	expect(of(events, "step-done").map(({ loss }) => loss)).toEqual([0.5, 0.5, 0.25]);
});

describe("batch ramp", () => {
	const ramp = parseBatchRamp("2:8@0.5");

	test("grows with the supervised tokens seen, never falls, and reaches its end at the part named", async () => {
		const made = world({
			perEpoch: 200,
			length: { epochs: 1 },
			batchRamp: { ramp, learningRate: "none" },
		});
		const events = await run(made);
		const sizes = stepsOf(events);
		let seen = 0;
		for (const size of sizes.slice(0, -1)) {
			expect(size).toBe(Math.round(2 + 6 * Math.min(1, seen / 200 / 0.5)));
			seen += size;
		}
		expect(sizes[0]).toBe(2);
		expect(sizes.filter((size) => size === 8).length).toBeGreaterThan(10);
		expect(sizes.reduce((a, b) => a + b)).toBe(200);
		expect(Math.abs(sizes.length - (of(events, "step-done")[0]?.steps as number))).toBeLessThanOrEqual(1);
	});

	test.each([
		["none", 1],
		["sqrt", 2],
		["linear", 4],
	] as const)("the learning rate follows: %s", async (learningRate, factor) => {
		const made = world({ perEpoch: 200, length: { epochs: 1 }, batchRamp: { ramp, learningRate } });
		await run(made);
		expect(made.updates[0]?.learningRate).toBe(1);
		expect(made.updates.at(-1)?.learningRate).toBeCloseTo(factor);
	});
});

describe("evaluation and saving", () => {
	test("once an epoch and at the end unless said; a checkpoint goes with each", async () => {
		const made = world({ length: { epochs: 2.5 }, validation: () => 1 });
		const events = await run(made);
		expect(made.evaluations).toEqual([3, 6, 8]);
		expect(savedSteps(made)).toEqual([3, 6, 8]);
		expect(of(events, "checkpoint-saved").map(({ step }) => step)).toEqual([3, 6, 8]);
	});

	test("at the steps that were asked for, each on its own, and at the end", async () => {
		const made = world({ length: { steps: 11 }, evalSteps: 4, saveSteps: 3, validation: (step) => step });
		const events = await run(made);
		expect(made.evaluations).toEqual([4, 8, 11]);
		// 4 is the best, so it is kept although it was not asked for.
		expect(savedSteps(made)).toEqual([3, 4, 6, 9, 11]);
		expect(of(events, "evaluation-done").map(({ best }) => best)).toEqual([true, false, false]);
	});

	test("without held-out data nothing is evaluated, and a checkpoint is saved once an epoch", async () => {
		const made = world({ length: { steps: 7 } });
		const events = await run(made);
		expect(of(events, "evaluation-done")).toEqual([]);
		expect(savedSteps(made)).toEqual([3, 6, 7]);
	});

	test("the training loss told with an evaluation is the mean since the last", async () => {
		const made = world({ length: { epochs: 2 }, validation: () => 1 });
		const events = await run(made);
		// Steps of 4, 4, 2 examples make 2, 2, 1 micro-steps of 0.25.
		expect(of(events, "evaluation-done").map(({ trainingLoss }) => trainingLoss)).toEqual([1.25 / 3, 1.25 / 3]);
	});

	test("patience counts evaluations without a better loss", async () => {
		const losses = [5, 4, 4.5, 3, 3.1, 3, 9, 9];
		const made = world({
			length: { steps: 20 },
			evalSteps: 1,
			patience: 2,
			validation: (step) => losses[step - 1] as number,
		});
		const events = await run(made);
		expect(made.evaluations.at(-1)).toBe(6);
		const [done] = of(events, "training-done");
		expect(done).toMatchObject({ reason: "patience", state: { step: 6, best: { step: 4, loss: 3 } } });
		expect(savedSteps(made).at(-1)).toBe(6);
	});

	test("a loss that is not a number is never the best", async () => {
		const made = world({ length: { steps: 2 }, evalSteps: 1, validation: () => Number.NaN });
		const events = await run(made);
		expect(of(events, "training-done")[0]?.state.best).toBeUndefined();
	});
});

describe("steps that are not finite", () => {
	test("are skipped, counted and told; the rest goes on", async () => {
		const made = world({ length: { steps: 6 } });
		made.gradientNorm = (step) => (step === 2 ? Number.NaN : step === 4 ? Number.POSITIVE_INFINITY : 0.5);
		const events = await run(made);
		expect(made.updates.length).toBe(4);
		expect(of(events, "step-skipped").map(({ step }) => step)).toEqual([2, 4]);
		expect(of(events, "training-done")[0]?.state).toMatchObject({ step: 6, skippedSteps: 2 });
		expect(of(events, "step-done").length).toBe(6);
	});

	test("so is a step whose loss alone is not", async () => {
		const made = world({ length: { steps: 1 } });
		const engine = { ...made.options.engine, microStep: async () => Number.NaN };
		await run({ ...made, options: { ...made.options, engine } });
		expect(made.updates).toEqual([]);
	});
});

describe("health", () => {
	const watch = { vocabulary: 4, parameters: [Float32Array.of(1, 2)] };

	test("warnings come once, after ten steps of a new run", async () => {
		const events = await run(world({ length: { steps: 25 }, watch }));
		expect(of(events, "warning")).toMatchObject([{ step: 10, code: "NOTHING_TRAINED" }]);
		expect(of(await run(world({ length: { steps: 3 }, watch })), "warning")).toMatchObject([{ step: 3 }]);
	});

	test("a resumed run is not new", async () => {
		const first = world({ length: { steps: 20 }, saveSteps: 3 });
		await run(first);
		const resumed = first.saves[0] as TrainState<FakeStreamState>;
		expect(of(await run(world({ length: { steps: 20 }, watch, resumed })), "warning")).toEqual([]);
	});
});

describe("stopping and going on", () => {
	const grid: Record<"epochs" | "steps" | "patience" | "ramp", Parameters<typeof world>[0]> = {
		epochs: { length: { epochs: 3 }, validation: (step: number) => Math.abs(step - 4) },
		steps: {
			length: { steps: 11 },
			evalSteps: 2,
			saveSteps: 3,
			validation: (step: number) => Math.sin(step),
		},
		patience: { length: { steps: 30 }, evalSteps: 2, patience: 3, validation: (step: number) => Math.abs(step - 7) },
		ramp: {
			perEpoch: 30,
			length: { epochs: 1 },
			batchRamp: { ramp: parseBatchRamp("2:9@0.6"), learningRate: "sqrt" },
			schedule: { name: "wsd", warmupSteps: 2 },
		},
	};

	test("a step is never told to be beyond the length, which is an estimate while the batch grows", async () => {
		// Long replies came first, or last: the epoch takes more steps than were expected, or fewer.
		for (const share of [0.6, 1.5]) {
			const made = world(grid.ramp);
			made.options.stream = Object.assign(fakeStream(30), { supervisedTokensPerEpoch: 90 * share });
			const done = of(await run(made), "step-done");
			expect(done.every(({ step, steps }) => step <= steps)).toBe(true);
			expect(done.filter(({ step, steps }) => step === steps)).toEqual(done.slice(-1));
		}
	});

	test("a run that ends early tells the whole length, and at its end that nothing is left", async () => {
		const done = of(await run(world({ length: { steps: 9 }, stopAt: 4 })), "step-done");
		expect(done.map(({ step, steps }) => [step, steps])).toEqual([1, 2, 3, 4].map((step) => [step, 9]));
		expect(done.at(-1)?.secondsLeft).toBe(0);
	});

	test("the time that is left is told right from the first step after a resume", async () => {
		const length = { steps: 20 };
		const whole = world({ length, saveSteps: 15 });
		const before = of(await run(whole), "step-done")[15];
		const after = of(
			await run(world({ length, resumed: whole.saves[0] as TrainState<FakeStreamState> })),
			"step-done",
		)[0];
		expect(after?.step).toBe(16);
		expect(after?.secondsLeft).toBeCloseTo(before?.secondsLeft as number);
	});

	/** What a run does, without what depends on the clock. */
	const essence = (events: readonly TrainEvent[]) =>
		events
			.filter(({ type }) => type === "step-done" || type === "evaluation-done")
			.map((event) => ({ ...event, supervisedTokensPerSecond: 0, secondsLeft: 0 }));

	test.each(Object.entries(grid))(
		"%s: stopped at any micro-step or evaluation, as often as you like",
		async (_, given) => {
			const whole = world(given);
			const expected = await run(whole);
			const [finalEvent] = of(expected, "training-done");
			await fc.assert(
				fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { maxLength: 12 }), async (stops) => {
					const seen: TrainEvent[] = [];
					let resumed: TrainState<FakeStreamState> | undefined;
					for (const stop of [...stops, Number.POSITIVE_INFINITY]) {
						const controller = new AbortController();
						let calls = 0;
						const count = () => {
							if (++calls >= stop) controller.abort();
						};
						const part = world({ ...given, ...(resumed && { resumed }), signal: controller.signal });
						part.onMicroStep = count;
						const { evaluate } = part.options;
						if (evaluate) {
							part.options.evaluate = (signal) => {
								count();
								return evaluate(signal);
							};
						}
						const events = await run(part);
						seen.push(...events);
						const [done] = of(events, "training-done");
						// A checkpoint of the last whole step stands, whatever was under way.
						const saved = part.saves.at(-1) ?? resumed;
						expect(saved).toEqual(done?.state);
						resumed = JSON.parse(JSON.stringify(saved));
						if (done?.reason !== "aborted") break;
					}
					expect(essence(seen)).toEqual(essence(expected));
					expect(resumed).toEqual(JSON.parse(JSON.stringify(finalEvent?.state)));
				}),
				{ numRuns: 60, seed: 2 },
			);
		},
	);

	test("aborted in the middle of a step, the state is that of the last whole step", async () => {
		const controller = new AbortController();
		const made = world({ length: { steps: 9 }, signal: controller.signal });
		// The first two steps have two micro-steps each: this is inside the second.
		made.onMicroStep = (count) => count === 4 && controller.abort();
		const events = await run(made);
		expect(of(events, "training-done")[0]).toMatchObject({ reason: "aborted", state: { step: 1 } });
		expect(savedSteps(made)).toEqual([1]);
		expect(made.updates.length).toBe(1);
		expect(made.saves[0]?.stream).toEqual({ examples: 4, supervisedTokens: 12 });
	});

	test("what is no abort is thrown", async () => {
		const made = world({ signal: new AbortController().signal });
		made.onMicroStep = () => {
			throw new Error("out of memory");
		};
		await expect(run(made)).rejects.toThrow("out of memory");
	});

	test("a finished run that is resumed does nothing more", async () => {
		for (const given of [{ length: { steps: 3 } }, grid.patience]) {
			const first = world(given);
			await run(first);
			const again = world({ ...given, resumed: first.saves.at(-1) as TrainState<FakeStreamState> });
			expect((await run(again)).map(({ type }) => type)).toEqual(["training-done"]);
			expect(again.saves).toEqual([]);
		}
	});
});

test("the noise of the gradient is told when a step has several micro-batches", async () => {
	const told = async (batchSize: number) => {
		const made = world({ batchSize, length: { steps: 2 } });
		// The first micro-batch alone (two of the step's four examples) and the whole step.
		const norms = [0.3, 0.5, 0.5];
		made.options.updater.gradientNorm = async () => norms.shift() as number;
		const events = await run(made);
		return events.flatMap((event) => (event.type === "step-done" ? [event.gradientNoiseScale] : []));
	};
	// As means: 0.3 * 12 / 6 = 0.6 over 6 tokens and 0.5 over 12.
	const noise = (0.6 ** 2 - 0.5 ** 2) / (1 / 6 - 1 / 12);
	const signal = (12 * 0.5 ** 2 - 6 * 0.6 ** 2) / 6;
	expect(await told(4)).toEqual([noise / signal, noise / signal].map((value) => expect.closeTo(value, 6)));
	expect(await told(2)).toEqual([undefined, undefined]);
});

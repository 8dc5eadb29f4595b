// Signs, after the first steps of a run, that it will come to nothing, with the likely cause of each. It warns and never
// stops: a person may know better. What makes a run senseless beforehand is refused by data and recipes, before step 1.

/** Steps after which the judgement is made; a shorter run is judged at its end. */
export const watchedSteps = 10;

export interface WatchedRun {
	/** Tokens to choose from: who guesses has a loss of ln(vocabulary). */
	vocabulary: number;
	/** The trained parameters, as live arrays. */
	parameters: readonly Float32Array[];
}

/** A step of the watched run, in the order of the steps. */
export interface WatchedStep {
	loss: number;
	/** Before clipping. */
	gradientNorm: number;
	learningRate: number;
}

export interface HealthWarning {
	code: "NOTHING_TRAINED" | "LOSS_NOT_FINITE" | "LOSS_ABOVE_CHANCE" | "GRADIENT_EXPLODING";
	message: string;
	/** The likely cause, and what to do. */
	hint: string;
}

/** Collects the first steps of a run. */
export class HealthWatch {
	readonly #run: WatchedRun;
	readonly #before: Float32Array;
	readonly #steps: WatchedStep[] = [];

	/** Before the first step. */
	constructor(run: WatchedRun) {
		this.#run = run;
		this.#before = sample(run.parameters);
	}

	/** The warnings, once: after step `watchedSteps` or the last one. None before and after that. */
	after(step: WatchedStep, { last }: { last: boolean }): HealthWarning[] {
		if (this.#steps.length === watchedSteps) return [];
		this.#steps.push(step);
		if (!last && this.#steps.length < watchedSteps) return [];
		const now = sample(this.#run.parameters);
		let [moved, size] = [0, 0];
		for (const [i, value] of now.entries()) {
			moved += (value - (this.#before[i] as number)) ** 2;
			size += value ** 2;
		}
		// Not "any bit": a bias of 0 takes on any rate, however small.
		const weightsChanged = !(moved <= (rounding * rounding * size) / 4);
		return judge(this.#steps, { vocabulary: this.#run.vocabulary, weightsChanged });
	}
}

/** What the steps say. At least one step. */
export function judge(
	steps: readonly WatchedStep[],
	{ vocabulary, weightsChanged }: { vocabulary: number; weightsChanged: boolean },
): HealthWarning[] {
	const warnings: HealthWarning[] = [];
	const usable = steps.filter(isUsable);
	const [first] = steps as [WatchedStep];
	const chance = Math.log(vocabulary);
	if (!weightsChanged) warnings.push(nothingTrained(steps));
	if (usable.length < steps.length) {
		warnings.push({
			code: "LOSS_NOT_FINITE",
			message: `In ${steps.length - usable.length} of the first ${steps.length} steps the loss or the gradient was not finite; these steps were not taken.`,
			hint: isUsable(first)
				? "It began well, so the learning rate is probably too high: try a tenth of it, or more --warmup-steps."
				: "It was so from the first step: the model's weights are probably damaged or far too large. Try another copy of the model.",
		});
	}
	const end = median(usable.slice(-3).map(({ loss }) => loss));
	if (end > chance + aboveChance) {
		warnings.push({
			code: "LOSS_ABOVE_CHANCE",
			message: `After ${steps.length} steps the loss is ${end.toFixed(2)}: blind guessing among ${vocabulary} tokens has ${chance.toFixed(2)}.`,
			hint:
				first.loss > chance + aboveChance
					? "It was so from the first step: weights and tokenizer probably do not belong together, or the weights are damaged."
					: "It began below that, so the learning rate is probably too high: try a tenth of it, or more --warmup-steps.",
		});
	}
	const norms = usable.map(({ gradientNorm }) => gradientNorm);
	const [early, late] = [median(norms.slice(0, 3)), median(norms.slice(-3))];
	if (norms.length >= 6 && late > explosion * early) {
		warnings.push({
			code: "GRADIENT_EXPLODING",
			message: `The gradient's norm grew from ${early.toPrecision(2)} to ${late.toPrecision(2)} within ${steps.length} steps.`,
			hint: "The learning rate is probably too high: try a tenth of it, or more --warmup-steps.",
		});
	}
	return warnings;
}

/** Distance from 1 to the next 32-bit number. */
const rounding = 2 ** -23;
/** Nats above ln(V) that are more than a bad start: random GPT-2 weights begin within 0.2 of it. */
const aboveChance = 1;
/** In healthy runs the norm falls from the first steps on, or stays within a few times of them. */
const explosion = 20;

function nothingTrained(steps: readonly WatchedStep[]): HealthWarning {
	const taken = steps.filter(isUsable);
	const message = `After ${steps.length} steps the weights are what they were.`;
	const because = (hint: string): HealthWarning => ({ code: "NOTHING_TRAINED", message, hint });
	if (taken.length === 0) return because("Every step was left out, because the loss or the gradient was not finite.");
	if (taken.every(({ gradientNorm }) => gradientNorm === 0)) {
		return because("The gradient is zero: nothing that is trained takes part in the loss. Check --freeze.");
	}
	const rate = Math.max(...taken.map(({ learningRate }) => learningRate));
	return because(
		`The learning rate has been at most ${rate.toPrecision(2)}, too small to move these weights. Raise --learning-rate or shorten --warmup-steps.`,
	);
}

function isUsable({ loss, gradientNorm }: WatchedStep): boolean {
	return Number.isFinite(loss) && Number.isFinite(gradientNorm);
}

/** NaN of an empty list, which no comparison finds large. */
function median(values: readonly number[]): number {
	return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/** Some numbers of each array, from all over it: reading all of a large model would be noticed. */
function sample(parameters: readonly Float32Array[], perArray = 1024): Float32Array {
	return Float32Array.from(
		parameters.flatMap((values) => {
			const stride = Math.max(1, Math.floor(values.length / perArray));
			return Array.from({ length: Math.min(values.length, perArray) }, (_, i) => values[i * stride] as number);
		}),
	);
}

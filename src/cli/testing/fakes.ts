// Stand-ins for recipes, terminals and chats, without a model behind them.
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { ChatSession, RecipeContext, RecipeEvent } from "../../recipes/options/recipe.ts";
import type { Turn } from "../../tokenizer/turn.ts";
import { UserError } from "../../util/errors.ts";
import type { RecipeLoaders } from "../recipes.ts";
import type { Terminal } from "../terminal.ts";

/** A training run that writes a checkpoint when it is told to stop, as a real one does. */
export async function* fakeFinetune({
	steps,
	stepMs = 0,
	context: { signal } = {},
}: {
	steps: number;
	stepMs?: number;
	context?: RecipeContext;
}): AsyncIterable<RecipeEvent> {
	for (let step = 1; step <= steps; step++) {
		if (stepMs > 0) await sleep(stepMs);
		yield {
			type: "step-done",
			step,
			steps,
			loss: 4 / step,
			learningRate: 5e-5,
			supervisedTokensPerSecond: 1234.5,
			secondsLeft: (steps - step) * 0.5,
			gradientNorm: 0.9,
			batchSize: 8,
		};
		if (signal?.aborted) {
			yield { type: "checkpoint-saved", step, path: `runs/fake/checkpoints/step-${step}` };
			return;
		}
	}
	yield { type: "evaluation-done", step: steps, loss: 1.25, perplexity: Math.exp(1.25) };
	yield {
		type: "run-done",
		directory: "runs/fake",
		report: { steps, supervisedTokens: 4321, seconds: 65, next: ["attune chat runs/fake"] },
	};
}

export type FakeBehaviour = "steps" | "endless" | "stuck" | "user-error" | "bug";

/** Every recipe, behaving as told: five steps, steps without end, waiting for ever, or failing. */
export function fakeRecipes(behaviour: FakeBehaviour = "steps"): RecipeLoaders {
	async function* behave(_options: unknown, context: RecipeContext = {}): AsyncIterable<RecipeEvent> {
		if (behaviour === "bug") throw new TypeError("cannot read properties of undefined");
		if (behaviour === "user-error") {
			const hint = "Check the path.";
			throw new UserError("FILE_NOT_FOUND", "Cannot read nowhere.json: it does not exist.", { hint });
		}
		if (behaviour === "stuck") {
			yield { type: "warning", code: "STUCK", message: "waiting" };
			await sleep(60_000);
		}
		yield* fakeFinetune(behaviour === "endless" ? { steps: 1e6, stepMs: 5, context } : { steps: 5, context });
	}
	const recipe = async () => behave;
	return {
		demo: recipe,
		dataCheck: recipe,
		plan: recipe,
		benchRamp: recipe,
		finetune: recipe,
		search: recipe,
		searchWorker: recipe,
		generate: recipe,
		export: recipe,
		pretrain: recipe,
		tokenizerTrain: recipe,
		chat: async () => async () => fakeChatSession(),
	};
}

export interface FakeChatSession extends ChatSession {
	systemText: string | undefined;
	readonly questions: string[];
}

/** Answers "<prefix><question>, yes?" in three pieces; waits `pieceMs` before each. */
export function fakeChatSession({ pieceMs = 0 } = {}): FakeChatSession {
	let turns: Turn[] = [];
	let prefix = "";
	const session: FakeChatSession = {
		systemText: undefined,
		questions: [],
		async *ask(text, { signal }) {
			session.questions.push(text);
			let answer = "";
			for (const piece of [prefix, text, ", yes?"]) {
				if (pieceMs > 0) await sleep(pieceMs);
				if (signal.aborted) break;
				answer += piece;
				yield piece;
			}
			turns.push({ role: "user", content: text }, { role: "assistant", content: answer });
		},
		reset: () => {
			turns = [];
		},
		setSystem: (text) => {
			session.systemText = text;
		},
		setPrefix: (text) => {
			prefix = text ?? "";
		},
		transcript: () => turns,
		async [Symbol.asyncDispose]() {},
	};
	return session;
}

export class FakeTerminal implements Terminal {
	readonly out: string[] = [];
	readonly err: string[] = [];
	readonly exits: number[] = [];
	readonly stdin: PassThrough & { isTTY?: boolean };
	readonly stdout: Terminal["stdout"];
	readonly stderr: Terminal["stderr"];
	readonly env: Record<string, string | undefined>;
	readonly signals: EventEmitter & { exit(code: number): void };
	readonly directory = "/home/ann";
	timeMs = 0;

	constructor({
		isTTY = false,
		columns = 80,
		rows = 24,
		env = {},
	}: { isTTY?: boolean; columns?: number; rows?: number; env?: Record<string, string> } = {}) {
		this.stdin = new PassThrough();
		this.stdout = { write: (text) => this.out.push(text), isTTY, columns, rows };
		this.stderr = { write: (text) => this.err.push(text), isTTY, columns, rows };
		this.env = env;
		this.signals = Object.assign(new EventEmitter(), { exit: (code: number) => void this.exits.push(code) });
	}

	nowMs = (): number => this.timeMs;

	get outText(): string {
		return this.out.join("");
	}

	get errText(): string {
		return this.err.join("");
	}
}

// Ctrl-C, with a stand-in for the process.
import { expect, test } from "vitest";
import { finetuneOptions } from "../recipes/options/jobs.ts";
import { eventCommand } from "./command.ts";
import { withInterrupt } from "./interrupt.ts";
import { FakeTerminal, fakeFinetune } from "./testing/fakes.ts";

const command = eventCommand({
	recipe: "finetune",
	words: "finetune",
	summary: "",
	table: finetuneOptions,
	examples: [],
});

function run(terminal: FakeTerminal, behave: "returns" | "throws" | "fails") {
	return command.run({
		flags: { data: ["a"], output: "b" },
		frame: { json: false, quiet: false },
		terminal,
		recipes: {
			finetune: async () =>
				async function* (_options, context = {}) {
					for await (const event of fakeFinetune({ steps: 5, context })) {
						yield event;
						if (event.type !== "step-done" || event.step !== 2) continue;
						terminal.signals.emit("SIGINT");
						if (behave === "throws") context.signal?.throwIfAborted();
						if (behave === "fails") throw new Error("disk on fire");
					}
				},
		},
	});
}

test.each(["returns", "throws"] as const)(
	"a recipe that %s when interrupted gives 130, and is listened to until its end",
	async (behave) => {
		const terminal = new FakeTerminal();
		expect(await run(terminal, behave)).toBe(130);
		expect(terminal.errText).toContain("Interrupted: stopping at the next safe place.");
		expect(terminal.errText.includes("saved runs/fake")).toBe(behave === "returns");
		expect(terminal.exits).toEqual([]);
		expect(terminal.signals.listenerCount("SIGINT")).toBe(0);
	},
);

test("an error while stopping is not taken for the interruption", async () => {
	await expect(run(new FakeTerminal(), "fails")).rejects.toThrow("disk on fire");
});

test("the second Ctrl-C leaves at once; a SIGTERM counts as the first", async () => {
	const terminal = new FakeTerminal();
	let aborts = 0;
	await withInterrupt(
		async (signal) => {
			terminal.signals.emit("SIGTERM");
			expect(signal.aborted).toBe(true);
			expect(terminal.exits).toEqual([]);
			terminal.signals.emit("SIGINT");
			expect(terminal.exits).toEqual([130]);
		},
		{ source: terminal.signals, onAbort: () => aborts++ },
	);
	expect(aborts).toBe(1);
	expect(terminal.signals.listenerCount("SIGTERM")).toBe(0);
});

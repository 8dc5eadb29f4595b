// Settings that make no sense are wrong usage (exit code 2), or are refused as soon as the run's size is known.
import { beforeAll, expect, test } from "vitest";
import { refusedFinetune } from "../support/refused.ts";
import { dialoguesFile, tinyModelDirectory } from "../support/tiny.ts";

let base: string[];
beforeAll(async () => {
	base = ["--model", await tinyModelDirectory(), "--data", dialoguesFile(), "--steps", "6"];
});

test.each(["0", "-1e-5", "NaN", "Infinity", "fast", ""])("a learning rate of %j", async (rate) => {
	const refused = await refusedFinetune([...base, `--learning-rate=${rate}`]);
	expect(refused).toMatchObject({
		exitCode: 2,
		code: "OPTION_INVALID",
		expected: "a number above 0 and at most 100",
		where: "the command line",
	});
	expect(refused.message).toContain("--learning-rate");
});

test.each([
	["--batch-size", "0"],
	["--epochs", "-1"],
	["--dropout", "1"],
	["--threads", "0"],
	["--save-total-limit", "0"],
	["--batch-ramp", "8:4@0.5"],
	["--seed", "-3"],
])("%s %s", async (flag, value) => {
	const args = flag === "--epochs" ? base.slice(0, 4) : base;
	expect(await refusedFinetune([...args, `${flag}=${value}`])).toMatchObject({ exitCode: 2, code: "OPTION_INVALID" });
});

test("a warm-up that is longer than the run", async () => {
	expect(await refusedFinetune([...base, "--warmup-steps", "6"])).toMatchObject({
		code: "SCHEDULE_INVALID",
		where: "--warmup-steps",
		expected: "less than 6, the steps of the run",
		found: "6",
	});
});

test("patience without held-out data", async () => {
	expect(await refusedFinetune([...base, "--patience", "2", "--validation", "0"])).toMatchObject({
		code: "OPTION_CONFLICT",
		where: "--patience",
	});
});

test("freezing what does not exist, and freezing everything", async () => {
	expect(await refusedFinetune([...base, "--freeze", "transformer.h.0"])).toMatchObject({
		code: "FREEZE_UNKNOWN",
		expected: expect.stringContaining("wte.weight"),
	});
	expect((await refusedFinetune([...base, "--freeze", "wte,wpe,h,ln_f"])).code).toBe("NOTHING_TO_TRAIN");
});

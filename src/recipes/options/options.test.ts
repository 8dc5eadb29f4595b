// The option tables: what holds for all of them, and resolving.
import fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { BatchRamp } from "../../optim/batch-ramp.ts";
import { UserError } from "../../util/errors.ts";
import { formatConfig, parseConfig } from "./config.ts";
import { finetuneOptions, optionTables, tokenizerTrainOptions } from "./jobs.ts";
import type { Option } from "./option.ts";
import { integer, text } from "./option.ts";
import { changedOptions, gatherOptions, resolveOptions } from "./resolve.ts";
import {
	camelCase,
	kebabCase,
	type OptionsInput,
	type OptionsOf,
	type OptionTable,
	optionGroup,
	optionTable,
} from "./table.ts";

const tables: [string, OptionTable][] = Object.entries(optionTables);
const needed = { data: ["a.jsonl"], output: "runs/a" };
const config = (content: string) => parseConfig(content, { file: "train.yaml" });
const errorOf = (run: () => unknown): UserError => {
	try {
		run();
	} catch (error) {
		if (error instanceof UserError) return error;
		throw error;
	}
	throw new Error("nothing was thrown");
};

/** Values of an option as [the text of a flag, the value it stands for]. */
function flagTexts(option: Option): fc.Arbitrary<[raw: unknown, value: unknown]> {
	const word = fc.stringMatching(/^[a-z][a-z0-9._/-]{0,12}$/).filter((w) => w !== "none");
	const { min = -1e9, max = 1e9, above = -1e9, below = 1e9 } = option.range ?? {};
	const inRange = (value: number) => value >= min && value <= max && value > above && value < below;
	switch (option.kind) {
		case "number": {
			const limits = { min: Math.max(min, above), max: Math.min(max, below), noNaN: true };
			return fc
				.double(limits)
				.filter(inRange)
				.map((value) => [String(value), value + 0]);
		}
		case "integer":
			return fc
				.integer({ min: Math.ceil(min), max: Math.floor(max) })
				.filter(inRange)
				.map((value) => [String(value), value]);
		case "boolean":
			return fc.boolean().map((value) => [value, value]);
		case "text":
			return fc.string().map((value) => [value, value]);
		case "path":
			return fc.string({ minLength: 1 }).map((value) => [value, value]);
		case "choice":
			return fc.constantFrom(...(option.choices ?? [])).map((value) => [value, value]);
		case "list":
			if (option.variadic) return fc.array(word, { minLength: 1 }).map((names) => [names, names]);
			return fc
				.array(option.choices === undefined ? word : fc.constantFrom(...option.choices), { minLength: 1 })
				.map((names) => [names.join(","), names]);
		case "fraction-or-file":
			return fc.oneof(
				word.map((name): [string, unknown] => [`./${name}`, `./${name}`]),
				fc.double({ min: 0, max: 0.999, noNaN: true }).map((value): [string, unknown] => [String(value), value + 0]),
			);
		case "pairs":
			return fc
				.subarray((option.choices ?? []).slice(2))
				.map((extra) => [...(option.choices ?? []).slice(0, 2), ...extra])
				.chain((keys) => fc.tuple(...keys.map((key) => word.map((name) => [key, name] as const))))
				.map((entries) => [entries.map((entry) => entry.join("=")).join(","), Object.fromEntries(entries)]);
		case "duration":
			return fc
				.tuple(
					fc.integer({ min: 1, max: 999 }),
					fc.constantFrom(["s", 1] as const, ["m", 60] as const, ["h", 3600] as const),
				)
				.map(([count, [unit, seconds]]) => [`${count}${unit}`, count * seconds]);
		case "ramp":
			return fc
				.tuple(fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 99 }), fc.integer({ min: 1, max: 100 }))
				.map(([from, more, part]) => [
					`${from}:${from + more}@${part / 100}`,
					{ from, to: from + more, over: part / 100 },
				]);
	}
}

describe.each(tables)("%s", (_job, table) => {
	const options = Object.entries(table.options);

	test("every option has a help line, a heading and a name that survives the command line", () => {
		for (const [name, option] of options) {
			expect(option.help, name).toMatch(/^\S.{2,}[^.\s]$/);
			expect(name).toMatch(/^[a-z][a-zA-Z0-9]*$/);
			expect(camelCase(kebabCase(name))).toBe(name);
			// Commander reads --no-x as the opposite of --x.
			expect(kebabCase(name).startsWith("no-"), name).toBe(false);
			expect(["config", "json", "quiet", "help", "version"]).not.toContain(name);
		}
		expect(new Set(options.map(([name]) => kebabCase(name))).size).toBe(options.length);
	});

	test("every default is acceptable", () => {
		for (const [name, option] of options) {
			if (option.default !== undefined) expect(option.parse(option.default), name).toEqual(option.default);
		}
	});
});

// Groups are shared, so many tables hold the very same option: once is enough.
const distinct = new Map(
	tables.flatMap(([job, table]) =>
		Object.entries(table.options).map(([name, option]) => [option, { job, name, option, table }] as const),
	),
);

describe.each([...distinct.values()])("--$name of $job", ({ name, option, table }) => {
	test("any acceptable value survives flag and library call", () => {
		fc.assert(
			fc.property(flagTexts(option), ([raw, value]) => {
				expect(option.parse(raw)).toEqual(value);
				expect(option.parse(value), "parsed twice").toEqual(value);
				const { given, origins } = gatherOptions(table, { flags: { [name]: raw } });
				expect(given[name]).toEqual(value);
				expect(origins[name]).toBe("flag");
			}),
			{ numRuns: 50 },
		);
	});

	test("nonsense is refused, or read as something that stays what it is", () => {
		fc.assert(
			fc.property(fc.anything(), (raw) => {
				const value = option.parse(raw);
				if (value !== undefined) expect(option.parse(value), name).toEqual(value);
			}),
			{ numRuns: 50 },
		);
	});
});

test("types are inferred from the table", () => {
	type Values = OptionsOf<typeof finetuneOptions>;
	expectTypeOf<Values["data"]>().toEqualTypeOf<readonly string[]>();
	expectTypeOf<Values["batchSize"]>().toEqualTypeOf<number>();
	expectTypeOf<Values["learningRate"]>().toEqualTypeOf<number | undefined>();
	expectTypeOf<Values["optimizer"]>().toEqualTypeOf<"adamw" | "adam" | "sgd" | "rmsprop">();
	expectTypeOf<Values["batchRamp"]>().toEqualTypeOf<BatchRamp | undefined>();
	expectTypeOf<Values["validation"]>().toEqualTypeOf<number | string>();
	expectTypeOf<{ resume: string }>().toExtend<OptionsInput<typeof finetuneOptions>>();
	expectTypeOf<{ batchRamp: "8:64@0.3" }>().toExtend<OptionsInput<typeof finetuneOptions>>();
	expectTypeOf<{ files: string[]; output: string }>().toExtend<OptionsInput<typeof tokenizerTrainOptions>>();
	expectTypeOf<{ output: string }>().not.toExtend<OptionsInput<typeof tokenizerTrainOptions>>();
	expectTypeOf<{ optimizer: "adamm" }>().not.toExtend<OptionsInput<typeof finetuneOptions>>();
});

describe("resolving", () => {
	test("flag over config over default, each with its origin", async () => {
		const file = await config("epochs: 5\nbatch-size: 4\nlearningRate: 1e-4\n");
		const { values, record } = resolveOptions(finetuneOptions, { config: file, flags: { ...needed, epochs: "2" } });
		expect(values).toMatchObject({ epochs: 2, batchSize: 4, learningRate: 1e-4, accumulate: 1, data: ["a.jsonl"] });
		expect(record).toMatchObject({
			epochs: { value: 2, origin: "flag" },
			batchSize: { value: 4, origin: "config" },
			accumulate: { value: 1, origin: "default" },
			steps: { value: null, origin: "default" },
		});
		expect(Object.keys(record)).toEqual(Object.keys(finetuneOptions.options));
	});

	test("a caller of the library gets origin option, or what the command line says", () => {
		const options = { ...needed, epochs: 2 };
		expect(resolveOptions(finetuneOptions, { options }).record.epochs).toEqual({ value: 2, origin: "option" });
		const origins = { epochs: "config", data: "flag", output: "flag" } as const;
		expect(resolveOptions(finetuneOptions, { options, origins }).record.epochs?.origin).toBe("config");
	});

	test("undefined counts as not given", () => {
		expect(resolveOptions(finetuneOptions, { options: { ...needed, epochs: undefined } }).values.epochs).toBe(3);
	});

	test.each(["0", "-1", "NaN", "nan", "Infinity", "1e999", "", "abc", "0x10", "1,5"])(
		"a learning rate of %s is refused",
		(rate) => {
			const error = errorOf(() => gatherOptions(finetuneOptions, { flags: { learningRate: rate } }));
			expect(error).toMatchObject({ code: "OPTION_INVALID", where: "the command line" });
			expect(error.message).toContain("--learning-rate cannot be");
			expect(error.expected).toContain("above 0");
		},
	);

	test("NaN from a program and from YAML is refused, with the place", async () => {
		expect(errorOf(() => gatherOptions(finetuneOptions, { options: { learningRate: Number.NaN } })).message).toBe(
			"learningRate cannot be NaN.",
		);
		const file = await config("epochs: 2\nlearning-rate: .nan\n");
		expect(errorOf(() => gatherOptions(finetuneOptions, { config: file })).where).toBe("train.yaml, line 2");
	});

	test("a config key without a value is refused", async () => {
		const file = await config("epochs:\n");
		expect(errorOf(() => gatherOptions(finetuneOptions, { config: file }))).toMatchObject({
			code: "OPTION_INVALID",
			found: "nothing",
		});
	});

	test("unknown names get a suggestion in the spelling of their source", async () => {
		const file = await config("seed: 1\nlerning-rate: 1e-4\n");
		expect(errorOf(() => gatherOptions(finetuneOptions, { config: file }))).toMatchObject({
			code: "OPTION_UNKNOWN",
			where: "train.yaml, line 2",
			hint: "learning-rate",
		});
		const options = { lerningRate: 1e-4 } as OptionsInput<typeof finetuneOptions>;
		expect(errorOf(() => gatherOptions(finetuneOptions, { options })).hint).toBe("learningRate");
		for (const name of ["toString", "__proto__", "constructor"]) {
			const entries = [{ key: name, value: 1, line: 1 }];
			expect(errorOf(() => gatherOptions(finetuneOptions, { config: { file: "a", entries } })).code).toBe(
				"OPTION_UNKNOWN",
			);
		}
	});

	test.each(["input=a", "input=a,output=", "input=a,output=b,reply=c", "input=a,input=b,output=c", "a,b", ""])(
		"columns %j are refused",
		(columns) => {
			const error = errorOf(() => gatherOptions(finetuneOptions, { flags: { columns } }));
			expect(error).toMatchObject({
				code: "OPTION_INVALID",
				expected: "input=NAME,output=NAME, and perhaps system=NAME",
			});
		},
	);

	test("a mistyped choice gets a suggestion", () => {
		const error = errorOf(() => gatherOptions(finetuneOptions, { flags: { optimizer: "adamv" } }));
		expect(error).toMatchObject({ expected: "adamw, adam, sgd or rmsprop", hint: "adamw" });
	});

	test("required options are named in the words of the caller", () => {
		expect(errorOf(() => resolveOptions(finetuneOptions, { flags: {} }))).toMatchObject({
			code: "OPTION_MISSING",
			message: "--data is missing.",
		});
		expect(errorOf(() => resolveOptions(finetuneOptions, { options: {} })).message).toBe("data is missing.");
		expect(errorOf(() => resolveOptions(tokenizerTrainOptions, { flags: {} })).message).toBe("FILE is missing.");
	});

	test("epochs and steps exclude each other, but a flag may replace what a config file says", async () => {
		const error = errorOf(() => gatherOptions(finetuneOptions, { flags: { epochs: "2", steps: "10" } }));
		expect(error.code).toBe("OPTION_CONFLICT");
		const file = await config("epochs: 2\n");
		const { given } = gatherOptions(finetuneOptions, { config: file, flags: { steps: "10" } });
		expect(given).toEqual({ steps: 10 });
		const swapped = resolveOptions(finetuneOptions, {
			config: await config("steps: 10"),
			flags: { ...needed, epochs: "2" },
		});
		expect(swapped.values).toMatchObject({ epochs: 2, steps: undefined });
	});

	test("an option that would have no effect is refused", () => {
		const flags = { ...needed, momentum: "0.9" };
		expect(errorOf(() => resolveOptions(finetuneOptions, { flags })).message).toBe(
			"--momentum has no effect without --optimizer sgd or rmsprop.",
		);
		expect(resolveOptions(finetuneOptions, { flags: { ...flags, optimizer: "sgd" } }).values.momentum).toBe(0.9);
		const lora = { ...needed, loraRank: "4" };
		expect(errorOf(() => resolveOptions(finetuneOptions, { flags: lora })).message).toBe(
			"--lora-rank has no effect without --lora.",
		);
		const ramped = { ...needed, rampLearningRate: "sqrt" };
		expect(errorOf(() => resolveOptions(finetuneOptions, { flags: ramped })).message).toContain("without --batch-ramp");
	});

	test("a whole resolved object may be passed on, with a change", () => {
		const { values } = resolveOptions(finetuneOptions, { options: needed });
		expect(resolveOptions(finetuneOptions, { options: { ...values, seed: 7 } }).values).toEqual({ ...values, seed: 7 });
		expect(resolveOptions(finetuneOptions, { options: { ...values, steps: 7 } }).values.steps).toBe(7);
	});

	test("a resumed run stands in place of the defaults, and changes are seen", () => {
		const first = resolveOptions(finetuneOptions, { flags: { ...needed, epochs: "9", learningRate: "1e-3" } });
		const previous = JSON.parse(JSON.stringify(first.record));
		const second = resolveOptions(finetuneOptions, { previous, options: { resume: "runs/a" } });
		expect(second.values).toEqual({ ...first.values, resume: "runs/a" });
		expect(second.record.epochs).toEqual({ value: 9, origin: "flag" });
		expect(changedOptions(first.record, second.record)).toEqual(["resume"]);
		const changed = resolveOptions(finetuneOptions, { previous, options: { resume: "runs/a", seed: 1, steps: 5 } });
		expect(changedOptions(first.record, changed.record).sort()).toEqual(["epochs", "resume", "seed", "steps"]);
	});

	test("a config file for finetune serves plan, too; its other keys are skipped", async () => {
		const file = await config("output: runs/a\nbatch-size: 2\nlr-schedule: linear\n");
		expect(gatherOptions(optionTables.plan, { config: file }).given).toEqual({ batchSize: 2 });
	});
});

describe("tables", () => {
	const one = optionGroup("A", { size: integer({ default: 1, help: "size of it" }) });
	test("two groups cannot define the same option, and rules name options that exist", () => {
		expect(() => optionTable({ job: "x" }, [one, one])).toThrow("size of x is defined twice");
		const needy = optionGroup("B", { name: text({ help: "a name", needs: { sise: "given" } }) });
		expect(() => optionTable({ job: "x" }, [one, needy])).toThrow("sise");
		expect(() => optionTable({ job: "x", exclusive: [["size", "length"]] }, [one])).toThrow("length");
	});
});

describe("config files", () => {
	test("what is written is read back exactly", async () => {
		const flags = {
			...needed,
			columns: "input=a b,output=c",
			batchRamp: "8:64@0.3",
			rampLearningRate: "sqrt",
			stop: undefined,
			ask: ["是什么: # ?", "'\"\n"],
			optimizer: "sgd",
			momentum: "0.3",
			learningRate: "0.00012345678901234567",
			decayExclusions: "none",
			lora: true,
			baseBits: "4",
		};
		const first = resolveOptions(finetuneOptions, { flags });
		const written = formatConfig(finetuneOptions, first.values);
		const second = resolveOptions(finetuneOptions, { config: await config(written) });
		expect(second.values).toEqual(first.values);
		expect(written).not.toContain("beta1");
	});

	test("an empty file gives nothing", async () => {
		expect((await config("# nothing\n")).entries).toEqual([]);
	});

	test.each([
		["a: [1, 2", /line \d+, column \d+/],
		["- a\n- b\n", /line 1, column 1/],
		["just text", /line 1, column 1/],
		["seed: 1\nseed: 2\n", /line 2/],
		["batch-size: 1\nbatchSize: 2\n", /line 2/],
		["seed: *nobody\n", /line 1/],
		["\tseed: 1\n", /line 1/],
	])("%j is refused with its place", async (content, place) => {
		await expect(config(content)).rejects.toMatchObject({
			code: "CONFIG_INVALID",
			where: expect.stringMatching(place),
		});
	});

	test("an exploding file is refused", async () => {
		const levels = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
		for (let i = 1; i < 9; i++) levels.push(`a${i}: &a${i} [${`*a${i - 1},`.repeat(10)}]`);
		await expect(config(levels.join("\n"))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
	});

	test("mutated files give entries or a UserError", async () => {
		const seedText = "model: builtin\ndata: [a, b]\ncolumns: {input: q, output: a}\nlearning-rate: 1e-4\n";
		await fc.assert(
			fc.asyncProperty(fc.nat(seedText.length), fc.string(), async (at, inserted) => {
				const content = seedText.slice(0, at) + inserted + seedText.slice(at);
				const result = await config(content).catch((error) => error);
				expect(Array.isArray(result.entries) || result instanceof UserError).toBe(true);
			}),
			{ numRuns: 300 },
		);
	});
});

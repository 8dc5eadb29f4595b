// Where a run cannot be written: what is there stays as it was, and a disk that fills up leaves a run to go on with.
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { finetune } from "../../src/recipes/finetune.ts";
import { buildProgram, type Program } from "../support/program.ts";
import { refusal } from "../support/refused.ts";
import { dialoguesFile, eventsOf, quick, resultHash, temporary, tinyModelDirectory } from "../support/tiny.ts";

let model: string;
let data: string;
let base: string[];
beforeAll(async () => {
	model = await tinyModelDirectory();
	data = dialoguesFile();
	base = ["finetune", "--model", model, "--data", data];
});

describe("an output directory that exists", () => {
	test("with anything in it is refused and left alone", async () => {
		const output = temporary();
		writeFileSync(join(output, "thesis.txt"), "years of work");
		expect(await refusal([...base, "--output", output])).toMatchObject({
			exitCode: 1,
			code: "OUTPUT_EXISTS",
			where: output,
			found: "thesis.txt",
			hint: expect.stringContaining("--overwrite"),
		});
		expect(await refusal([...base, "--output", output, "--overwrite"])).toMatchObject({ code: "OUTPUT_NOT_A_RUN" });
		expect(readdirSync(output)).toEqual(["thesis.txt"]);
	});

	test("with a run in it is replaced with --overwrite only, and nothing else that lies there", async () => {
		const output = join(temporary(), "run");
		await eventsOf(finetune({ ...quick, model, data: [data], output, steps: 2 }));
		const before = resultHash(output);
		writeFileSync(join(output, "notes.txt"), "mine");
		const refused = await refusal([...base, "--output", output]);
		expect(refused).toMatchObject({ code: "OUTPUT_EXISTS", hint: expect.stringContaining("--resume") });
		expect(resultHash(output)).toBe(before);
		await eventsOf(finetune({ ...quick, model, data: [data], output, steps: 3, overwrite: true }));
		expect(resultHash(output)).not.toBe(before);
		expect(readFileSync(join(output, "notes.txt"), "utf8")).toBe("mine");
	});

	test("a mistake elsewhere does not cost the run that is to be replaced", async () => {
		const output = join(temporary(), "run");
		await eventsOf(finetune({ ...quick, model, data: [data], output, steps: 1 }));
		const before = resultHash(output);
		await refusal(["finetune", "--model", model, "--data", "/nowhere.json", "--output", output, "--overwrite"]);
		await refusal([...base, "--output", output, "--overwrite", "--steps", "2", "--warmup-steps", "9"]);
		expect(resultHash(output)).toBe(before);
	});

	test("a file in the way", async () => {
		const file = dialoguesFile();
		const before = readFileSync(file, "utf8");
		expect(await refusal([...base, "--output", file])).toMatchObject({ code: "FILE_NOT_FOUND", where: file });
		expect((await refusal([...base, "--output", join(file, "run")])).code).toBe("FILE_NOT_FOUND");
		expect(readFileSync(file, "utf8")).toBe(before);
	});
});

/** A shell that may mount, for a disk of a few kilobytes; not every system gives one. */
const inNamespace = (script: string) =>
	spawnSync("unshare", ["-Urm", "sh", "-c", script], { encoding: "utf8", timeout: 120_000 });
const canMount = inNamespace("mount -t tmpfs -o size=64k none /mnt").status === 0;

describe.skipIf(!canMount)("a full disk (needs unshare and tmpfs)", () => {
	let program: Program;
	beforeAll(async () => {
		program = await buildProgram();
	});
	afterAll(() => program?.remove());

	test("is named, leaves whole checkpoints and nothing half-written, and the run goes on when there is space", async () => {
		const disk = temporary();
		const whole = join(temporary(), "run");
		await eventsOf(finetune({ ...quick, model, data: [data], output: whole, saveSteps: 1, saveTotalLimit: 9 }));
		const run = join(disk, "run");
		const attune = `'${process.execPath}' '${program.file}' finetune`;
		const settings = Object.entries({ ...quick, saveSteps: 1, saveTotalLimit: 9 })
			.map(([name, value]) => `--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} ${value}`)
			.join(" ");
		const { stdout, stderr } = inNamespace(`
			mount -t tmpfs -o size=420k none '${disk}' || exit 99
			${attune} --model '${model}' --data '${data}' --output '${run}' ${settings}
			echo "code $?"
			find '${disk}' -name '*.partial' -o -name '*.lock' -o -name model -type d | sed 's/^/left /'
			ls '${run}/checkpoints' | sed 's/^/checkpoint /'
			mount -o remount,size=8m '${disk}'
			${attune} --resume '${run}'
			echo "code $?"
			sha256sum '${run}/model/model.safetensors'
		`);
		expect(stderr).toContain("no space is left on the disk");
		expect(stderr).toContain("Free some space");
		expect(stderr).not.toMatch(/^ +at /m);
		expect(stdout.match(/code \d+/g)).toEqual(["code 1", "code 0"]);
		expect(stdout).not.toContain("left ");
		expect(stdout.match(/checkpoint step-\d+/g)?.length).toBeGreaterThan(0);
		expect(stdout).toContain(resultHash(whole));
	});

	test("before anything could be written leaves nothing to mistake for a run", () => {
		const disk = temporary();
		mkdirSync(disk, { recursive: true });
		const { stdout, stderr } = inNamespace(`
			mount -t tmpfs -o size=4k,nr_inodes=8 none '${disk}' || exit 99
			head -c 4096 /dev/zero > '${disk}/filler'
			'${process.execPath}' '${program.file}' finetune --model '${model}' --data '${data}' --steps 1 --output '${disk}/run'
			echo "code $?"
			find '${disk}/run' -type f | sed 's/^/left /'
		`);
		expect(stderr).toContain("no space is left on the disk");
		expect(stdout).toContain("code 1");
		expect(stdout).not.toContain("left ");
	});
});

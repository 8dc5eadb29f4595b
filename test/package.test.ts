// What is published: `npm pack`, installed into an empty project without running any script of a dependency, works there:
// the program, the library and its types, down to a step of training on the native library.
import { type ExecFileOptions, execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { version } from "../package.json";
import { tinyModelDirectory } from "./support/tiny.ts";

const root = resolve(import.meta.dirname, "..");
const execute = promisify(execFile);
const npm = (args: string[], options: ExecFileOptions) =>
	execute("npm", args, { maxBuffer: 1 << 26, encoding: "utf8", ...options });

async function registryAnswers(): Promise<boolean> {
	const { stdout } = await npm(["config", "get", "registry"], { cwd: root });
	const answer = await fetch(new URL("zod", `${stdout}`.trim()), {
		method: "HEAD",
		signal: AbortSignal.timeout(10_000),
	}).catch(() => undefined);
	return answer?.ok ?? false;
}

interface Packed {
	filename: string;
	size: number;
	unpackedSize: number;
	files: { path: string; size: number }[];
}

test("the package installs into an empty project and runs there", { timeout: 900_000 }, async ({ skip }) => {
	// `npm test` has built it just before.
	if (!existsSync(join(root, "dist", "index.d.ts"))) await npm(["run", "build"], { cwd: root });
	const folder = mkdtempSync(join(tmpdir(), "attune-package-"));
	try {
		const { stdout } = await npm(["pack", "--json", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
		const [packed] = JSON.parse(`${stdout}`) as [Packed];
		const paths = packed.files.map(({ path }) => path);
		for (const path of ["dist/cli/main.js", "dist/index.js", "dist/index.d.ts", "dist/search/index.js", "LICENSE"])
			expect(paths).toContain(path);
		const expected =
			/^(dist\/.+\.(js|d\.ts)|models\/.+|examples\/customer-service\/.+|[A-Za-z.-]+\.md|LICENSE|package\.json)$/;
		expect(paths.filter((path) => !expected.test(path))).toEqual([]);
		expect(paths.filter((path) => /test|fixture|\.py$|\.map$|\.partial$|\.tgz$/.test(path))).toEqual([]);
		expect(packed.unpackedSize).toBeLessThan(16e6);
		expect(packed.size).toBeLessThan(14e6);

		if (!(await registryAnswers())) skip("the npm registry cannot be reached: the package was packed, not installed");
		const project = join(folder, "project");
		mkdirSync(project);
		writeFileSync(join(project, "package.json"), '{ "name": "empty", "private": true, "type": "module" }\n');
		const install = ["install", join(folder, packed.filename), "--ignore-scripts", "--prefer-offline"];
		await npm([...install, "--no-audit", "--no-fund"], { cwd: project });
		const attune = async (...args: string[]) => {
			const { stdout, stderr } = await execute("npx", ["--no-install", "attune", ...args], { cwd: project });
			return { stdout, stderr };
		};

		expect((await attune("--version")).stdout).toBe(`${version}\n`);
		const examples = join(project, "node_modules", "attune", "examples", "customer-service");
		const check = await attune("data", "check", join(examples, "train.en.json"));
		expect(check.stdout).toMatch(/\d+/);
		expect(check.stdout + check.stderr).not.toMatch(/error/i);

		writeFileSync(
			join(project, "rows.json"),
			JSON.stringify([{ input: "Do you sell tea?", output: "Yes, by the door." }]),
		);
		const model = await tinyModelDirectory();
		const training = ["--model", model, "--data", "rows.json", "--steps", "2", "--validation", "0"];
		await attune("finetune", ...training, "--output", "run");
		expect(readdirSync(join(project, "run", "model")).sort()).toContain("model.safetensors");
		expect(JSON.parse(readFileSync(join(project, "run", "report.json"), "utf8"))).toMatchObject({ steps: 2 });

		writeFileSync(
			join(project, "use.mjs"),
			`import { finetune, loadModel } from "attune";
			import * as search from "attune/search";
			const model = await loadModel("run");
			console.log(typeof finetune, model.parameters.size, Object.keys(search).length > 0);`,
		);
		expect((await execute(process.execPath, ["use.mjs"], { cwd: project })).stdout).toBe("function 28 true\n");
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
});

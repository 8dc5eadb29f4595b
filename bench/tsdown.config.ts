import { readdirSync } from "node:fs";
import { defineConfig } from "tsdown";

const sides = readdirSync(new URL("./sides", import.meta.url)).map((file) => `bench/sides/${file}`);

export default defineConfig({
	cwd: new URL("..", import.meta.url).pathname,
	entry: ["bench/main.ts", "bench/forecast/measure.ts", ...sides],
	format: "esm",
	platform: "node",
	target: "node20",
	fixedExtension: false,
	dts: false,
	clean: true,
	outDir: ".cache/bench",
	logLevel: "warn",
});

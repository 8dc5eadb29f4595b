import { defineConfig } from "vitest/config";
import { SummaryReporter } from "./test/summary-reporter.ts";

const here = (path: string) => new URL(path, import.meta.url).pathname;

export default defineConfig({
	// Examples import the package by its name, as its users do.
	resolve: { alias: { "attune/search": here("src/search/index.ts"), attune: here("src/index.ts") } },
	test: {
		reporters: ["default", new SummaryReporter()],
		include: ["src/**/*.test.ts", "test/**/*.test.ts"],
		// Each file that opens ONNX Runtime uses native threads of its own: more files at once only fight over the cores.
		maxWorkers: 2,
		testTimeout: 120_000,
		hookTimeout: 120_000,
	},
});

import { defineConfig } from "vitest/config";

export default defineConfig({
	test: {
		include: ["src/**/*.test.ts", "test/**/*.test.ts"],
		// Each file that opens ONNX Runtime uses native threads of its own: more files at once only fight over the cores.
		maxWorkers: 2,
		testTimeout: 120_000,
		hookTimeout: 120_000,
	},
});

import { defineConfig } from "tsdown";

export default defineConfig({
	entry: ["src/index.ts", "src/cli/main.ts", "src/search/index.ts"],
	format: "esm",
	platform: "node",
	target: "node20",
	fixedExtension: false,
	dts: true,
	clean: true,
});

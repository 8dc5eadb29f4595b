// Checkpoints and manifests for tests: small, and told apart by their step.
import type { CheckpointContent } from "../checkpoints.ts";
import type { Manifest } from "../manifest.ts";

/** Tensors of 1.2 MB in which every number is the step. */
export function contentOfStep(step: number): CheckpointContent {
	return {
		step,
		tensors: {
			"model.safetensors": [{ name: "wte.weight", shape: [1000, 100], data: new Float32Array(100_000).fill(step) }],
			"optimizer.safetensors": [
				{ name: "wte.weight.m", shape: [1000, 100], data: new Float32Array(100_000).fill(step) },
				{ name: "wte.weight.v", shape: [1000, 100], data: new Float32Array(100_000).fill(step) },
			],
		},
		state: { step, random: [1, 2, 3, 0xffffffff] },
	};
}

export const manifestForTests: Manifest = {
	tool: "attune",
	format: 1,
	recipe: "finetune",
	createdAt: "2024-05-06T07:08:09.000Z",
	seed: 42,
	options: {
		learningRate: { value: 5e-5, origin: "default" },
		data: { value: ["a.jsonl"], origin: "flag" },
		lora: { value: null, origin: "config" },
	},
	versions: { attune: "0.1.0", node: "20.20.0", onnxruntime: "1.30.0" },
	platform: { system: "linux", architecture: "x64", processor: "2 x fast" },
	base: { model: "gpt2", files: [{ path: "model.safetensors", bytes: 5, sha256: "0".repeat(64) }] },
	data: [],
	changes: [],
};

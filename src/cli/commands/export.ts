// `attune export`: a model folder, with a LoRA adapter merged if wanted.
import { exportOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const exportCommand = eventCommand({
	recipe: "export",
	words: "export",
	summary: "write a model folder for other programs",
	table: exportOptions,
	examples: ["attune export runs/lora --merge --output model"],
});

// `attune search worker`: one more process on a search that is running.
import { searchWorkerOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const searchWorkerCommand = eventCommand({
	recipe: "searchWorker",
	words: "search worker",
	summary: "help a search that was started with --workers",
	table: searchWorkerOptions,
	examples: ["attune search worker --study runs/search"],
});

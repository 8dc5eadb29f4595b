// `attune bench ramp`: is a growing batch better on these data?
import { benchRampOptions } from "../../recipes/options/jobs.ts";
import { eventCommand } from "../command.ts";

export const benchRampCommand = eventCommand({
	recipe: "benchRamp",
	words: "bench ramp",
	summary: "compare a growing batch with a constant one, at equal tokens, over several seeds",
	table: benchRampOptions,
	examples: ["attune bench ramp --data dialogues.jsonl --batch-ramp 4:32@0.3 --seeds 5"],
});

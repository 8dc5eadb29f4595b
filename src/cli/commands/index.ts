// All commands, in the order in which help lists them: that of the work.
import type { Command } from "../command.ts";
import { benchRampCommand } from "./bench-ramp.ts";
import { chatCommand } from "./chat.ts";
import { dataCheckCommand } from "./data-check.ts";
import { demoCommand } from "./demo.ts";
import { exportCommand } from "./export.ts";
import { finetuneCommand } from "./finetune.ts";
import { generateCommand } from "./generate.ts";
import { planCommand } from "./plan.ts";
import { pretrainCommand } from "./pretrain.ts";
import { searchCommand } from "./search.ts";
import { searchWorkerCommand } from "./search-worker.ts";
import { tokenizerTrainCommand } from "./tokenizer-train.ts";

export const commands: readonly Command[] = [
	demoCommand,
	dataCheckCommand,
	planCommand,
	finetuneCommand,
	searchCommand,
	searchWorkerCommand,
	chatCommand,
	generateCommand,
	exportCommand,
	pretrainCommand,
	tokenizerTrainCommand,
	benchRampCommand,
];

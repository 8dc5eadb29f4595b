// What a chat template makes of a conversation, before it is encoded.

import type { Turn } from "./turn.ts";

/** A piece of a rendered conversation: what the template wrote, or what was said in a turn. */
export type TemplatePart = { literal: string } | { content: string; turn: number };

/** Cuts a conversation into its parts, in the order of the text. */
export type TemplateParts = (turns: readonly Turn[], options: { addGenerationPrompt: boolean }) => TemplatePart[];

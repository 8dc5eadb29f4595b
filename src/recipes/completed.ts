// Waiting for a recipe whose progress nobody watches.

import type { EventOf, RecipeEvent } from "./options/recipe.ts";

/**
 * Runs a recipe to its end and returns its `run-done` event; undefined when it was stopped before or has none. Warnings
 * are not lost: they go to `onWarning`, by default to the console.
 */
export async function completed(
	events: AsyncIterable<RecipeEvent>,
	{
		onWarning = (warning) => console.warn(warning.message),
	}: { onWarning?: (warning: EventOf<"warning">) => void } = {},
): Promise<EventOf<"run-done"> | undefined> {
	let done: EventOf<"run-done"> | undefined;
	for await (const event of events) {
		if (event.type === "warning") onWarning(event);
		if (event.type === "run-done") done = event;
	}
	return done;
}

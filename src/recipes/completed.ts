// Waiting for a recipe whose progress nobody watches.

import type { EventOf, RecipeEvent } from "./options/recipe.ts";

type LastEvent = "run-done" | "search-done";

/**
 * Runs a recipe to its end and returns its last event, `run-done` unless another is named; undefined when it was stopped
 * before or has none. Warnings are not lost: they go to `onWarning`, by default to the console.
 */
export async function completed<Type extends LastEvent = "run-done">(
	events: AsyncIterable<RecipeEvent>,
	{
		event: wanted = "run-done" as Type,
		onWarning = (warning) => console.warn(warning.message),
	}: { event?: Type; onWarning?: (warning: EventOf<"warning">) => void } = {},
): Promise<EventOf<Type> | undefined> {
	let done: EventOf<Type> | undefined;
	for await (const event of events) {
		if (event.type === "warning") onWarning(event);
		if (event.type === wanted) done = event as EventOf<Type>;
	}
	return done;
}

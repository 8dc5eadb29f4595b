// Colour, through Node's styleText, decided once for each stream: NO_COLOR and FORCE_COLOR are obeyed, and what is not a
// terminal gets none.
import { styleText } from "node:util";

export type Look = Parameters<typeof styleText>[0];
export type Paint = (look: Look, text: string) => string;

export const plain: Paint = (_look, text) => text;

// Whether to colour is decided here and not by styleText, which only looks at its own idea of stdout.
const coloured: Paint = (look, text) => styleText(look, text, { validateStream: false });

/** After no-color.org and force-color.org: an empty variable counts as unset. */
export function paintFor(
	stream: { isTTY?: boolean | undefined },
	env: Readonly<Record<string, string | undefined>>,
): Paint {
	if (env.NO_COLOR) return plain;
	if (env.FORCE_COLOR) return env.FORCE_COLOR === "0" ? plain : coloured;
	return stream.isTTY && env.TERM !== "dumb" ? coloured : plain;
}

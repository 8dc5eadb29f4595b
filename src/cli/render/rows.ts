// A row of data as the model sees it, with the tokens it learns from marked: in colour, or between ⟦ and ⟧ where there is
// no colour.
import type { EventOf } from "../../recipes/options/recipe.ts";
import { type Paint, plain } from "./style.ts";
import { printable } from "./width.ts";

/** The text keeps its own line feeds. */
export function rowLines({ line, fate, pieces }: EventOf<"row-rendered">, { paint }: { paint: Paint }): string[] {
	const text = pieces.map((piece) => {
		const shown = printable(piece.text);
		if (!piece.supervised) return paint("dim", shown);
		return paint === plain ? `⟦${shown}⟧` : paint(["green", "bold"], shown);
	});
	return [paint("cyan", `line ${line}: ${fate}`), text.join(""), ""];
}

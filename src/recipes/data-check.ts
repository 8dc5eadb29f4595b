// Looks at data without training: what is in the files, what each row becomes, what would be lost.

import { inspectData } from "../data/index.ts";
import type { Place } from "../data/row.ts";
import { loadReferencedModel } from "./model-reference.ts";
import { dataCheckOptions } from "./options/jobs.ts";
import type { Recipe } from "./options/recipe.ts";
import { resolveOptions } from "./options/resolve.ts";

/** One `data-read` event with everything that was found, and a `row-rendered` event for each row that is shown. */
export const dataCheck: Recipe<typeof dataCheckOptions> = async function* (options, { origins, signal } = {}) {
	const { values } = resolveOptions(dataCheckOptions, { options, origins });
	const { tokenizer, template, architecture, config } = await loadReferencedModel(
		values.model,
		signal ? { signal } : {},
	);
	const inspection = await inspectData({
		files: values.files,
		tokenizer,
		template,
		maxLength: (values.maxLength ?? architecture.sizes(config).context) + 1,
		overflow: values.overflow,
		show: values.show,
		...(values.columns && { columns: values.columns }),
		...(signal && { signal }),
	});
	const { p50, p90, p99, max } = inspection.lengths.conversation;
	yield {
		type: "data-read",
		files: values.files,
		use: "check",
		shape: {
			format: [...new Set(inspection.files.map(({ title }) => title))].join(", "),
			conversations: inspection.conversations,
			turns: Object.values(inspection.turns).reduce((sum, count) => sum + count, 0),
			lengthPercentiles: { 50: p50, 90: p90, 99: p99, 100: max },
		},
		ledger: inspection.ledger,
	};
	if (inspection.text.documents > 0) {
		const { documents, tokens } = inspection.text;
		yield { type: "text-read", files: values.files, documents, tokens, heldOutTokens: 0 };
	}
	if (inspection.duplicates.rows > 0) {
		const { rows, places } = inspection.duplicates;
		// One file needs no name at every line.
		const at = ({ file, line }: Place) => (values.files.length === 1 ? `${line}` : `${file}:${line}`);
		const shown = places.slice(0, 5).map((place) => `line ${at(place)} as line ${at(place.repeats)}`);
		const more = rows > shown.length ? ", ..." : "";
		const message = `${rows} ${rows === 1 ? "row repeats" : "rows repeat"} an earlier row (${shown.join(", ")}${more}).`;
		yield { type: "warning", code: "DUPLICATE_ROWS", message };
	}
	for (const { line, outcome, problems, examples } of inspection.shown) {
		const fate = [outcome, ...problems.map(({ message }) => message)].join(": ");
		yield { type: "row-rendered", line, fate, pieces: examples.flatMap(({ segments }) => segments) };
	}
};

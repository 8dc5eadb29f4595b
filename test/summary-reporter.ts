// The last line of a test run, for people and for machines that count: "N passed, N failed", and ", N skipped" if any. A
// file that cannot be loaded counts as one failure, and so does an error outside of any test.
import type { Reporter, SerializedError, TestModule } from "vitest/node";

export class SummaryReporter implements Reporter {
	onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
		const count = { passed: 0, failed: errors.length, skipped: 0, pending: 0 };
		for (const module of modules) {
			count.failed += module.errors().length;
			for (const test of module.children.allTests()) count[test.result().state]++;
		}
		const skipped = count.skipped + count.pending;
		// After what the other reporters print at the end.
		process.once("exit", () => {
			process.stdout.write(
				`${count.passed} passed, ${count.failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}\n`,
			);
		});
	}
}

import { expect, test } from "vitest";
import { Session, Tensor } from "../runtime/index.ts";
import { Graph, scatterAddRows, toOnnx, zeros } from "./index.ts";

test("rows that come thousands of times are all added, with several threads", async () => {
	const [count, width] = [20_000, 64];
	const graph = new Graph();
	const rows = graph.input("rows", "int64", ["N"]);
	const updates = graph.input("updates", "float32", ["N", width]);
	graph.output("sum", scatterAddRows(zeros(graph, [3, width]), rows, updates));
	const session = await Session.create(toOnnx(graph), { threads: 2 });
	const feeds = {
		rows: Tensor.from(
			BigInt64Array.from({ length: count }, (_, i) => BigInt((i * 7) % 3)),
			[count],
		),
		updates: Tensor.from(new Float32Array(count * width).fill(1), [count, width]),
	};
	for (let run = 0; run < 5; run++) {
		const { sum } = await session.run(feeds, { sum: "allocate" });
		const expected = [6667, 6667, 6666].flatMap((times) => Array<number>(width).fill(times));
		expect([...(sum as Tensor).data]).toEqual(expected);
	}
	session.dispose();
});

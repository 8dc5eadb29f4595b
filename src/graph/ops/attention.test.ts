import { expect, test } from "vitest";
import { Session, Tensor } from "../../runtime/index.ts";
import { Rng } from "../../util/rng.ts";
import { Graph, toOnnx, type Value } from "../index.ts";
import { build, nd } from "../testing/array.ts";
import { interpret } from "../testing/interpret.ts";

test.each([
	["a prompt", { batch: 2, time: 3, ends: [2, 2] }],
	["one token each", { batch: 2, time: 1, ends: [2, 4] }],
	["several tokens after a history", { batch: 1, time: 3, ends: [5] }],
])("the cache is written where it stands and nowhere else: %s", async (_, { batch, time, ends }) => {
	const graph = new Graph();
	const query = graph.input("query", "float32", ["B", "T", 32]);
	const key = graph.input("key", "float32", ["B", 1, "M", 8]);
	const value = graph.input("value", "float32", ["B", 1, "M", 8]);
	const last = graph.input("last", "int32", ["B"]);
	const total = graph.input("total", "int32", [1]);
	const inputs = [query, undefined, undefined, key, value, last, total];
	const outputs = graph.add("GroupQueryAttention", inputs, { num_heads: 2, kv_num_heads: 1 }) as [Value, Value, Value];
	for (const [i, name] of ["mixed", "presentKey", "presentValue"].entries()) graph.output(name, outputs[i] as Value);

	const rng = new Rng("cache");
	const random = (shape: number[]) => build(shape, () => Math.fround(rng.normal()));
	const capacity = 7;
	const arrays = {
		query: random([batch, time, 32]),
		key: random([batch, 1, capacity, 8]),
		value: random([batch, 1, capacity, 8]),
		last: nd([batch], ends),
		total: nd([1], [Math.max(...ends) + 1]),
	};
	const expected = interpret(graph, arrays);
	const float = ({ shape, data }: { shape: readonly number[]; data: Float64Array }) =>
		Tensor.from(Float32Array.from(data), shape);
	const feeds = {
		query: float(arrays.query),
		key: float(arrays.key),
		value: float(arrays.value),
		last: Tensor.from(Int32Array.from(ends), [batch]),
		total: Tensor.from(Int32Array.from(arrays.total.data), [1]),
	};
	const session = await Session.create(toOnnx(graph), { threads: 1 });
	const { mixed } = await session.run(feeds, { mixed: "allocate", presentKey: feeds.key, presentValue: feeds.value });
	session.dispose();
	expect([...feeds.key.data]).toEqual([...expected(outputs[1]).data]);
	expect([...feeds.value.data]).toEqual([...expected(outputs[2]).data]);
	expected(outputs[0]).data.forEach((x, i) => {
		expect(Number(mixed?.data[i])).toBeCloseTo(x, 5);
	});
});

// One run of a training graph over a fixture's batch.

import { toOnnx } from "../../graph/index.ts";
import { Session, Tensor } from "../../runtime/index.ts";
import type { Model } from "../model.ts";
import { parameterFeeds } from "../parameters.ts";
import { type TrainingGraphOptions, trainingGraph } from "../training-graph.ts";
import type { Fixture } from "./gpt2-fixture.ts";

type Batch = Pick<Fixture["expected"], "ids" | "rows" | "targets">;

/** Loss and gradients of a batch; of all parameters unless `trainable` says otherwise. */
export async function runBatch(
	model: Pick<Model, "architecture" | "config" | "parameters" | "quantized"> & { expected: Batch },
	options: Partial<TrainingGraphOptions> = {},
) {
	const { architecture, config, expected } = model;
	const specs = architecture.parameters(config);
	const chunks = options.chunks ?? 1;
	const trainable = options.trainable ?? new Set(specs.map(({ name }) => name));
	const built = trainingGraph(architecture, config, { ...options, trainable, chunks });
	const session = await Session.create(toOnnx(built.graph), { threads: 1 });
	const int64 = (values: number[], shape: number[]) => Tensor.from(BigInt64Array.from(values, BigInt), shape);
	const batch = expected.ids.length;
	const time = expected.ids[0]?.length as number;
	const padding = (chunks - (expected.rows.length % chunks)) % chunks;
	const filled = (values: number[]) => [...values, ...Array<number>(padding).fill(0)];
	const rows = filled(expected.rows);
	const feeds: Record<string, Tensor> = {
		...parameterFeeds(specs, model),
		ids: int64(expected.ids.flat(), [batch, time]),
		positions: int64([...Array(time).keys()], [time]),
		rows: int64(rows, [rows.length]),
		labels: int64(filled(expected.targets), [rows.length]),
		weights: Tensor.from(Float32Array.from(filled(expected.rows.map(() => 1 / expected.rows.length))), [rows.length]),
	};
	for (const { name, shape } of specs) {
		if (!options.accumulate || !trainable.has(name)) continue;
		const size = shape.reduce((product, dim) => product * dim, 1);
		feeds[`accumulated.${name}`] = Tensor.from(new Float32Array(size).fill(1), shape);
	}
	const results = await session.run(feeds, Object.fromEntries(session.outputs.map((name) => [name, "allocate"])));
	session.dispose();
	const gradient = (name: string) => results[`gradient.${name}`]?.data as Float32Array;
	return { loss: Number(results.loss?.data[0]), gradient, graph: built.graph, trained: built.trained };
}

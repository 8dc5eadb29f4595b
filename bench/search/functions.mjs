// The test functions of samplers.mjs: the same five as in optuna_peer.py, with their spaces. Smaller is better.

const A = [
	[10, 3, 17, 3.5, 1.7, 8],
	[0.05, 10, 17, 0.1, 8, 14],
	[3, 3.5, 1.7, 10, 17, 8],
	[17, 8, 0.05, 10, 0.1, 14],
];
const P = [
	[1312, 1696, 5569, 124, 8283, 5886],
	[2329, 4135, 8307, 3736, 1004, 9991],
	[2348, 1451, 3522, 2883, 3047, 6650],
	[4047, 8828, 8732, 5743, 1091, 381],
];
const C = [1, 1.2, 3, 3.2];

const range = (n) => Array.from({ length: n }, (_, i) => i);
const box = (n, low, high) => Object.fromEntries(range(n).map((i) => [`x${i}`, { type: "float", low, high }]));
const sum = (values) => values.reduce((a, b) => a + b, 0);

export const functions = {
	branin: {
		optimum: 0.397887,
		space: { x: { type: "float", low: -5, high: 10 }, y: { type: "float", low: 0, high: 15 } },
		evaluate: ({ x, y }) =>
			(y - (5.1 / (4 * Math.PI ** 2)) * x ** 2 + (5 / Math.PI) * x - 6) ** 2 +
			10 * (1 - 1 / (8 * Math.PI)) * Math.cos(x) +
			10,
	},
	hartmann6: {
		optimum: -3.32237,
		space: box(6, 0, 1),
		evaluate: (p) =>
			-sum(C.map((c, i) => c * Math.exp(-sum(A[i].map((a, j) => a * (p[`x${j}`] - P[i][j] / 1e4) ** 2))))),
	},
	rosenbrock: {
		optimum: 0,
		space: box(4, -2, 2),
		evaluate: (p) => {
			const x = range(4).map((i) => p[`x${i}`]);
			return sum(range(3).map((i) => 100 * (x[i + 1] - x[i] ** 2) ** 2 + (1 - x[i]) ** 2));
		},
	},
	ackley: {
		optimum: 0,
		space: box(5, -32, 32),
		evaluate: (p) => {
			const x = range(5).map((i) => p[`x${i}`]);
			const radius = Math.sqrt(sum(x.map((v) => v * v)) / 5);
			return -20 * Math.exp(-0.2 * radius) - Math.exp(sum(x.map((v) => Math.cos(2 * Math.PI * v))) / 5) + 20 + Math.E;
		},
	},
	/** Shaped like fine-tuning: a log learning rate whose best value depends on a conditional choice. */
	settings: {
		optimum: 0,
		space: {
			method: { type: "categorical", choices: ["full", "lora"] },
			rate: { type: "float", low: 1e-6, high: 1e-1, log: true },
			rank: { type: "int", low: 1, high: 64, log: true, when: { method: "lora" } },
		},
		evaluate: ({ method, rate, rank = 16 }) =>
			Math.log10(rate / (method === "full" ? 3e-5 : 3e-4)) ** 2 +
			0.1 * Math.abs(Math.log2(rank / 16)) +
			(method === "full" ? 0.15 : 0),
	},
};

"""The peer of samplers.mjs: Optuna on the five functions of functions.mjs, best value of each seed as JSON lines.

Usage: python optuna_peer.py (tpe|random|gp|overhead) TRIALS SEEDS
Measured with optuna 5.0 on Python 3.11. Sampler settings are Optuna's own defaults (TPE: multivariate=True).
"""
import json
import math
import statistics
import sys
import time
import warnings

import optuna

warnings.filterwarnings("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def branin(t):
    x, y = t.suggest_float("x", -5, 10), t.suggest_float("y", 0, 15)
    return (y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [
    [1312, 1696, 5569, 124, 8283, 5886],
    [2329, 4135, 8307, 3736, 1004, 9991],
    [2348, 1451, 3522, 2883, 3047, 6650],
    [4047, 8828, 8732, 5743, 1091, 381],
]


def hartmann6(t):
    x = [t.suggest_float(f"x{i}", 0, 1) for i in range(6)]
    return -sum(c * math.exp(-sum(a * (v - p / 1e4) ** 2 for a, v, p in zip(ra, x, rp))) for c, ra, rp in zip([1, 1.2, 3, 3.2], A, P))


def rosenbrock(t):
    x = [t.suggest_float(f"x{i}", -2, 2) for i in range(4)]
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def ackley(t):
    x = [t.suggest_float(f"x{i}", -32, 32) for i in range(5)]
    return -20 * math.exp(-0.2 * math.sqrt(sum(v * v for v in x) / 5)) - math.exp(sum(math.cos(2 * math.pi * v) for v in x) / 5) + 20 + math.e


def settings(t):
    method = t.suggest_categorical("method", ["full", "lora"])
    rate = t.suggest_float("rate", 1e-6, 1e-1, log=True)
    rank = t.suggest_int("rank", 1, 64, log=True) if method == "lora" else 16
    best = 3e-5 if method == "full" else 3e-4
    return (math.log10(rate / best)) ** 2 + 0.1 * abs(math.log2(rank / 16)) + (0.15 if method == "full" else 0)


SAMPLERS = {
    "tpe": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
    "random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
    "gp": lambda seed: optuna.samplers.GPSampler(seed=seed),
}


def overhead(finished):
    """One suggestion with `finished` trials and 10 parameters, milliseconds, median of 15."""
    distributions = {f"x{i}": optuna.distributions.FloatDistribution(0, 1) for i in range(10)}
    study = optuna.create_study(sampler=SAMPLERS["tpe"](0))
    rng = __import__("random").Random(0)
    for _ in range(finished):
        params = {name: rng.random() for name in distributions}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=distributions, value=sum((v - 0.3) ** 2 for v in params.values())))
    times = []
    for _ in range(15):
        start = time.perf_counter()
        trial = study.ask(distributions)
        times.append((time.perf_counter() - start) * 1000)
        study.tell(trial, sum((v - 0.3) ** 2 for v in trial.params.values()))
    print(json.dumps({"library": f"optuna {optuna.__version__}", "finished": finished, "parameters": 10, "medianMs": round(statistics.median(times), 1)}))


def main():
    sampler, trials, seeds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    if sampler == "overhead":
        return overhead(trials)
    for function in (branin, hartmann6, rosenbrock, ackley, settings):
        best = []
        for seed in range(seeds):
            study = optuna.create_study(sampler=SAMPLERS[sampler](seed))
            study.optimize(function, n_trials=trials)
            best.append(study.best_value)
        print(json.dumps({"library": f"optuna {optuna.__version__}", "sampler": sampler, "function": function.__name__, "trials": trials, "median": statistics.median(best), "best": best}), flush=True)


main()

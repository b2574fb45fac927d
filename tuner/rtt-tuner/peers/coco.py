"""Serves one function of the COCO platform by the problem protocol: coco.py FAMILY FUNCTION DIMENSION INSTANCE

FAMILY is `bbob-noisy` or `bbob-mixint` of the package coco-experiment (2.8 or later), FUNCTION counts from 1 within
it. What is served is above 0 and rises with COCO's value f:

    p99 = 1 + 9 * max(0, f - f_best) / scale

f_best is COCO's value at its own best point, scale the median of f - f_best over uniform draws. So the best point has
a p99 of 1 and the median draw one of 10: a regret of 900 % is that of a point drawn blindly.

Noise is COCO's own. Its stream cannot be seeded, only be advanced: a start skips a stretch of it for each seed, and one
process serves one run. COCO tells no value without noise, so `truth` is the median of many evaluations. That is exact
enough for the Gaussian and the Cauchy noise; under the uniform noise the median is not f, so it is not served.
"""
import json
import os
import random
import statistics
import sys
import tempfile

import cocoex

DRAWS = 2001    # Odd, so that a median is one of them.
STRETCH = 97    # Evaluations of noise that each seed skips; longer than the runs that are usual.
BEST = "._bbob_problem_best_parameter.txt"


class Function:
    """One COCO function as a p99."""

    def __init__(self, family, function, dimension, instance):
        which = f"function_indices:{function} dimensions:{dimension} instance_indices:{instance}"
        self.suite = cocoex.Suite(family, "", which)  # Owns the problem: it must outlive it.
        self.problem = self.suite[0]
        self.noisy = family == "bbob-noisy"
        if self.noisy and "uniform" in self.problem.name:
            raise ValueError(f"{self.problem.id}: the uniform noise has no truth that could be asked")
        self.whole = self.problem.number_of_integer_variables
        self.bounds = list(zip(self.problem.lower_bounds.tolist(), self.problem.upper_bounds.tolist()))
        self.axes = [self.axis(index) for index in range(dimension)]
        self.best = self.problem(self.best_point())
        draw = random.Random(0)
        drawn = [self.problem(self.drawn(draw)) - self.best for _ in range(DRAWS)]
        self.scale = statistics.median(drawn)

    def axis(self, index):
        low, high = self.bounds[index]
        name = f"x{index + 1}"
        if index >= self.whole:
            return {"name": name, "kind": "real", "min": low, "max": high}
        if (low, high) == (0, 1):
            return {"name": name, "kind": "category", "values": ["0", "1"]}
        return {"name": name, "kind": "integer", "min": int(low), "max": int(high)}

    def best_point(self):
        """COCO writes it to a file in the working folder."""
        with tempfile.TemporaryDirectory() as folder:
            home = os.getcwd()
            os.chdir(folder)
            self.problem._best_parameter("print")
            os.chdir(home)
            with open(os.path.join(folder, BEST)) as file:
                return [float(word) for word in file.read().split()]

    def drawn(self, draw):
        whole = [draw.randint(int(low), int(high)) for low, high in self.bounds[:self.whole]]
        return whole + [draw.uniform(low, high) for low, high in self.bounds[self.whole:]]

    def p99(self, value):
        return 1 + 9 * max(0.0, value - self.best) / self.scale

    def point(self, named):
        return [float(named[axis["name"]]) for axis in self.axes]

    def start(self, seed):
        for _ in range(STRETCH * seed if self.noisy else 0):
            self.problem(self.problem.initial_solution)

    def measure(self, named):
        return self.p99(self.problem(self.point(named)))

    def truth(self, named):
        point = self.point(named)
        return self.p99(statistics.median(self.problem(point) for _ in range(DRAWS if self.noisy else 1)))


def serve(function):
    def say(answer):
        print(json.dumps(answer), flush=True)

    say({"name": function.problem.id, "axes": function.axes, "constraints": [], "optimum": 1.0})
    started = False
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            if "start" in asked:
                if started:
                    raise ValueError("one process serves one run: COCO's noise has no second start")
                started = True
                function.start(int(asked["start"]))
                say({"ok": True})
            elif "measure" in asked:
                say({"p99": function.measure(asked["measure"])})
            elif "truth" in asked:
                say({"p99": function.truth(asked["truth"]), "feasible": True})
            else:
                raise ValueError("expected start, measure or truth")
        except Exception as error:
            say({"error": str(error)})


if __name__ == "__main__":
    serve(Function(sys.argv[1], *map(int, sys.argv[2:5])))

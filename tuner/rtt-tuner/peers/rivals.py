"""Runs solvers of others on problem programs: Optuna's TPE and SMAC.

The first line out says what is installed: {"packages": {"cocoex": "2.8.2", "optuna": "5.0.0", "smac": null}}.
Each line in is one search, {"solver": "optuna_tpe", "program": ["python3", "coco.py", ...], "evals": 50, "seed": 3}; its
answer is the true regret of what was recommended, {"regret": 12.5}, or {"error": "..."}. The program gets the same
seed as its noise, and as many measurements, as it does from the solvers of RTT.

Both see a number on its axis' scale (log2, log1p), listed numbers by their rank, and an axis under `when` only where it
exists. Both recommend as they do by themselves: Optuna its best trial, SMAC its incumbent. SMAC never repeats a
point (`deterministic`), as no other solver here does.
"""
import importlib.metadata
import json
import math
import subprocess
import sys
import tempfile

PACKAGES = {"cocoex": "coco-experiment", "optuna": "optuna", "smac": "smac"}
SCALES = {
    "linear": (lambda value: value, lambda value: value),
    "log2": (math.log2, lambda value: 2.0 ** value),
    "log1p": (math.log1p, math.expm1),
}


class Problem:
    """A problem program in one run."""

    def __init__(self, program, seed):
        self.child = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.hello = json.loads(self.child.stdout.readline())
        if self.hello.get("constraints"):
            raise ValueError("the rivals know no constraints")
        self.axes = self.hello["axes"]
        self.ask({"start": seed})

    def ask(self, request):
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        answer = json.loads(self.child.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer

    def measure(self, point):
        return self.ask({"measure": point, "share": 1.0})["p99"]

    def regret(self, point):
        return 100.0 * (self.ask({"truth": point})["p99"] / self.hello["optimum"] - 1.0)

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


def listed(axis):
    """Values that a solver chooses among: classes, or numbers by rank."""
    return axis["values"] if axis["kind"] == "category" else sorted(axis["values"])


def ends(axis):
    """Least and greatest of a number, on its scale."""
    there, _ = SCALES[axis.get("scale", "linear")]
    return there(axis["min"]), there(axis["max"])


def number(axis, scaled):
    """The legal number that lies at `scaled` on the axis' scale."""
    _, back = SCALES[axis.get("scale", "linear")]
    value = min(max(back(scaled), axis["min"]), axis["max"])
    return round(value) if axis["kind"] == "integer" else value


def exists(axis, point):
    when = axis.get("when")
    return when is None or point.get(when["axis"]) in when["values"]


def plain(axis):
    """Whether a solver may see the axis as whole numbers."""
    return axis["kind"] == "integer" and axis.get("scale", "linear") == "linear"


def optuna_tpe(problem, evals, seed):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def suggested(trial, axis):
        name = axis["name"]
        if axis["kind"] == "category":
            return trial.suggest_categorical(name, axis["values"])
        if axis.get("values"):
            return listed(axis)[trial.suggest_int(name, 0, len(axis["values"]) - 1)]
        if plain(axis):
            return trial.suggest_int(name, axis["min"], axis["max"])
        return number(axis, trial.suggest_float(name, *ends(axis)))

    def objective(trial):
        point = {}
        # Axes under a condition hang on unconditional ones only.
        for axis in sorted(problem.axes, key=lambda axis: "when" in axis):
            if exists(axis, point):
                point[axis["name"]] = suggested(trial, axis)
        trial.set_user_attr("point", point)
        return problem.measure(point)

    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.optimize(objective, n_trials=evals)
    return study.best_trial.user_attrs["point"]


def smac(problem, evals, seed):
    from ConfigSpace import Categorical, ConfigurationSpace, Float, InCondition, Integer
    from smac import HyperparameterOptimizationFacade, Scenario

    def parameter(axis):
        name = axis["name"]
        if axis["kind"] == "category":
            return Categorical(name, axis["values"])
        if axis.get("values"):
            return Integer(name, (0, len(axis["values"]) - 1))
        return Integer(name, (axis["min"], axis["max"])) if plain(axis) else Float(name, ends(axis))

    def point(configuration):
        def value(axis):
            chosen = configuration[axis["name"]]
            if axis["kind"] == "category":
                return str(chosen)
            if axis.get("values"):
                return listed(axis)[int(chosen)]
            return int(chosen) if plain(axis) else number(axis, float(chosen))

        return {axis["name"]: value(axis) for axis in problem.axes if axis["name"] in configuration}

    space = ConfigurationSpace(seed=seed)
    space.add([parameter(axis) for axis in problem.axes])
    for axis in problem.axes:
        if "when" in axis:
            space.add(InCondition(space[axis["name"]], space[axis["when"]["axis"]], axis["when"]["values"]))
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(space, n_trials=evals, seed=seed, deterministic=True, output_directory=folder)
        target = lambda configuration, seed=0: problem.measure(point(configuration))
        facade = HyperparameterOptimizationFacade(scenario, target, logging_level=False, overwrite=True)
        return point(facade.optimize())


SOLVERS = {"optuna_tpe": optuna_tpe, "smac": smac}


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main():
    print(json.dumps({"packages": {name: version(package) for name, package in PACKAGES.items()}}), flush=True)
    for line in sys.stdin:
        try:
            asked = json.loads(line)
            problem = Problem(asked["program"], asked["seed"])
            try:
                best = SOLVERS[asked["solver"]](problem, asked["evals"], asked["seed"])
                answer = {"regret": problem.regret(best)}
            finally:
                problem.close()
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

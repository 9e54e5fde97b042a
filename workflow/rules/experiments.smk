# How the experiments of other tasks find their configuration.
import yaml

# What is set for the machine holds for every task.
MACHINE = ("compute", "tracking", "downloads")


def experiment_of(task):
    """Return the configuration of another task: its own file, and what was given for it here."""
    with open(f"config/{task}.yaml", encoding="utf-8") as stream:
        base = yaml.safe_load(stream)
    machine = {key: config[key] for key in MACHINE if key in config}
    return {**base, **machine, task: config.get(task, {})}

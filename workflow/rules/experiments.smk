# How the experiments of other tasks find their configuration.
import yaml

from galadapt.config.machine import NON_RESULT_SECTIONS


def experiment_of(task):
    """Return the configuration of another task: its own file, and what was given for it here.

    What is set for the machine holds for every task.
    """
    with open(registry.config_file(task), encoding="utf-8") as stream:
        base = yaml.safe_load(stream)
    machine = [
        name for name in NON_RESULT_SECTIONS if name in config and name != "results"
    ]
    return {
        **base,
        **{name: config[name] for name in machine},
        task: config.get(task, {}),
    }

# How the experiments of other tasks find their configuration.
from galadapt.config.machine import NON_RESULT_SECTIONS
from galadapt.core.files import expand as expand_path


def experiment_of(task):
    """Return the configuration of another task: its own file, and what was given for it here.

    What is set for the machine holds for every task.
    """
    try:
        base = read_yaml(expand_path(registry.config_file(task)))
    except GaladaptError as error:
        raise WorkflowError(str(error))
    machine = [
        name for name in NON_RESULT_SECTIONS if name in config and name != "results"
    ]
    return {
        **base,
        **{name: config[name] for name in machine},
        task: config.get(task, {}),
    }

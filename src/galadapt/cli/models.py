"""`galadapt models`."""

from __future__ import annotations

import argparse
from pathlib import Path

from galadapt.core.log import log

_EPILOG = """\
A store is a DVC repository: a folder, or the address of a git repository. Without --store it is
the one that GALADAPT_MODELS names, else the one around the current folder. Fetched packages lie in
the folder `models` of GALADAPT_HOME (default: galadapt in the data folder of this user).
"""


def add_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb to the command line."""
    verb = verbs.add_parser("models", help="list, fetch and describe trained networks")
    verb.epilog = _EPILOG
    actions = verb.add_subparsers(dest="action", required=True)

    action = actions.add_parser("list", help="tabulate the packages of a store", epilog=_EPILOG)
    _add_store(action)
    action.set_defaults(act=_list)

    action = actions.add_parser("fetch", help="copy a package to this machine", epilog=_EPILOG)
    action.add_argument("name", help="as `galadapt models list` prints it")
    _add_store(action)
    action.add_argument("-o", "--output", type=Path, help="folder to make")
    action.add_argument("--replace", action="store_true", help="overwrite the installed package")
    action.set_defaults(act=_fetch)

    action = actions.add_parser(
        "show", help="for which images a package holds, and how good it is", epilog=_EPILOG
    )
    action.add_argument("name", help="folder, name of a fetched package, or name in a store")
    _add_store(action)
    action.set_defaults(act=_show)


def _add_store(action: argparse.ArgumentParser) -> None:
    action.add_argument("--store", help="DVC repository: folder or address")
    action.add_argument("--rev", help="branch, tag or commit of the repository")


def _list(arguments: argparse.Namespace) -> None:
    from galadapt.prediction.describe import listing
    from galadapt.prediction.fetched import fetched
    from galadapt.prediction.store import opened

    with opened(arguments.store, arguments.rev) as store:
        packages = store.packages()
        for name, reason in store.broken.items():
            log.info(f"{name}: {reason}")
        if packages:
            print(listing([(package.name, package.record) for package in packages]))
        else:
            log.info(f"{store.where}: DVC tracks no package there; name another store with --store")
        if store.unreachable:
            log.info(f"{store.where}: {store.gaps()}")
    here = fetched()
    if here:
        print(f"Fetched already: {', '.join(sorted(here))}.")


def _fetch(arguments: argparse.Namespace) -> None:
    from galadapt.prediction.fetched import fetch

    print(
        fetch(arguments.name, arguments.store, arguments.rev, arguments.output, arguments.replace)
    )


def _show(arguments: argparse.Namespace) -> None:
    from galadapt.prediction.describe import sheet
    from galadapt.prediction.fetched import fetched, locate
    from galadapt.prediction.package import opened_package
    from galadapt.prediction.store import opened

    name = arguments.name
    if Path(name).exists() or (arguments.store is None and name in fetched()):
        package = opened_package(locate(name))
        print(sheet(str(package.folder), package.record))
        return
    with opened(arguments.store, arguments.rev) as store:
        remote = store.named(name)
        print(sheet(f"{remote.name} in {store.where}", remote.record))

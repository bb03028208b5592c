"""Tombstones: who must not be harvested again, as salted marks from which nobody can be read.

A mark is an HMAC-SHA256 under a salt that is drawn once for a workload. Who may read the bucket can test a guess against
it, and nothing else. The reader of logs drops what a tombstone covers and counts it as `forgotten`. Standard library
only; no clock, no random source: the salt is passed in.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from airflow_distill.errors import StateError
from airflow_distill.stages.digest import canonical_json, json_object, normalized
from airflow_distill.stages.storage import ObjectMissingError, ObjectStore, join_uri

FOLDER = "forgotten"
"""Beneath `<root>/<workload>/`: tombstones, notes of what was changed, receipts."""

_REMEMBERED = 10_000
"""So many metadata pairs are marked once and looked up afterwards."""


@dataclass(frozen=True)
class Tombstones:
    """Marks of subjects (a metadata key and its value) and of prompts.

    :param salt: 32 hex digits or more.
    """

    salt: str
    subjects: frozenset[str] = frozenset()
    prompts: frozenset[str] = frozenset()
    _known: dict[tuple[str, str], bool] = field(default_factory=dict, repr=False, compare=False)

    def subject_mark(self, key: str, value: str) -> str:
        """Return the mark of a subject."""
        return self._mark(f"subject\0{key}\0{value}")

    def prompt_mark(self, turns: Sequence[tuple[str, str]]) -> str:
        """Return the mark of a prompt by its (role, text) turns; Unicode form, case and white space do not count."""
        folded = [f"{role}:{' '.join(normalized('NFKC', text).casefold().split())}" for role, text in turns]
        return self._mark("prompt\0" + "\0".join(folded))

    def _mark(self, text: str) -> str:
        return hmac.new(bytes.fromhex(self.salt), text.encode("utf-8", "surrogatepass"), sha256).hexdigest()[
            :32
        ]

    def cover_metadata(self, metadata: Mapping[str, str]) -> bool:
        """Say whether request metadata names a subject that must be left out."""
        if not self.subjects:
            return False
        return any(self._is_subject(str(key), str(value)) for key, value in metadata.items())

    def cover_prompt(self, turns: Sequence[tuple[str, str]]) -> bool:
        """Say whether a prompt must be left out."""
        return bool(self.prompts) and self.prompt_mark(turns) in self.prompts

    def _is_subject(self, key: str, value: str) -> bool:
        found = self._known.get((key, value))
        if found is None:
            found = self.subject_mark(key, value) in self.subjects
            if len(self._known) < _REMEMBERED:
                self._known[(key, value)] = found
        return found

    def plus(self, subjects: Iterable[str], prompts: Iterable[str]) -> Tombstones:
        """Return these and more marks."""
        return replace(
            self,
            subjects=self.subjects | frozenset(subjects),
            prompts=self.prompts | frozenset(prompts),
            _known={},
        )

    def to_bytes(self) -> bytes:
        """Return the marks as they are stored."""
        return canonical_json(
            {
                "kind": "tombstones",
                "v": 1,
                "salt": self.salt,
                "subjects": sorted(self.subjects),
                "prompts": sorted(self.prompts),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Tombstones:
        body = json_object(data)
        if body.get("kind") != "tombstones" or body.get("v") != 1 or not bytes.fromhex(body["salt"]):
            raise ValueError("no tombstones of a version known here")
        return cls(body["salt"], frozenset(map(str, body["subjects"])), frozenset(map(str, body["prompts"])))


def tombstones_uri(root: str, workload: str) -> str:
    """Return where a workload's tombstones lie."""
    return join_uri(root, workload, FOLDER, "tombstones.json")


def read_tombstones(store: ObjectStore, root: str, workload: str) -> Tombstones | None:
    """Return a workload's tombstones, None when nobody was forgotten.

    :raises StateError: they are there and cannot be read; nothing is harvested then.
    """
    uri = tombstones_uri(root, workload)
    try:
        return Tombstones.from_bytes(store.read(uri))
    except ObjectMissingError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StateError(
            f"logs: {uri} cannot be read ({type(error).__name__}); it says who must be left out.",
            hint="Restore it from the bucket's versions, or run `airflow-distill forget` again for everybody.",
        ) from None

"""A submission from a file: YAML or markdown with the seven fields."""

from __future__ import annotations

import re
from typing import Any, Final, get_args

import msgspec

from engine.core.pack import Pack
from engine.core.pack_yaml import PackError, read_tree
from engine.core.prompt import Answer, Submission
from protocol.words import FIELD_BYTES_MAX, FIELDS, Field, Language

MARKDOWN: Final = (".md", ".markdown", ".txt")
HEADING: Final = re.compile(r"^#{1,3}\s+(.+?)\s*#*$")
SAID: Final = re.compile(r"^(pack|language|asked)\s*:\s*(.*)$", re.IGNORECASE)
FENCE: Final = re.compile(r"\A```(\w*)[^\n]*\n(.*?)\n?```\Z", re.DOTALL)
LANGUAGES: Final[dict[str, Language]] = {name: name for name in get_args(Language)} | {
    "golang": "go",
    "c++": "cpp",
    "py": "python",
}


class SubmissionError(ValueError):
    """A file that is no submission; the message says what to mend."""


class Paper(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody wrote, which intents they were answered first, and of which pack (a slug; empty: not said)."""

    functional_req: str = ""
    non_functional_req: str = ""
    entities: str = ""
    classes_and_relationships: str = ""
    apis: str = ""
    code: str = ""
    extra: str = ""
    language: Language = "python"
    asked: tuple[str, ...] = ()
    pack: str = ""

    @property
    def fields(self) -> dict[Field, str]:
        return {field: getattr(self, field) for field in FIELDS}


def submission_of(paper: Paper, pack: Pack) -> Submission:
    """What a judge is given: the answers are the pack's own. Raises SubmissionError for an intent it has not."""
    rules = {rule.intent: rule for rule in pack.clarification.rules}
    if strange := [intent for intent in paper.asked if intent not in rules]:
        raise SubmissionError(f"asked: {pack.id} has no rule {', '.join(strange)}; it has {', '.join(rules)}")
    answers = tuple(Answer(rules[intent].label, rules[intent].response) for intent in paper.asked)
    return Submission(fields=paper.fields, language=paper.language, answers=answers)


def read_paper(text: str, *, markdown: bool) -> Paper:
    """The paper in a file's text. Raises SubmissionError."""
    read = _from_markdown(text) if markdown else _from_yaml(text)
    try:
        paper = msgspec.convert(read, Paper)
    except msgspec.ValidationError as error:
        raise SubmissionError(str(error)) from None
    for field, said in paper.fields.items():
        if len(said.encode(errors="replace")) > FIELD_BYTES_MAX:
            raise SubmissionError(f"{field}: a field holds at most {FIELD_BYTES_MAX} bytes")
    if not any(said.strip() for said in paper.fields.values()):
        raise SubmissionError(f"no field holds text; the fields are {', '.join(FIELDS)}")
    return paper


def _from_yaml(text: str) -> Any:
    try:
        return read_tree(text).value
    except PackError as error:
        raise SubmissionError(str(error)) from None


def _from_markdown(text: str) -> dict[str, Any]:
    """Fields under headings of their names; `pack:`, `language:` and `asked:` in lines before the first."""
    read: dict[str, Any] = {}
    parts: dict[str, list[str]] = {}
    field, fenced = "", False
    for line in text.splitlines():
        fenced ^= line.startswith("```")
        if not fenced and (named := _field_named(line)) is not None:
            if named in parts:
                raise SubmissionError(f"{named} stands there twice")
            field = named
            parts[field] = []
        elif field:
            parts[field].append(line)
        elif said := SAID.match(line.strip()):
            read[said.group(1).lower()] = said.group(2).strip()
    asked = read.get("asked", "")
    read["asked"] = [intent for intent in re.split(r"[,\s]+", asked) if intent]
    for name, lines in parts.items():
        read[name], language = _unfenced("\n".join(lines).strip())
        if name == "code" and language and "language" not in read:
            read["language"] = language
    return read


def _field_named(line: str) -> str | None:
    """The field a heading names; any other heading is the candidate's text."""
    heading = HEADING.match(line)
    name = re.sub(r"[\s-]+", "_", heading.group(1).strip("`*_ ").lower()) if heading else ""
    return name if name in FIELDS else None


def _unfenced(text: str) -> tuple[str, Language | None]:
    """The text, and its language, of a section that is one fenced block."""
    if (fenced := FENCE.match(text)) is None or "\n```" in fenced.group(2):
        return text, None
    return fenced.group(2), LANGUAGES.get(fenced.group(1).lower())

"""The Dockerfile and .dockerignore as data, so that tests follow them and cannot drift."""

import json
import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from tests.stand.environment import ROOT

DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True)
class Instruction:
    """One instruction: ``COPY``, ``--from=build``, ``/app /app``."""

    word: str
    flags: tuple[str, ...]
    text: str

    def words(self) -> list[str]:
        """Of the exec form; fails for the shell form."""
        found = json.loads(self.text)
        assert isinstance(found, list)
        return [str(word) for word in found]

    def variables(self) -> dict[str, str]:
        """Of ``ENV``, or of ``ARG``."""
        return dict(word.split("=", 1) for word in self.text.split())


@dataclass
class Stage:
    """One ``FROM`` and what follows."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        """Its instructions of one kind."""
        return [instruction for instruction in self.instructions if instruction.word == word]

    def only(self, word: str) -> Instruction:
        """Its one instruction of a kind."""
        (found,) = self.all(word)
        return found

    def environment(self) -> dict[str, str]:
        """Every variable it sets, as written."""
        return {name: value for line in self.all("ENV") for name, value in line.variables().items()}


def stages(**given: str) -> list[Stage]:
    """The stages in order, with these build arguments and the others at their defaults.

    As in a build, a ``RUN`` keeps its ``${NAME}``: its shell knows the values of the ``ARG`` before it.
    """
    arguments: dict[str, str] = {}
    found: list[Stage] = []
    for instruction in _instructions(DOCKERFILE.read_text(encoding="utf-8")):
        if instruction.word == "ARG" and not found:
            name, _, value = instruction.text.partition("=")
            arguments[f"${{{name}}}"] = value
        elif instruction.word == "FROM":
            base, _, name = instruction.text.partition(" AS ")
            found.append(Stage(arguments.get(base, base), name))
        else:
            if instruction.word == "ARG":
                name, _, value = instruction.text.partition("=")
                arguments[f"${{{name}}}"] = given.get(name, value)
                instruction = replace(instruction, text=f"{name}={given.get(name, value)}")
            elif instruction.word != "RUN":
                for name, value in arguments.items():
                    instruction = replace(instruction, text=instruction.text.replace(name, value))
            found[-1].instructions.append(instruction)
    return found


def _instructions(text: str) -> list[Instruction]:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [_instruction(line) for line in joined.splitlines()]


def _instruction(line: str) -> Instruction:
    word, rest = line.split(maxsplit=1)
    flags = []
    while rest.startswith("--"):
        flag, rest = rest.split(maxsplit=1)
        flags.append(flag)
    return Instruction(word, tuple(flags), rest)


def reaches_the_builder(path: PurePosixPath) -> bool:
    """Whether .dockerignore lets a file of the checkout through: the last line that matches it or a parent decides."""
    found = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if pattern and not pattern.startswith("#") and _matches(pattern.removeprefix("!"), path):
            found = pattern.startswith("!")
    return found


def _matches(pattern: str, path: PurePosixPath) -> bool:
    candidates = [path, *list(path.parents)[:-1]]
    if pattern.startswith("**/"):
        return any(fnmatchcase(candidate.name, pattern[3:]) for candidate in candidates)
    depth = len(PurePosixPath(pattern).parts)
    return any(len(candidate.parts) == depth and fnmatchcase(str(candidate), pattern) for candidate in candidates)

"""The page about causes says what is told."""

import re

import pytest

from pointsman_service.api.explain import ExplanationView, explanation_view
from pointsman_service.app.application import openapi_document
from pointsman_service.observe.explain.causes import Cause
from pointsman_service.observe.explain.core import explain
from pointsman_service.observe.explain.explanation import FACTS
from pointsman_service.observe.explain.remedies import REMEDIES
from tests.stand.environment import ROOT
from tests.unit.observe.explain.situations import SITUATIONS, TASK_ID

PAGE = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
_ENTRY = re.compile(
    r"^### (?P<cause>\w+)\n\n.+?\n\n(?P<quoted>(?:> [^\n]*\n)+)\nWhat to do: (?P<step>.+?)(?:\n\n|\Z)", re.M | re.S
)


def entries() -> dict[str, tuple[str, str]]:
    """By cause, the sentence of its example and what to do."""
    return {
        found["cause"]: (
            " ".join(line.removeprefix("> ") for line in found["quoted"].splitlines()),
            " ".join(found["step"].split()),
        )
        for found in _ENTRY.finditer(PAGE)
    }


def test_the_page_has_every_cause_in_order_with_the_sentence_that_is_told() -> None:
    told = {cause: explain(SITUATIONS[cause][0]).root for cause in Cause}
    assert list(entries().items()) == [(str(cause), (one.sentence, one.what_to_do)) for cause, one in told.items()]


def test_every_remedy_names_a_place_that_is_there() -> None:
    for page in {remedy.page for remedy in REMEDIES.values()}:
        path, _, anchor = page.partition("#")
        headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, page


@pytest.fixture(scope="module")
def schemas() -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = openapi_document()["components"]["schemas"]
    return found


def test_the_document_lists_every_cause_and_its_facts(schemas: dict[str, dict[str, object]]) -> None:
    assert schemas["Cause"]["enum"] == [str(cause) for cause in Cause]
    assert {kind.__name__ for kind in FACTS.values()} <= schemas.keys()


@pytest.mark.parametrize("cause", Cause)
def test_every_explanation_is_as_the_document_says(cause: Cause) -> None:
    shown = explanation_view(TASK_ID, explain(SITUATIONS[cause][0]))
    assert ExplanationView.model_validate(shown).cause is cause
    assert set(shown) == set(ExplanationView.model_fields)

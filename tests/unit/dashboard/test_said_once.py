"""What a page has said already it does not say again, and ids of our own are no words."""

from dataclasses import replace

from pointsman_service.dashboard.alerts.page import _led
from pointsman_service.now.picture import Part
from tests.unit.dashboard.test_now import CAUSE, NOW, drawn

GROUP = "603cf9ec-756f-8a5b-a326-ca199c05dc66"


async def test_an_error_and_a_moment_that_stand_in_the_sentence_stand_there_alone() -> None:
    parts = (*CAUSE.parts, Part(" since 08:30:00 UTC: ConnectTimeout: no answer from <host>, 31 calls."))
    told = (await drawn(replace(NOW, causes=(replace(CAUSE, parts=parts),))))["live-causes"]
    assert told.count("no answer from &lt;host&gt;") == 1
    assert told.count("since") == 1
    assert "31 times" not in told


async def test_an_error_and_a_moment_that_the_sentence_lacks_are_beneath_it() -> None:
    told = (await drawn(NOW))["live-causes"]
    assert told.count("no answer from &lt;host&gt;") == 1
    assert 'class="since">since' in told


def test_what_an_alert_leads_to_is_told_in_words_and_an_error_by_a_link() -> None:
    assert _led("backlog_old:email") == ("backlog old: email", None)
    assert _led(f"error_new:dependency:crm#{GROUP}") == ("error new: dependency:crm", f"errors/{GROUP}")
    assert _led("broker_away") == ("broker away", None)

from pointsman_service.admit.route_names import misspelt

KNOWN = ["send_reminder_email", "feeds.import", "noop"]


def test_route_that_is_nearly_a_task_type_is_misspelt() -> None:
    assert list(misspelt(["send_remnder_email", "feeds.import"], KNOWN)) == [
        ("send_remnder_email", "send_reminder_email")
    ]


def test_route_of_another_name_a_pattern_and_one_beside_the_right_one_are_meant_so() -> None:
    assert list(misspelt(["invoices.send", "feeds.impor*", "noop"], KNOWN)) == []
    assert list(misspelt(["feeds.imports", "feeds.import"], KNOWN)) == []
    assert list(misspelt(["feeds.import"], [])) == [], "no worker has published anything yet"

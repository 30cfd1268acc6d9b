from pointsman_service.dashboard.components.prose import prose


def test_what_docstrings_set_in_backticks_is_code() -> None:
    assert prose("Fails for good when ``permanent``, as `fail` does.") == (
        "Fails for good when <code>permanent</code>, as <code>fail</code> does."
    )


def test_text_of_authors_is_text() -> None:
    assert prose("<b>``<i>``</b> & a lone ` stays") == (
        "&lt;b&gt;<code>&lt;i&gt;</code>&lt;/b&gt; &amp; a lone ` stays"
    )

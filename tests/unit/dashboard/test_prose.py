from pointsman_service.dashboard.components.prose import ended, prose


def test_what_docstrings_set_in_backticks_is_code() -> None:
    assert prose("Fails for good when ``permanent``, as `fail` does.") == (
        "Fails for good when <code>permanent</code>, as <code>fail</code> does."
    )


def test_text_of_authors_is_text() -> None:
    assert prose("<b>``<i>``</b> & a lone ` stays") == (
        "&lt;b&gt;<code>&lt;i&gt;</code>&lt;/b&gt; &amp; a lone ` stays"
    )


def test_words_of_somebody_end_a_sentence_with_one_full_stop() -> None:
    assert [ended(text) for text in ("it moves", "it moves.", "why?", "wait…")] == [
        "it moves.", "it moves.", "why?", "wait…",
    ]  # fmt: skip

from pointsman_service.dashboard.components.prose import ended, linked, prose, without_call


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


def test_a_task_that_a_sentence_names_leads_there_and_nothing_else_of_it_is_markup() -> None:
    name = "01a228f7-c782-7142-82c8-281e2f483b9c"
    said = f"Last error: <b> (6 times, last of task {name}). No task {name[:-1]}."
    shown = linked(said, lambda found: f"tasks/{found}")
    assert (
        shown
        == f'Last error: &lt;b&gt; (6 times, last of task <a href="tasks/{name}">{name}</a>). No task {name[:-1]}.'
    )
    assert "<a" not in linked(said, lambda _: None)


def test_what_to_do_on_a_page_needs_no_call() -> None:
    assert without_call("Mend it, then run it again: POST /v1/tasks/x/retry.") == "Mend it, then run it again."
    assert without_call('Mend it: POST /v1/workers/w@h/admit {"reason": "it is mended"}.') == "Mend it."
    assert without_call("See what POST /v1/x says, and mend it.") == "See what POST /v1/x says, and mend it."

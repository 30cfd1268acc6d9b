"""Names in paths: that of a task type may have slashes, as it is or as ``%2F``, which mean the same here."""

from starlette.convertors import Convertor, register_url_convertor

from pointsman_contract.catalogue import WORDS_AFTER_NAME


class NameConvertor(Convertor[str]):
    """``{name:name}``: one segment or more, but not so many that a word after the name would be part of it."""

    regex = rf"[^/]+(?:/(?!(?:{'|'.join(WORDS_AFTER_NAME)})$)[^/]+)*"

    def convert(self, value: str) -> str:
        """The name as it stands there."""
        return value

    def to_string(self, value: str) -> str:
        """The name as it is to stand in a path."""
        return value


register_url_convertor("name", NameConvertor())

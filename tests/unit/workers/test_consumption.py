from pointsman.parent.consumption import Consumption


class Node:
    def __init__(self) -> None:
        self.queues = ["email", "reports"]
        self.held: list[str] = []
        self.consumption = Consumption(lambda: list(self.queues), lambda: list(self.held))

    def look(self) -> tuple[list[str], list[str]]:
        return self.consumption.look()


def test_queues_are_those_of_now_in_their_order() -> None:
    node = Node()
    assert node.look() == (["email", "reports"], [])
    node.queues.insert(0, "critical")
    assert node.look() == (["critical", "email", "reports"], [])


def test_queue_is_left_until_the_last_message_held_then_has_gone() -> None:
    node = Node()
    node.held = ["a", "b"]
    node.look()
    node.queues = ["email"]
    assert node.look() == (["email"], ["reports"])
    node.held = ["b", "c"]
    assert node.look() == (["email"], ["reports"])
    node.held = ["c"]
    assert node.look() == (["email"], [])


def test_queue_of_which_nothing_is_held_is_not_left() -> None:
    node = Node()
    node.look()
    node.queues = []
    assert node.look() == ([], [])


def test_queue_that_is_consumed_again_is_not_left() -> None:
    node = Node()
    node.held = ["a"]
    node.look()
    node.queues = ["email"]
    node.look()
    node.queues = ["email", "reports"]
    assert node.look() == (["email", "reports"], [])

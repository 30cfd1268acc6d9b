"""What a test run makes of the signals that whoever started it ignores, as ``nohup`` and ``&`` in a script do."""

import signal


def hear_signals() -> None:
    """Let every process that is started from here be ended by these signals, and this one by SIGINT.

    What is ignored is inherited, also across exec; what has a handler is not. So the run itself still outlives its
    terminal.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _outlive)


def _outlive(*_: object) -> None:
    pass

"""What processes log: to standard error, one line each, and never a card number."""

from __future__ import annotations

import logging

from events.card_numbers import masked

FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
CHATTY = ("httpx", "httpcore", "aiokafka")
"""Libraries that tell every step: from them, only what is wrong."""


class NoCardNumbers(logging.Filter):
    """Masks the digits of card numbers in a message, whatever was put into it, and in its traceback."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = masked(record.exc_text)
        if record.stack_info:
            record.stack_info = masked(record.stack_info)
        return True


def set_up() -> None:
    """Log to standard error; called once, by whoever is the program."""
    logging.basicConfig(level=logging.INFO, format=FORMAT)
    for handler in logging.getLogger().handlers:
        handler.addFilter(NoCardNumbers())
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(logging.WARNING)
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    """What it leaves out of a font that it makes smaller is of no concern to anybody."""

"""Every target by name: a function that takes any bytes and fails where a promise is broken, and inputs to begin with.

A target needs neither atheris nor Hypothesis: `test_fuzz.py` runs each for a moment, and `scripts/fuzz.py` for long.
`test_planted_faults.py` shows that targets fail for readers that are broken.
When an input breaks a promise, it becomes a seed here, and the module that is mended gets a test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import attrs
from tests.fuzz import prometheus_targets, settings_targets, valkey_targets


@attrs.frozen
class Target:
    """A function that checks promises for any bytes, and bytes from which others are made."""

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]


TARGETS: Final[Mapping[str, Target]] = {
    "codec": Target(valkey_targets.check_codec, valkey_targets.PAYLOADS),
    "entry": Target(valkey_targets.check_entry, valkey_targets.PAYLOADS),
    "extension": Target(valkey_targets.check_extension, valkey_targets.EXTENSIONS),
    "reply-error": Target(valkey_targets.check_reply_error, valkey_targets.REPLY_ERRORS),
    "wire": Target(prometheus_targets.check_wire, prometheus_targets.ANSWERS),
    "cutter": Target(prometheus_targets.check_cutter, prometheus_targets.ANSWERS),
    "error-answer": Target(prometheus_targets.check_error_answer, prometheus_targets.ERROR_ANSWERS),
    "retry-after": Target(prometheus_targets.check_retry_after, prometheus_targets.RETRY_AFTER),
    "url": Target(settings_targets.check_url, settings_targets.URLS),
    "options": Target(settings_targets.check_options, settings_targets.OPTIONS),
    "settings": Target(settings_targets.check_settings, settings_targets.SETTINGS),
    "tokens": Target(settings_targets.check_tokens, settings_targets.TOKENS),
    "presets": Target(settings_targets.check_presets, settings_targets.PRESETS),
    "template": Target(settings_targets.check_template, settings_targets.TEMPLATES),
}

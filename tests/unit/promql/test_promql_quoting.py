"""Names in URL paths."""

from __future__ import annotations

import pytest

from statcore.errors import InputError
from statcore.promql import url_path_name


@pytest.mark.parametrize(
    ("name", "in_path"),
    [
        ("container_metric_name", "container_metric_name"),
        ("node:cpu", "node:cpu"),
        ("__name__", "__name__"),
        ("service.name", "U__service_2e_name"),
        ("service.long_name", "U__service_2e_long__name"),
        ("../../admin", "U___2e__2e__2f__2e__2e__2f_admin"),
        ("1st", "U___31_st"),
        ("a1.b2", "U__a1_2e_b2"),
        ("a b", "U__a_20_b"),
        ("größe", "U__gr_f6__df_e"),
        ("🦀", "U___1f980_"),
    ],
)
def test_a_name_in_a_path(name: str, in_path: str) -> None:
    """Classic names stay as they are; others get the escaping of servers that know UTF-8 names."""
    assert in_path == url_path_name(name)


@pytest.mark.parametrize("name", ["", "a\nb", 'a"', "\ud800", "x" * 1025])
def test_a_bad_name_is_refused(name: str) -> None:
    """It is empty, too long, or has a character that no name may have."""
    with pytest.raises(InputError, match="a name"):
        url_path_name(name)

"""What becomes of a refused address: our own configuration is wrong, and the last good keys stay."""

from __future__ import annotations

import pytest

from credentials.kernel import AddressRefusedError
from obo_middleware._metadata import FAILURE_KEPT, KEYS_LIVE
from obo_middleware.errors import ConfigurationError
from tests.core.issuer_bench import HOST, Bench

REFUSED = AddressRefusedError("login.example has the address 10.0.0.4, which is not a public one")


@pytest.mark.attack(114)
def test_a_refused_address_is_a_matter_of_settings_and_named() -> None:
    bench = Bench("a")
    bench.provider.failure = REFUSED
    with pytest.raises(ConfigurationError, match=f"^{HOST}.* login.example has the address 10.0.0.4, .*refuse_private"):
        bench.key("a").value()
    bench.provider.failure = None
    bench.clock.now += FAILURE_KEPT
    assert bench.has("a")


@pytest.mark.attack(114)
def test_known_keys_stay_where_their_host_comes_to_be_refused() -> None:
    bench = Bench("a")
    assert bench.has("a")
    bench.provider.failure = REFUSED
    bench.clock.now += KEYS_LIVE + 1
    assert bench.has("a")
    assert not bench.has("b")
    assert len(bench.provider.asked) == 3

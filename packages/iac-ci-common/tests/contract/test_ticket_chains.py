from __future__ import annotations

from datetime import timedelta

import pytest

from iac_ci_common import keys
from iac_ci_common.models.trade import TicketChain
from iac_ci_common.testing.samples import RUN_ID, START
from iac_ci_common.tickets import digest

PLACE = (RUN_ID, "0001", "1767225600000")


def chain(present, before=None, **fields):
    return TicketChain(
        run_id=RUN_ID,
        order_num="0001",
        dispatch=PLACE[2],
        present=digest(present),
        before=digest(before) if before else None,
        expires_at=START + timedelta(days=1),
        **fields,
    )


def test_a_dispatch_whose_ticket_was_never_traded_has_no_chain(adapters):
    assert adapters.chains.read(*PLACE) is None


def test_the_first_move_makes_the_chain_and_only_one_of_two_does(adapters):
    first = chain("one", "zero", last_seen=START)
    assert adapters.chains.move(first, expected=None)
    assert not adapters.chains.move(chain("other", "zero"), expected=None)
    assert adapters.chains.read(*PLACE) == first


def test_a_move_wants_the_present_ticket_that_it_expects(adapters):
    adapters.chains.move(chain("one", "zero"), expected=None)
    assert not adapters.chains.move(chain("two", "zero"), expected=digest("zero"))
    assert adapters.chains.move(chain("two", "one"), expected=digest("one"))
    assert adapters.chains.read(*PLACE) == chain("two", "one")


def test_a_move_of_a_chain_that_is_missing_writes_nothing(adapters):
    assert not adapters.chains.move(chain("two", "one"), expected=digest("one"))
    assert adapters.chains.read(*PLACE) is None


def test_the_first_misuse_is_noted_once_and_every_move_keeps_the_note(adapters):
    adapters.chains.move(chain("one", "zero"), expected=None)
    read = adapters.chains.read(*PLACE)
    adapters.chains.move(chain("two", "one"), expected=digest("one"))
    # The chain has moved since it was read: the note must not move it back.
    assert adapters.chains.note_misuse(read, now=START)
    assert not adapters.chains.note_misuse(read, now=START + timedelta(seconds=1))
    assert adapters.chains.move(chain("three", "two"), expected=digest("two"))
    assert adapters.chains.read(*PLACE) == chain("three", "two", misused_at=START)


def test_a_misuse_before_the_first_trade_is_noted_too(adapters):
    assert adapters.chains.note_misuse(chain("zero"), now=START)
    assert adapters.chains.read(*PLACE) == chain("zero", misused_at=START)
    assert adapters.chains.move(chain("one", "zero"), expected=digest("zero"))


@pytest.mark.parametrize("dispatch", ["", "1:2", "x", "1" * 17, "1\n"])
def test_a_key_names_a_dispatch(dispatch):
    with pytest.raises(ValueError, match="dispatch"):
        keys.ticket_chain(RUN_ID, "0001", dispatch)


def test_chains_of_other_dispatches_are_others(adapters):
    adapters.chains.move(chain("one", "zero"), expected=None)
    assert adapters.chains.read(RUN_ID, "0001", "1767225600001") is None
    assert adapters.chains.read(RUN_ID, "0002", PLACE[2]) is None

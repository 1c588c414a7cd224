"""A seeded sample of two minutes of `make campaign`, which tries thousands."""

from tests.campaign.run import PARTS, campaign, faults


def test_nothing_of_a_sample_of_the_campaign_is_lost_refused_or_used_without_a_word() -> None:
    found = campaign(list(PARTS), seed=0, sample=True)
    assert [str(verdict) for verdict in faults(found)] == []
    assert all(found.values())

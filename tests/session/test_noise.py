"""Refusals at random are told from those of a limit: what is evidence, what is proof, and what happens then."""

import random

import pytest

from encord_async.session.noise import Noise, Sign


def suspect(noise: Noise, *, share: float = 0.1) -> bool:
    """Refusals below what was accepted, evenly spread; whether they lead to a trial."""
    for _ in range(10):
        for _ in range(round(1 / share) - 1):
            noise.accepted(below=False)
        if noise.exceeded(below=False, per_s=100.0) and noise.suspected(Sign.STRAY, fallen=True, per_s=1000.0):
            return True
    return False


def known(share: float) -> Noise:
    """Noise of about that share, proven."""
    noise = Noise()
    assert suspect(noise, share=share)
    while noise.on_trial:
        for _ in range(round(1 / share) - 1):
            noise.accepted(below=True)
        noise.tried()
    return noise


def test_without_noise_each_refusal_is_too_many() -> None:
    """Until there is proof of noise, one refusal is one cut."""
    noise = Noise()
    for _ in range(1000):
        noise.accepted(below=False)
        assert noise.exceeded(below=False, per_s=100.0)
        assert not noise.suspected(Sign.LIMIT, fallen=True, per_s=1000.0)
    assert noise.share == 0


def test_refusals_at_a_lower_rate_are_proof() -> None:
    """What is refused below the limit leads to a trial, and as large a share of the trial is proof."""
    noise = known(0.1)
    assert not noise.on_trial
    assert noise.share == pytest.approx(0.1, rel=0.5)


def test_trial_without_refusals_proves_nothing() -> None:
    """A limit refuses nothing at a lower rate: the trial ends, and the next refusal is one too many again."""
    noise = Noise()
    assert suspect(noise)
    for _ in range(1000):
        noise.accepted(below=True)
    assert not noise.on_trial
    assert noise.share == 0
    assert noise.exceeded(below=False, per_s=100.0)


def test_trial_in_which_all_is_refused_proves_nothing() -> None:
    """A service that turns everything away is overloaded, and no noise."""
    noise = Noise()
    assert suspect(noise)
    assert [noise.tried() for _ in range(4)] == [None, None, None, False]
    assert noise.share == 0


def test_dense_refusals_are_no_evidence() -> None:
    """Where every other request is refused, a limit has fallen."""
    assert not suspect(Noise(), share=0.5)


def test_refusals_above_take_from_the_evidence() -> None:
    """Refusals that come only after a long climb speak for a limit, and outweigh a stray one now and then."""
    noise = Noise()
    for _ in range(100):
        for sign in (Sign.STRAY, Sign.LIMIT, Sign.LIMIT, Sign.LIMIT):
            for _ in range(30):
                noise.accepted(below=False)
            assert noise.exceeded(below=False, per_s=100.0)
            assert not noise.suspected(sign, fallen=True, per_s=1000.0)


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
@pytest.mark.parametrize("per_s", [10.0, 1000.0])
def test_known_noise_is_no_reason_to_cut(share: float, per_s: float) -> None:
    """At random, as many refusals as are known go by for minutes."""
    noise, chance = known(share), random.Random(1)
    alarms = 0
    for _ in range(round(per_s * 60)):
        if chance.random() < share:
            alarms += noise.exceeded(below=True, per_s=per_s)
        else:
            noise.accepted(below=True)
    assert alarms <= 3


@pytest.mark.parametrize("share", [0.005, 0.02, 0.1])
def test_more_than_the_noise_is_soon_too_many(share: float) -> None:
    """When a quarter more is refused than by noise, a hundred requests tell."""
    noise, chance = known(share), random.Random(1)
    for number in range(200):
        if chance.random() >= share + 0.25:
            noise.accepted(below=False)
        elif noise.exceeded(below=False, per_s=100.0):
            assert number < 100
            return
    pytest.fail("not found")


def test_noise_that_ends_is_forgotten() -> None:
    """With nothing refused below the limit any more, each refusal is one too many again."""
    noise = known(0.1)
    for _ in range(20_000):
        noise.accepted(below=True)
    assert noise.share == 0
    assert noise.exceeded(below=False, per_s=100.0)


@pytest.mark.parametrize(("fallen", "per_s"), [(False, 1000.0), (True, 0.1)])
def test_no_trial_where_it_would_cost_more_than_it_shows(fallen: bool, per_s: float) -> None:
    """Where the rate is not far down, or too low for a trial to prove something soon, each refusal counts as before."""
    noise = Noise()
    for number in range(3000):
        if number % 20 == 0:
            assert noise.exceeded(below=False, per_s=100.0)
            assert not noise.suspected(Sign.STRAY, fallen=fallen, per_s=per_s)
        else:
            noise.accepted(below=False)
    assert not noise.on_trial

"""Refusals at random are told from those of a limit: what is evidence, what is proof, and what happens then."""

import random

import pytest

from encord_async.session.noise import Noise, Sign

STRAYS = 50
"""Far more refusals below what was accepted than it takes for a trial."""


def suspect(noise: Noise, *, share: float = 0.1, sign: Sign = Sign.STRAY, can_try: bool = True) -> int | None:
    """Refusals, evenly spread; how many of them lead to a trial."""
    for number in range(STRAYS):
        for _ in range(round(1 / share) - 1):
            noise.accepted(below=False)
        if noise.exceeded(below=False, per_s=100.0) and noise.suspected(sign, can_try=can_try):
            return number + 1
    return None


def tried(noise: Noise, *, share: float, gain: float = 3.0) -> bool | None:
    """A trial in which *share* is refused, at *gain* times the rate; what it shows."""
    refused = 0
    for number in range(1, 1000):
        is_refused = number * share >= refused + 1
        refused += is_refused
        found = noise.tried(refused=is_refused, due=number / gain)
        if found is not None:
            return found
    return None


def known(share: float) -> Noise:
    """Noise of about that share, proven."""
    noise = Noise()
    assert suspect(noise, share=share)
    assert tried(noise, share=share)
    return noise


def test_without_noise_each_refusal_is_too_many() -> None:
    """Until there is proof of noise, one refusal is one cut."""
    noise = Noise()
    assert suspect(noise, share=0.5, sign=Sign.LIMIT) is None
    assert noise.exceeded(below=False, per_s=100.0)
    assert noise.share == 0


def test_refusals_that_do_not_grow_with_the_rate_are_proof() -> None:
    """What is refused below the limit leads to a trial soon, and no larger a share at a higher rate is proof."""
    noise = Noise()
    assert suspect(noise) == 3
    assert tried(noise, share=0.1) is True
    assert not noise.on_trial
    assert 0.1 <= noise.share <= 0.3


@pytest.mark.parametrize("share", [0.4, 0.67, 1.0])
def test_many_refusals_at_a_higher_rate_are_a_limit(share: float) -> None:
    """An empty bucket refuses who sends faster: a few requests show that, and each is one too many again."""
    noise = Noise()
    assert suspect(noise)
    assert tried(noise, share=share) is False
    assert noise.share == 0
    assert noise.exceeded(below=False, per_s=100.0)


def test_more_has_to_be_accepted_for_proof() -> None:
    """Where no more could be sent than before, a trial in which nothing is refused shows nothing."""
    noise = Noise()
    assert suspect(noise)
    assert tried(noise, share=0.0, gain=1.0) is False
    assert noise.share == 0


def test_trials_of_a_limit_become_rare() -> None:
    """Each trial that shows a limit makes the next one take more evidence."""
    noise, took = Noise(), []
    for _ in range(3):
        took.append(suspect(noise) or STRAYS)
        assert tried(noise, share=0.67) is False
    assert took == sorted(set(took))


def test_noise_that_does_not_hold_is_none() -> None:
    """When far more is refused soon after the proof, others had only made room: it has to be proven anew."""
    noise = known(0.02)
    while not noise.exceeded(below=False, per_s=100.0):
        pass
    assert noise.share == 0


def test_dense_refusals_are_no_evidence() -> None:
    """Where every other request is refused, a limit has fallen."""
    assert suspect(Noise(), share=0.5) is None


def test_refusals_above_take_from_the_evidence() -> None:
    """Refusals that come only after a long climb speak for a limit, and outweigh a stray one now and then."""
    noise = Noise()
    for _ in range(100):
        for sign in (Sign.STRAY, Sign.LIMIT, Sign.LIMIT, Sign.LIMIT):
            for _ in range(30):
                noise.accepted(below=False)
            assert noise.exceeded(below=False, per_s=100.0)
            assert not noise.suspected(sign, can_try=True)


def test_no_trial_where_there_can_be_none() -> None:
    """Who is not held up by the rate could not go faster, and so tries nothing."""
    noise = Noise()
    assert suspect(noise, can_try=False) is None
    assert not noise.on_trial


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
    # At first it is thought to be larger than it is.
    for number in range(1000):
        if number * share % 1 >= share:
            noise.accepted(below=True)
        else:
            assert not noise.exceeded(below=True, per_s=100.0)
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

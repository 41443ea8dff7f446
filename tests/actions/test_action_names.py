"""What people type finds what heads know; names have one spelling."""

from __future__ import annotations

import unicodedata

import pytest
from programs import run_python
from torchvision.models.video import R3D_18_Weights

from encoders.errors import InvalidQueryError
from encoders.heads.action_names import content_stems, find_names, kinetics_400_names, normalise_action
from encoders.heads.action_synonyms import SYNONYMS

KINETICS = kinetics_400_names()


def test_kinetics_names_are_those_of_the_weights():
    packaged = R3D_18_Weights.KINETICS400_V1.meta["categories"]
    assert tuple(name.lower() for name in packaged) == KINETICS
    assert len(set(KINETICS)) == 400


def test_every_synonym_is_a_kinetics_name():
    for everyday, names in SYNONYMS:
        assert set(names) <= set(KINETICS), everyday
        assert len(set(names)) == len(names), everyday
        # Else its Kinetics name would find its siblings.
        assert not {content_stems(alias) for alias in everyday} & {content_stems(name) for name in KINETICS}
        assert all(normalise_action(alias) == alias for alias in everyday)
    everyday = [alias for aliases, _ in SYNONYMS for alias in aliases]
    assert len(set(everyday)) == len(everyday) >= 120


def test_importing_and_asking_needs_no_torch():
    code = (
        "import sys\n"
        "from encoders.heads.action_names import find_names\n"
        "assert find_names('jogging', ['running']).names == ('running',)\n"
        "print('torch' in sys.modules, 'torchvision' in sys.modules)\n"
    )
    ran = run_python(code)
    assert (ran.stdout, ran.stderr) == ("False False\n", "")


class TestSpelling:
    @pytest.mark.parametrize(
        ("typed", "spelled"),
        [
            ("  Running ", "running"),
            ("running\u00a0\u2003 fast", "running fast"),
            ("CAFE\u0301", "caf\u00e9"),
            ("STRASSE", "strasse"),
            ("Stra\u00dfe", "strasse"),
            ("跑步", "跑步"),
            ("💃", "💃"),
            ("passing American football (in game)", "passing american football (in game)"),
            ("running\n", "running"),
            ("x" * 100, "x" * 100),
        ],
    )
    def test_one_spelling(self, typed, spelled):
        assert normalise_action(typed) == spelled

    @pytest.mark.parametrize(
        "name",
        [
            *("", "   ", "a\nb", "a\tb", "a\rb", "a\x00b", "a\x85b", "a\u2028b", "a\u2029b", "x" * 101),
            *("\ud800", "a\udcffb", "\u200b", "a\u202eb", "\u200d", "a\ufeffb", "\u0301", "\ue000"),
        ],
    )
    def test_what_is_no_name(self, name):
        with pytest.raises(InvalidQueryError) as caught:
            normalise_action(name)
        assert str(caught.value).isascii()

    def test_spelling_twice_changes_nothing(self):
        for code in range(0x110000):
            for name in (chr(code), f"\u03b1\u0345{chr(code)}"):
                try:
                    spelled = normalise_action(name)
                except InvalidQueryError:
                    continue
                assert normalise_action(spelled) == spelled, hex(code)
                assert unicodedata.is_normalized("NFC", spelled), hex(code)
            if code == 0x2FFF:
                break  # the rest is mostly Han, Hangul and nothing


class TestExact:
    @pytest.mark.parametrize(
        ("typed", "known"),
        [
            ("Running", "running"),
            ("run", "running"),
            ("runs", "running"),
            ("running", "run"),
            ("dance", "dancing"),
            ("dancing", "dance"),
            ("hugs", "hugging"),
            ("tie a tie", "tying a tie"),
            ("cries", "crying"),
            ("kiss", "kissing"),
            ("ski", "skiing"),
            ("push-ups", "push up"),
            ("pushups", "push up"),
            ("sit ups", "situp"),
            ("skate boarding", "skateboarding"),
            ("jogging", "jogging"),
        ],
    )
    def test_the_same_up_to_inflection_wins_alone(self, typed, known):
        match = find_names(typed, [known, *(name for name in KINETICS if name != known), "running man"])
        assert (match.names, match.how, match.suggestions) == ((known,), "exact", ())

    def test_the_very_spelling_beats_another_inflection(self):
        assert find_names("run", ["running", "run"]).names == ("run",)

    @pytest.mark.parametrize(
        ("typed", "known"), [("ring", "r"), ("sing", "s"), ("wing", "wed"), ("bus", "bu")]
    )
    def test_endings_that_are_none(self, typed, known):
        assert find_names(typed, [known]).how == "none"

    def test_each_kinetics_name_finds_itself_alone(self):
        for name in KINETICS:
            match = find_names(name, KINETICS)
            assert (match.names, match.how) == ((name,), "exact")


class TestSynonyms:
    @pytest.mark.parametrize(
        ("typed", "some"),
        [
            ("running", {"jogging", "running on treadmill"}),
            ("a man running", {"jogging", "running on treadmill"}),
            ("dance", {"salsa dancing", "breakdancing", "zumba"}),
            ("cooking", {"frying vegetables", "making pizza", "cooking egg"}),
            ("fighting", {"wrestling", "sword fighting", "punching person (boxing)"}),
            ("football", {"kicking soccer ball", "passing american football (in game)"}),
            ("swimming", {"swimming backstroke"}),
            ("eating", {"eating burger", "dining"}),
            ("cycling", {"riding a bike", "riding mountain bike"}),
            ("bike", {"riding a bike"}),
            ("skiing", {"skiing slalom", "skiing crosscountry"}),
            ("music", {"playing guitar", "singing"}),
            ("embracing", {"hugging"}),
        ],
    )
    def test_everyday_words_find_kinetics_names(self, typed, some):
        match = find_names(typed, KINETICS)
        assert match.how == "synonym"
        assert some <= set(match.names) <= set(KINETICS)

    def test_only_what_is_known(self):
        assert find_names("dancing", ["tango dancing", "cooking"]).names == ("tango dancing",)

    @pytest.mark.parametrize(
        ("typed", "known"), [("jogging", "running"), ("biking", "cycling"), ("riding a bike", "Cycling")]
    )
    def test_back_to_what_was_taught(self, typed, known):
        match = find_names(typed, [known, "cooking"])
        assert (match.names, match.how) == ((known,), "synonym")

    def test_taught_names_that_hold_the_word_join_in_and_listed_ones_do_not(self):
        match = find_names("driving", [*KINETICS, "driving a forklift"])
        assert {"driving car", "driving a forklift"} <= set(match.names)
        assert "golf driving" not in match.names

    def test_siblings_are_no_synonyms(self):
        assert find_names("jogging", ["running on treadmill"]).how == "none"


class TestWords:
    def test_whole_words(self):
        match = find_names("ball", KINETICS)
        assert match.how == "words"
        assert {"throwing ball", "juggling balls"} <= set(match.names)
        assert "playing basketball" not in match.names
        assert find_names("playing chess", ["man playing chess in a park"]).how == "words"

    def test_all_the_words_are_needed(self):
        assert find_names("feeding elephants", KINETICS).how == "none"

    def test_empty_words_hold_nothing(self):
        assert find_names("a person", KINETICS).how == "none"


class TestSuggestions:
    @pytest.mark.parametrize(
        ("typed", "one"),
        [
            ("joging", "jogging"),
            ("guitr", "playing guitar"),
            ("danicng", "dancing ballet"),
            ("swimming pool", "cleaning pool"),
            ("archry", "archery"),
        ],
    )
    def test_near_misses(self, typed, one):
        match = find_names(
            typed, [name for name in KINETICS if name not in ("belly dancing", "breakdancing")]
        )
        if match.how == "none":
            assert one in match.suggestions
            assert len(match.suggestions) == len(set(match.suggestions)) <= 8
        else:
            assert one in match.names

    def test_a_longer_description_suggests_what_is_in_it(self):
        match = find_names("a man running in the rain", ["running", "cooking"])
        assert (match.names, match.how, match.suggestions) == ((), "none", ("running",))

    def test_nothing_near_or_nothing_known(self):
        assert find_names("zorbing", KINETICS).suggestions == ()
        assert find_names("running", ()) == find_names("zorbing", [])
        assert find_names("跑步", KINETICS).how == "none"
        assert find_names("💃", ["💃", "🕺"]).names == ("💃",)
        assert find_names("💃", ["🕺"]).how == "none"

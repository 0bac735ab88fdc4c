"""A caption as words: which of them carry its meaning, which are numbers, which two are the same word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

WORD = re.compile(r"[^\W_]+(?:['’\-][^\W_]+)*")


def listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


ARTICLES = listed("a an the his her their its")
FUNCTION_WORDS = listed(
    "a an the this that these those some is are was were be been being am has have had having do does did will would "
    "he she it they him her them his hers its their who which and or also"
)
NEGATIONS = listed("not no never nobody none nothing neither nor without isn't aren't doesn't don't didn't")
CONNECTIVES = listed("and then before after afterwards until followed later next first finally while when as once")
ORDERED = CONNECTIVES - {"while", "when", "as", "once"}  # between events that come one after the other
TOO_GENERAL = listed("person people someone somebody human individual adult thing things something object item animal")

NUMBERS = {
    word: value
    for value, words in {
        0: "zero", 1: "one single", 2: "two both couple pair", 3: "three trio", 4: "four", 5: "five", 6: "six",
        7: "seven", 8: "eight", 9: "nine", 10: "ten", 11: "eleven", 12: "twelve dozen", 13: "thirteen",
        14: "fourteen", 15: "fifteen", 16: "sixteen", 17: "seventeen", 18: "eighteen", 19: "nineteen", 20: "twenty",
        30: "thirty", 40: "forty", 50: "fifty", 100: "hundred", 1000: "thousand", -1: "few", -2: "several",
        -3: "many numerous", -4: "all every",
    }.items()
    for word in words.split()
}  # fmt: skip

RELATIONS = listed(
    "in on at under over above below beneath underneath behind front between beside besides near next inside outside "
    "into onto out off up down left right top bottom middle center centre side edge corner across along around round "
    "through toward towards away from to with of against by far close back forward forwards backward backwards upward "
    "upwards downward downwards ahead past opposite amid among alongside within beyond clockwise"
)

# Words that are nearly always of one type in captions. A change among words of another type's list is of that type;
# nothing is concluded from a word that is in none, or in two.
OBJECTS = listed(
    "man woman men women boy girl child children kid baby lady guy player dog cat horse bird cow sheep pig monkey "
    "elephant fish car truck bus bicycle bike motorcycle train boat plane ball guitar piano drum table chair sofa bed "
    "cup bottle bowl plate knife spoon fork phone camera computer laptop book pizza cake bread apple banana tree "
    "flower house kitchen beach street garden river hat shirt dress shoe ring circle square cross triangle"
)
ACTIONS = listed(
    "walk walks run runs sit sits stand stands jump jumps dance dances sing sings eat eats cook cooks talk talks speak "
    "speaks sleep sleeps throw throws catch catches kick kicks climb climbs swim swims fall falls carry carries push "
    "pushes pull pulls open opens hold holds lift lifts drop drops read reads write writes wear wears laugh laughs "
    "cry cries smile smiles wave waves pour pours chop chops ride rides bounce bounces spin spins"
)
ATTRIBUTES = listed(
    "red blue green yellow black white brown purple pink grey gray golden silver blond blonde big small large little "
    "tiny huge tall short long wide narrow thin thick old young new wooden plastic metal glass empty full wet dry hot "
    "cold clean dirty happy sad angry slow fast quickly slowly bright striped heavy loud quiet round flat soft"
)

SYNONYMS = [
    frozenset(group.split())
    for group in (
        "man guy gentleman", "woman lady", "child kid", "baby infant", "big large huge", "small little tiny",
        "car automobile", "bike bicycle", "motorcycle motorbike", "plane airplane aeroplane", "picture photo image",
        "couch sofa", "rug carpet", "phone telephone", "tv television", "talk speak", "begin start", "fast quick",
        "quickly rapidly", "shut close", "happy glad joyful", "sad unhappy", "chop slice cut", "jump leap", "run jog",
        "throw toss", "shop store", "road street", "stone rock", "grey gray", "beautiful pretty", "near beside",
        "under beneath underneath below", "above over", "film movie", "mom mother", "dad father", "puppy dog",
        "kitten cat", "look watch", "toward towards", "center centre middle", "round around", "woods forest",
    )
]  # fmt: skip

IRREGULAR = {
    form: base
    for base, forms in {
        "man": "men", "woman": "women", "child": "children", "person": "people", "foot": "feet", "tooth": "teeth",
        "mouse": "mice", "knife": "knives", "leaf": "leaves", "shelf": "shelves", "run": "ran", "sit": "sat",
        "stand": "stood", "eat": "ate eaten", "speak": "spoke spoken", "write": "wrote written",
        "throw": "threw thrown",
        "catch": "caught", "hold": "held", "ride": "rode ridden", "swim": "swam swum", "sing": "sang sung",
        "fall": "fell fallen", "take": "took taken", "give": "gave given", "make": "made", "go": "went gone goes",
        "see": "saw seen", "wear": "wore worn", "cut": "cutting", "put": "putting", "drive": "drove driven",
    }.items()
    for form in forms.split()
}  # fmt: skip


def words_of(text: str) -> list[re.Match[str]]:
    """The words with their places; punctuation and blanks belong to none."""
    return list(WORD.finditer(text))


def lower(words: Sequence[re.Match[str]]) -> list[str]:
    return [word[0].lower().replace("’", "'") for word in words]


def content(words: Sequence[str]) -> list[str]:
    """Without articles, auxiliaries, pronouns and `and`: a change of these alone changes no meaning that counts."""
    return [word for word in words if word not in FUNCTION_WORDS]


def number(word: str) -> int | None:
    """What a number word or digits stand for; a negative one for words like `several`, which have no value."""
    return int(word) if word.isdecimal() and len(word) < 10 else NUMBERS.get(word)


@cache
def bases(word: str) -> frozenset[str]:
    """What a word may be a form of, by its ending: `running` -> running, runn, runne, run."""
    forms = {word, IRREGULAR.get(word, word), word.removesuffix("'s")}
    if word.endswith("ies") and len(word) > 4:
        forms.add(word[:-3] + "y")
    if word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
        forms.add(word[:-1])
    if word.endswith(("ses", "xes", "zes", "ches", "shes", "oes")) and len(word) > 4:
        forms.add(word[:-2])
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 1 and re.search("[aeiouy]", rest):
            forms |= {rest, rest + "e"}
            if rest[-1] == rest[-2]:
                forms.add(rest[:-1])
            if rest.endswith("i"):
                forms.add(rest[:-1] + "y")
    return frozenset(forms)


@cache
def same_word(one: str, other: str) -> bool:
    """The same number, two forms of one word, or two that mean the same."""
    if number(one) is not None or number(other) is not None:
        return number(one) == number(other)
    mine, yours = bases(one), bases(other)
    return bool(mine & yours) or any(group & mine and group & yours for group in SYNONYMS)


def same_words(some: Sequence[str], others: Sequence[str]) -> bool:
    """The same in the same order."""
    return len(some) == len(others) and all(map(same_word, some, others))


def same_bag(some: Sequence[str], others: Sequence[str]) -> bool:
    """The same in any order."""
    left = list(others)
    for word in some:
        place = next((i for i, other in enumerate(left) if same_word(word, other)), None)
        if place is None:
            return False
        del left[place]
    return not left

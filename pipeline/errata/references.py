"""References, captions and section numbers of the documents against what they refer to."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlparse

from pipeline.errata.finding import Finding


def other_paper(said: str, title: str, meant: str, meant_title: str) -> Finding:
    """homework, reference 4: its arXiv identifier and title beside those of the paper that the others cite."""
    shared = words(title) & words(meant_title)
    same_place = sum(a == b for a, b in zip(said, meant, strict=True))
    numbers = {
        "identifier": said,
        "identifier in thind and ulala": meant,
        "characters that agree": f"{same_place} of {len(meant)}",
        "words of the titles that agree": len(shared),
    }
    return Finding(said != meant and not shared, numbers)


def other_article(cited: str, url: str) -> Finding:
    """thind, reference [30]: the article that the address names beside the one that is cited."""
    named = parse_qs(urlparse(url).query)["title"][0]
    shared = words(named) & words(cited)
    numbers = {"cited": cited, "the address names": named, "words that agree": len(shared)}
    return Finding(not shared, numbers)


def section_of(contents: dict[int, str], said: dict[int, str]) -> Finding:
    """thind 1: the sections that the introduction announces, by number, beside the table of contents."""
    own = {title: number for number, title in contents.items()}
    numbers = {f"{title}, said {number}": f"section {own[title]}" for number, title in said.items()}
    return Finding(any(own[title] != number for number, title in said.items()), numbers)


def shown_by_figure(said: str, caption: str, quantities: list[str]) -> Finding:
    """thind 2.2.3: which quantity a sentence finds in a figure, and which its caption names."""
    named = {"text": words(said) & set(quantities), "caption": words(caption) & set(quantities)}
    numbers = {
        f"{quantity} in the {place}": int(quantity in found)
        for place, found in named.items()
        for quantity in quantities
    }
    return Finding(bool(named["text"] and named["caption"]) and named["text"] != named["caption"], numbers)


def never_cited(cited: list[int], listed: int) -> Finding:
    """reading: the numbers of the references listed less those cited in the text."""
    absent = [number for number in range(1, listed + 1) if number not in cited]
    numbers = {f"times that [{number}] is cited": cited.count(number) for number in range(1, listed + 1)}
    return Finding(bool(absent), numbers)


def words(text: str) -> set[str]:
    """The words of a text, lower case, without the little ones."""
    little = {"of", "and", "the", "a", "for", "new", "old"}
    return {word.strip(".,:").lower() for word in re.split(r"[\s_-]+", text)} - little

"""When a form's fields were open in a page: what two pages noted is compared, for a form is never open to two people at once."""

from __future__ import annotations

from itertools import pairwise

# Runs before the page's own scripts. `window.openings`: [milliseconds of the machine's clock, open] at each change, as the page
# itself sees it; `window.states`: the states that the form was told of.
NOTE = """
window.openings = []; window.states = [];
document.addEventListener('readystatechange', () => {
  const field = document.querySelector('form[form-lock] input:not([type=hidden])');
  const note = () => window.openings.at(-1)?.[1] !== !field.readOnly && window.openings.push([Date.now(), !field.readOnly]);
  new MutationObserver(note).observe(field, { attributes: true, attributeFilter: ['readonly'] });
}, { once: true });
for (const state of ['connecting', 'free', 'mine', 'locked', 'queued', 'asked', 'stale', 'lost', 'offline'])
  document.addEventListener(`formlock:${state}`, () => window.states.push(state));
"""

Openings = list[tuple[int, bool]]


def spans(openings: Openings) -> list[tuple[int, int]]:
    """From when until when it was open; what is still open ends nowhere."""
    ends = [*openings, (2**53, False)]
    return [(start, end) for (start, is_open), (end, _) in pairwise(ends) if is_open]


def overlaps(one: Openings, other: Openings) -> list[tuple[int, int]]:
    """The spans in which both were open."""
    found = [(max(a, c), min(b, d)) for a, b in spans(one) for c, d in spans(other)]
    return [(start, end) for start, end in found if start < end]

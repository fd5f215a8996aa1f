"""Spans of time, amounts of data and counts as people read them, the same on pages and in the terminal."""

import math
from datetime import datetime, timedelta, tzinfo


def plural(count: int, noun: str, plural: str | None = None) -> str:
    """Return a count with its noun: '1 training', '2,048 trainings'; plural: of the noun, if it is irregular."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def duration(seconds: float | None) -> str:
    """Return a span of time in its two largest units: '2 h 05 min'; an em dash for None and NaN."""
    if seconds is None or math.isnan(seconds):
        return "—"
    if math.isinf(seconds):
        return "unknown"
    total = max(0, math.ceil(seconds))
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes:02d} min"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h"


def size(count: float) -> str:
    """Return an amount of bytes in its largest unit: '312 MiB', '23.5 GiB'."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB" if count < 100 else f"{count:,.0f} GiB"


def clock(seconds: float | None, zone: tzinfo | None = None, now: datetime | None = None) -> str:
    """Return when some seconds have passed: 'about 14:32', with the date unless that is today; an em dash if unknown.

    zone: of the reader, None for this machine's. now: with zone, by default the present.
    """
    if seconds is None or not math.isfinite(seconds):
        return "—"
    now = now.astimezone(zone) if now else datetime.now().astimezone(zone)
    try:
        # Converted anew, since the offset of the zone may change until then.
        end = (now + timedelta(seconds=max(0.0, seconds))).astimezone(zone)
    except OverflowError:
        return "unknown"
    if end.date() == now.date():
        return f"about {end:%H:%M}"
    year = "" if end.year == now.year else f" {end.year}"
    return f"about {end:%H:%M} on {end.day} {end:%B}{year}"

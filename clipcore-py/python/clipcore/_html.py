"""What notebooks show."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clipcore._records import Clip, Moment

LARGEST = 32 << 20
"""Files above this many bytes are linked and not put into the notebook."""


def moment(m: Moment) -> str:
    """A moment and the evidence that made it, as bars of what each signal contributed."""
    largest = max((abs(e.contribution) for e in m.evidence), default=1.0) or 1.0
    rows = "".join(
        f"<tr><td>{html.escape(e.detector)}</td><td>{html.escape(e.label)}</td><td>{e.at:.1f} s</td><td>{e.score:.2f}</td>"
        f"<td style='text-align:left'><span style='display:inline-block;height:0.8em;width:{120 * abs(e.contribution) / largest:.0f}px;"
        f"background:{'#2a7' if e.contribution >= 0 else '#b55'}'></span> {e.contribution:+.2f}</td></tr>"
        for e in m.evidence
    )
    return (
        f"<div><b>{html.escape(m.label)}</b> on {html.escape(m.stream)}: {m.start:.1f}–{m.end:.1f} s, peak {m.peak:.1f} s, score "
        f"{m.score:.2f}, {m.state}<table><thead><tr><th>detector</th><th>label</th><th>at</th><th>score</th><th>contribution</th>"
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def clip(c: Clip) -> str:
    """A clip that plays, or why there is none."""
    told = f"<p>{html.escape(repr(c))}</p>"
    path = c.file
    if path is None or not path.is_file():
        return told
    if path.stat().st_size > LARGEST:
        return f"{told}<p><a href='{html.escape(path.absolute().as_uri())}'>{html.escape(path.name)}</a></p>"
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<video controls preload='metadata' style='max-width:480px' src='data:video/mp4;base64,{data}'></video>{told}"

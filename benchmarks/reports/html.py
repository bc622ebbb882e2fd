"""A page that needs nothing beside it: plotly's charts with the library inside, and the tables."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from .about import about
from .model import PERCENTILE_TICKS, nines

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ..figures.results import Run
    from .model import Chart, Section, Series, Table

COLOURS = ("#3b6fb6", "#d1603d", "#3f8f5f", "#8a5ab0", "#b08a2e", "#4aa3a8", "#b04a6f", "#6b7280", "#1f2937", "#9aa53c")

CONFIG = {"displayModeBar": False, "responsive": True}

_STYLE = """
body { font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; color: #1f2933; }
body { margin: 0 auto; max-width: 1500px; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 20px; margin: 40px 0 8px; border-bottom: 1px solid #d9dee4; }
p { max-width: 85ch; white-space: pre-line; } .about { color: #5b6773; font-size: 13px; }
table { border-collapse: collapse; margin: 12px 0 20px; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 4px 0; }
th, td { padding: 4px 9px; border-bottom: 1px solid #e7ebef; text-align: right; } th { background: #f4f6f8; }
td { white-space: nowrap; font-size: 13px; }
th:first-child, td:first-child { text-align: left; } code { background: #f4f6f8; padding: 1px 4px; }
nav a { margin-right: 16px; } .wide { overflow-x: auto; }
.charts { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12px; }
.charts > div { min-width: 0; overflow: hidden; } .charts.single { grid-template-columns: minmax(0, 1fr); }
@media (max-width: 900px) { .charts { grid-template-columns: minmax(0, 1fr); } }
"""


def write(path: Path, runs: Sequence[Run], sections: Sequence[Section]) -> None:
    """Write the page; `ImportError` where plotly is not installed."""
    path.write_text(page(runs, sections), encoding="utf-8")


def page(runs: Sequence[Run], sections: Sequence[Section]) -> str:
    """Return the page."""
    title = "ambassador_lib: " + ", ".join(dict.fromkeys(run.subject for run in runs))
    links = "".join(f'<a href="#s{number}">{html.escape(section.title)}</a>' for number, section in enumerate(sections))
    parts = [
        f"<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>",
        f"<style>{_STYLE}</style>{_library()}</head><body><h1>{html.escape(title)}</h1>",
        *(f"<p class='about'>{html.escape(about(run))}</p>" for run in runs),
        f"<nav>{links}</nav>",
        *(_section(number, section) for number, section in enumerate(sections)),
        "</body></html>",
    ]
    return "\n".join(parts)


def _library() -> str:
    from plotly.offline import get_plotlyjs

    return f"<script>{get_plotlyjs()}</script>"


def _section(number: int, section: Section) -> str:
    text = f"<p>{html.escape(section.text)}</p>" if section.text else ""
    # Its width must be known before the first chart in it is drawn.
    single = " single" if len(section.charts) == 1 else ""
    drawn = "".join(_div(chart) for chart in section.charts)
    charts = f"<div class='charts{single}'>{drawn}</div>" if drawn else ""
    tables = "".join(_table(table) for table in section.tables)
    return f"<h2 id='s{number}'>{html.escape(section.title)}</h2>{text}{charts}{tables}"


def _table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in table.columns)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
    return f"<div class='wide'><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def _div(chart: Chart) -> str:
    drawn: str = figure(chart).to_html(full_html=False, include_plotlyjs=False, config=CONFIG)
    return drawn


def figure(chart: Chart) -> Any:
    """Return plotly's figure of a chart."""
    from plotly import graph_objects as go

    drawn = go.Figure()
    for number, series in enumerate(chart.series):
        colour = COLOURS[number % len(COLOURS)]
        if chart.kind == "bars":
            bars: dict[str, Any] = {"x": list(series.x), "y": list(series.y), "error_y": _errors(series)}
            if chart.lies:
                bars = {"y": bars["x"], "x": bars["y"], "error_x": bars["error_y"], "orientation": "h"}
            drawn.add_bar(name=series.name, marker_color=colour, **bars)
        else:
            x = [nines(float(at)) for at in series.x] if chart.kind == "percentiles" else list(series.x)
            drawn.add_scatter(
                x=x,
                y=list(series.y),
                name=series.name,
                mode="lines" if chart.kind == "percentiles" else "lines+markers",
                line={"color": colour, "width": 2},
                error_y=_errors(series),
                customdata=list(series.x),
                hovertemplate="%{customdata}: %{y:.4~g}<extra>%{fullData.name}</extra>",
            )
    drawn.update_layout(
        title={"text": chart.title, "font": {"size": 16}},
        template="plotly_white",
        height=480,
        margin={"l": 70, "r": 20, "t": 50, "b": 60},
        barmode="group",
        showlegend=len(chart.series) > 1,
        legend={"orientation": "h", "yanchor": "top", "y": -0.2},
        xaxis={"title": {"text": chart.x_title}},
        yaxis={"title": {"text": chart.y_title}, "type": chart.y_scale, "rangemode": "tozero"},
    )
    if chart.kind == "percentiles":
        ticks = {
            "tickvals": [nines(tick) for tick in PERCENTILE_TICKS],
            "ticktext": [f"{t:g} %" for t in PERCENTILE_TICKS],
        }
        drawn.update_xaxes(type="log", **ticks)
    elif chart.kind == "lines":
        drawn.update_xaxes(type=chart.x_scale, dtick=1 if chart.x_scale == "log" else None)
    if chart.lies:
        drawn.update_xaxes(title={"text": chart.y_title}, type=chart.y_scale, rangemode="tozero")
        drawn.update_yaxes(title=None, type="category", autorange="reversed", automargin=True)
        drawn.update_layout(height=140 + 22 * len(chart.names) * len(chart.series))
    return drawn


def _errors(series: Series) -> dict[str, Any] | None:
    if not series.low:
        return None
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, high - y) for y, high in zip(series.y, series.high, strict=True)],
        "arrayminus": [max(0.0, y - low) for y, low in zip(series.y, series.low, strict=True)],
        "thickness": 1,
        "width": 3,
    }

"""Tables and plots of a comparison."""

import loads

COLOURS = {"direct": "#9aa0a6", "nginx": "#2e7d32", "haproxy": "#1565c0", "gateway": "#d84315"}


def number(value):
    if value is None:
        return "–"
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures):
    """The rows as cells, a head first."""
    lines = [["", "unit", *loads.RELAYS, "gateway / nginx", "gateway / HAProxy"]]
    for row in loads.rows():
        medians = [figures.median(row, target) for target in loads.RELAYS]
        if all(value is None for value in medians):
            continue
        ratios = [figures.ratio(row, "gateway", peer) for peer in ("nginx", "haproxy")]
        lines.append([row.label, row.unit, *map(number, medians), *map(number, ratios)])
    return lines


def bar_table(figures):
    lines = [["bar", "wanted", "measured", "least … most of the rounds", ""]]
    for what, wanted, figure, each, verdict in figures.bars():
        spread = f"{number(min(each))} … {number(max(each))}" if each else ""
        lines.append([what, wanted, number(figure), spread, verdict])
    return lines


def plain(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    text = ""
    for line in lines:
        cells = [line[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(line[1:], widths[1:])]
        text += "  ".join(cells).rstrip() + "\n"
    return text


def markdown(lines):
    head, *rest = lines
    text = "| " + " | ".join(head) + " |\n|" + "---|" + "---:|" * (len(head) - 1) + "\n"
    return text + "".join("| " + " | ".join(line) + " |\n" for line in rest)


def bars_svg(title, unit, groups, series):
    """Grouped bars: `series` maps a name to one value (or None) for each group."""
    series = {name: values for name, values in series.items() if any(v is not None for v in values)}
    highest = max((v for values in series.values() for v in values if v is not None), default=0) or 1
    width, height, left, bottom, top = 760, 360, 56, 40, 58
    area = height - bottom - top
    slot = (width - left - 16) / max(len(groups), 1)
    each = slot * 0.8 / max(len(series), 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           f'<text x="{left}" y="20" font-size="15" font-weight="bold">{title} ({unit})</text>']
    for step in range(5):
        y = top + area * (1 - step / 4)
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{width - 16}" y2="{y:.1f}" stroke="#ddd"/>'
                   f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{number(highest * step / 4)}</text>')
    for at, name in enumerate(series):
        x = left + at * 110
        colour = COLOURS.get(name, "#555")
        out.append(f'<rect x="{x}" y="30" width="12" height="12" fill="{colour}"/>'
                   f'<text x="{x + 17}" y="41">{name}</text>')
        for group, value in enumerate(series[name]):
            if value is None:
                continue
            tall = area * max(value, 0) / highest
            bx = left + group * slot + slot * 0.1 + at * each
            out.append(f'<rect x="{bx:.1f}" y="{top + area - tall:.1f}" width="{each * 0.92:.1f}" '
                       f'height="{tall:.1f}" fill="{colour}"/>'
                       f'<text x="{bx + each * 0.46:.1f}" y="{top + area - tall - 3:.1f}" font-size="9" '
                       f'text-anchor="middle">{number(value)}</text>')
    for group, name in enumerate(groups):
        out.append(f'<text x="{left + (group + 0.5) * slot:.1f}" y="{height - 16}" '
                   f'text-anchor="middle">{name}</text>')
    return "\n".join(out) + "\n</svg>\n"


PLOTS = (
    ("cpu-per-chunk", "CPU per relayed chunk", [(f"streams-{n}", "cpu_proxy_us", f"{n} streams")
                                                for n in (100, 500, 1000, 2000)], False),
    ("cpu-per-call", "CPU per short call", [(f"calls-{n}", "cpu_proxy_us", f"{n} connections")
                                            for n in (1, 16, 256)], False),
    ("added-latency", "Added latency of a short call and of a first byte",
     [("calls-1", "latency_p50_us", "1 connection, p50"), ("calls-1", "latency_p99_us", "1 connection, p99"),
      ("first-byte-100", "first_byte_p50_us", "first byte, p50"),
      ("first-byte-100", "first_byte_p99_us", "first byte, p99")], True),
    ("abort-p99", "Client gone until the origin notices, p99",
     [(f"abort-{phase}", "noticed_p99_us", phase) for phase in
      ("first_byte", "streaming", "one_piece", "half-close", "storm")], False),
)


def plots(figures):
    """(file name, SVG) of each plot that has figures."""
    for name, title, columns, added in PLOTS:
        rows = [loads.Row(load, key, label, "µs", added) for load, key, label in columns]
        series = {target: [figures.median(row, target) for row in rows] for target in loads.RELAYS}
        if added:
            series.pop("direct")
        if any(v is not None for values in series.values() for v in values):
            yield f"{name}.svg", bars_svg(title, "µs", [row.label for row in rows], series)

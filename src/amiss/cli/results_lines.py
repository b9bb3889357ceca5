"""What ``amiss results`` says of parts, for a person."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def part_line(part: Mapping[str, Any]) -> str:
    """A part on one line: event, time, verdict, serial number, lot, p-value, image."""
    label = part["label"].upper() + (" LATE" if part["late"] else "")
    p_value = "" if part["p_value"] is None else f"p = {part['p_value']:.4f}"
    reason = f": {part['reason']}" if part["reason"] else ""
    known = " ".join(f"{name} {part[name]}" for name in ("serial", "lot") if part[name] is not None)
    when = part["at"][:19].replace("T", " ")
    return f"{part['seq']:>7}  {when}  {label:<10} {p_value:<11} {known}  {part['name']}{reason}"


def part_lines(part: Mapping[str, Any], path: str | None) -> list[str]:
    """All that is known of a part."""
    answer = "accept" if part["accept"] else "reject"
    version = "no model" if part["version"] is None else f"version {part['version']} of {part['recipe']}"
    lines = [
        f"{part['label'].upper()}{', too late' if part['late'] else ''} ({answer}): {part['name']}",
        *([f"reason:     {part['reason']}"] if part["reason"] else []),
        f"part:       {part['id']}, event {part['seq']} of {part['station']}, {part['at']}",
        *(
            f"{name + ':':<11} {part[name]}"
            for name in ("serial", "lot", "camera", "taken_at")
            if part[name] is not None
        ),
    ]
    if part["score"] is not None:
        limit = "" if part["threshold"] is None else f", threshold {part['threshold']:.6g}"
        p_value = "" if part["p_value"] is None else f", p = {part['p_value']:.4g}"
        lines.append(f"score:      {part['score']:.6g}{limit}{p_value}")
    for region in part["regions"]:
        left, top, width, height = region["box"]
        lines.append(
            f"region:     {height} x {width} at row {top}, column {left}, area {region['area']}, "
            f"peak {region['peak']:.4g}"
        )
    lines += [
        f"judged by:  {version}, {(part['fingerprint'] or '')[:12]}",
        f"image:      {part['sha256']}{', drawn for an audit' if part['audit'] else ''}",
        f"            {path or 'not kept'}",
        "stages:     " + (", ".join(f"{name} {value:g} ms" for name, value in part["ms"].items()) or "none"),
    ]
    lines += [f"label:      {one['truth']}, {one['by']}, {one['at']} {one['comment']}" for one in part["labels"]]
    for one in part["outbox"]:
        state = f"told {one['done_at']}" if one["done_at"] and not one["error"] else one["error"] or ""
        if not one["done_at"]:
            state = f"not told yet, {one['tries']} tries, {state}"
        lines.append(f"{one['sink'] + ':':<11} {state}")
    return lines

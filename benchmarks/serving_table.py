"""The results as a table for people."""

from __future__ import annotations

from typing import Any

HEAD = (
    "| server | connections | requests/s | of the limit "
    "| p50 ms | p95 ms | p99 ms | errors | MB | MB of all |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n"
)


def table(result: dict[str, Any]) -> str:
    """Markdown of one run."""
    parts = [
        "# Serving\n\n",
        f"{result['cpus']} processors, shared with the client; one small durable write takes "
        f"{result['sync_ms']:.2f} ms. `perennial` checks tokens and values, keeps every prediction "
        "on disk before it answers and counts; the others do none of this. MB is the resident "
        "memory of a server's largest process, which answers, and of all of its processes.\n",
    ]
    for case, entries in result["cases"].items():
        parts += [f"\n## {case}\n\n", HEAD]
        for name, entry in entries.items():
            parts += [_line(name, entry, load) for load in entry["loads"]]
    swaps, start = result["swaps"], result["start"]
    parts.append(
        f"\nA swap each second: p99 {swaps['swap_p99_ms']:.2f} ms, {swaps['ratio']:.2f} times the "
        f"steady {swaps['steady_p99_ms']:.2f} ms; {swaps['failed']} requests failed.\n\n"
        f"Start to first answer: {start['start_seconds']:.2f} s, {start['ratio']:.2f} times the "
        f"{start['import_seconds']:.2f} s of importing fastapi, uvicorn, numpy and onnxruntime.\n"
    )
    return "".join(parts)


def _line(name: str, entry: dict[str, Any], load: dict[str, Any]) -> str:
    connections = load["connections"]
    return (
        f"| {name} | {connections} | {load['requests_per_second']:,.0f} "
        f"| {entry['ratio_to_limit'][connections]:.2f} | {load['p50_ms']:.2f} "
        f"| {load['p95_ms']:.2f} | {load['p99_ms']:.2f} | {load['errors']} "
        f"| {entry['memory_mb']:.0f} | {entry['memory_all_mb']:.0f} |\n"
    )

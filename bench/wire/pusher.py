"""The backend of the benchmark: pushes updates over ZeroMQ as fast as the other side takes them, to ours and to the rival alike.

A program of its own, as a backend is: `{"address", "form", "count"}` per line, answered `{"sent"}`. The updates are the shipped
ones, encoded before the first is sent, so that what is measured is the servers and not this encoder.
"""

from __future__ import annotations

import json
import sys

import zmq

from formlock_push.message import Update

SEND_WITHIN_MS = 30_000
# ZeroMQ's default, said so that nobody has to know it: what does not fit waits here, and nothing is dropped.
QUEUE_MESSAGES = 1_000


def main() -> None:
    context = zmq.Context()
    lines: dict[str, zmq.Socket[bytes]] = {}
    numbers = 0
    for command in map(json.loads, sys.stdin):
        address: str = command["address"]
        if address not in lines:
            lines[address] = context.socket(zmq.PUSH)
            lines[address].set(zmq.SNDHWM, QUEUE_MESSAGES)
            lines[address].set(zmq.SNDTIMEO, SEND_WITHIN_MS)
            lines[address].connect(address)
        messages = []
        for _ in range(command["count"]):
            numbers += 1
            change_set = {"amount": [f"{numbers - 1}.00", f"{numbers}.00"]}
            messages.append(Update(form=command["form"], change_set=change_set, id=f"{numbers:032x}", version=numbers).encode())
        try:
            for message in messages:
                lines[address].send(message)
        except zmq.Again:
            print(json.dumps({"error": f"{address} took nothing for {SEND_WITHIN_MS} ms"}), flush=True)
        else:
            print(json.dumps({"sent": len(messages)}), flush=True)
    context.destroy(linger=0)


if __name__ == "__main__":
    main()

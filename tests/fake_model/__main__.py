"""`python -m tests.fake_model [port]`: serve, and print the base URL for OPENAI_BASE_URL."""

from __future__ import annotations

import asyncio
import sys

from tests.fake_model.server import FakeModel, bound


async def main(port: int) -> None:
    model = FakeModel()
    listening = bound(port)
    sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await model.serve(listening)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))

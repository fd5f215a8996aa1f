import ast
import asyncio
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.serve import send_at_once

ROOT = Path(__file__).parents[2]


def imported(file: Path) -> set[str]:
    """Return the modules of the app that a page imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "app":
            names.add(str(node.module))
    return names


def test_every_import_of_the_pages_is_loaded_and_no_page_runs() -> None:
    # This process has imported everything already, so another one imports.
    script = "import sys, app.serve; app.serve.warm_up(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    needed = set().union(*(imported(file) for file in (ROOT / "app" / "views").glob("*.py")))
    assert needed
    assert needed <= modules
    assert not {name for name in modules if name.startswith("app.views")} - {"app.views"}


def test_data_written_to_a_bound_socket_is_sent_at_once() -> None:
    accepted: list[int] = []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        send_at_once(loop)
        bound = socket.socket()
        bound.bind(("127.0.0.1", 0))

        class Noting(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                peer = transport.get_extra_info("socket")
                accepted.append(peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        server = await loop.create_server(Noting, sock=bound)
        reader, writer = await asyncio.open_connection(*bound.getsockname())
        await reader.read()
        writer.close()
        server.close()

    # A browser of another test may still run a loop in this thread, so another one serves.
    with ThreadPoolExecutor(1) as threads:
        threads.submit(asyncio.run, serve()).result()
    assert accepted
    assert all(accepted)

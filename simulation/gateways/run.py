"""Runs a simulated gateway as a program, until SIGTERM or Ctrl-C."""

import argparse
import asyncio
import signal

from aiohttp import web

from simulation.gateways.api import Api
from simulation.gateways.control import Control
from simulation.gateways.gateway import Gateway
from simulation.gateways.payments import MADE_UP_KEYS

HOST = "127.0.0.1"


def main(kind: type[Gateway]) -> None:
    """Reads the arguments and serves the gateway on its two ports of the loopback address."""
    parser = argparse.ArgumentParser(description=kind.__doc__)
    parser.add_argument("--port", type=int, required=True, help="the port of the API")
    parser.add_argument("--control-port", type=int, required=True, help="the port of the controls")
    key, token = MADE_UP_KEYS[kind.name]
    parser.add_argument("--key", default=key, help="the secret key that calls carry")
    parser.add_argument("--token", default=token, help="the secret that webhooks carry, where the gateway has one")
    parser.add_argument("--notify-url", default="", help="where webhooks go; without it they are kept")
    parser.add_argument("--retry-scale", type=float, default=1.0, help="shortens the waits between repeats")
    given = parser.parse_args()
    gateway = kind(key=given.key, token=given.token, retry_scale=given.retry_scale)
    gateway.change({"notify_url": given.notify_url})
    asyncio.run(_serve(gateway, given.port, given.control_port))


async def _serve(gateway: Gateway, port: int, control_port: int) -> None:
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    runners = [web.AppRunner(app, shutdown_timeout=1.0) for app in (Api(gateway).app(), Control(gateway).app())]
    keeper = asyncio.create_task(gateway.agenda.keep())
    try:
        for runner, at in zip(runners, (port, control_port), strict=True):
            await runner.setup()
            await web.TCPSite(runner, HOST, at).start()
        print(f"{gateway.name} ready: API http://{HOST}:{port}, controls http://{HOST}:{control_port}", flush=True)
        stopped = asyncio.create_task(ended.wait())
        await asyncio.wait({keeper, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stopped.done():
            keeper.result()  # what is due cannot be done any more: end with its error
    finally:
        keeper.cancel()
        await gateway.post.close()
        for runner in runners:
            await runner.cleanup()

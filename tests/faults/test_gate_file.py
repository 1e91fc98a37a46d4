"""A damaged append-only file keeps Redis down; one command moves it aside when PostgreSQL can rebuild everything."""

import os
import signal
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from flashsale.gate import bridge
from flashsale.management import doctor_checks
from flashsale.models import Sale
from simulation.processes import ServerNotReady
from simulation.redis_server import RedisServer, find_program
from simulation.redis_topology import fact
from simulation.scale.redis_faults import damage
from tests.factories import card_of, lobby_sale
from tests.faults.steps import broken, buy, called, close_gate, in_gate, recover

pytestmark = [pytest.mark.django_db(transaction=True)]


def run(**options: Any) -> str:
    """What the command prints."""
    out = StringIO()
    call_command("gate_file", stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def check_program(tmp_path: Path) -> str:
    """The server under the name of its checker: this program is both."""
    named = tmp_path / f"{find_program().name.partition('-')[0]}-check-aof"
    named.symlink_to(find_program().resolve())
    return str(named)


def test_a_damaged_file_is_moved_aside_and_the_sale_comes_back_whole(
    server: RedisServer, tmp_path: Path, check_program: str
) -> None:
    sale, (ani, budi) = called("ani", "budi")
    order = buy(ani)
    with pytest.raises(CommandError, match=r"Redis answers \(run [0-9a-f]{8}\)"):
        run(dir=server.folder, unchecked=True)
    server.kill()
    with pytest.raises(CommandError, match="finds nothing wrong"):
        run(dir=server.folder, checker=check_program)
    with pytest.raises(CommandError, match="has neither appendonlydir nor"):
        run(dir=tmp_path / "elsewhere", checker=check_program)
    file = damage(server)
    with pytest.raises(ServerNotReady, match="Bad file format"):
        server.start()
    bridge.run(close_gate())
    assert "gate_file" in doctor_checks.redis_gate().fix
    assert "PostgreSQL can rebuild all 1 sales" in run()
    assert file.exists()
    starter = tmp_path / "start"
    options = f"--port {server.port} --bind 127.0.0.1 --dir {server.folder} --appendonly yes --daemonize yes"
    starter.write_text(f"#!/bin/sh\nexec {find_program()} {options}\n", encoding="utf-8")
    starter.chmod(0o755)
    try:
        text = run(dir=server.folder, checker=check_program, start=str(starter))
        assert f"{sale.code}: Redis knows the sale, epoch 2" in text
        (moved,) = server.folder.glob(f"{file.name}.damaged-*")
        assert str(moved) in text
        recover(sale)
        assert (order.pk, in_gate(sale)["sold"]) == (order.pk, 1)
        assert budi.reserve().replayed is False
        assert card_of(sale).epoch == 2
        assert broken(sale) == []
    finally:
        if pid := fact(server.port, "process_id", section="server"):
            os.kill(int(pid), signal.SIGKILL)


def test_nothing_is_moved_while_postgresql_cannot_rebuild_a_sale(server: RedisServer, settings: Settings) -> None:
    sale = lobby_sale()
    server.kill()
    file = damage(server)
    Sale.objects.filter(pk=sale.pk).update(sealed_secret=b"not sealed by this key")
    with pytest.raises(CommandError, match=r"draws: cannot decrypt .*Nothing was moved"):
        run(dir=server.folder, unchecked=True)
    assert file.exists()


def test_a_file_that_a_running_server_uses_is_not_moved(server: RedisServer, settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    bridge.run(close_gate())
    with pytest.raises(CommandError, match=f"The program with the process id {server.pid} uses"):
        run(dir=server.folder, unchecked=True)

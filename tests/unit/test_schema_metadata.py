"""The tables that a schema is compared with: one list, for `mailroom migrate`, for workers and for Alembic's autogenerate."""

import json
import subprocess
import sys

from mailroom.settings import CHECKOUT

#: Each in a process of its own, that imports nothing else.
OF_THE_CODE = """
import json
from mailroom.adapters.postgres.schema import metadata
print(json.dumps(sorted(metadata().tables)))
"""
OF_ALEMBIC = """
import io, json
from alembic import command
from alembic.config import Config
from sqlmodel import SQLModel
config = Config()
config.set_main_option("script_location", "mailroom/adapters/postgres/migrations")
config.attributes["engine"] = __import__("sqlalchemy").create_engine("sqlite://")
from alembic.runtime.environment import EnvironmentContext
seen = []
configure = EnvironmentContext.configure
def noted(self, *args, **options):
    seen.append(options["target_metadata"])
    raise SystemExit(print(json.dumps(sorted(seen[0].tables))))
EnvironmentContext.configure = noted
command.current(config)
"""
OF_ALL_MODULES = """
import json, pkgutil
from importlib import import_module
from sqlmodel import SQLModel
import mailroom.adapters.postgres as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if ".migrations" not in module.name:
        import_module(module.name)
print(json.dumps(sorted(SQLModel.metadata.tables)))
"""


def test_alembic_and_the_code_have_the_tables_of_every_module() -> None:
    """A module that one of them leaves out has tables that autogenerate would drop, or that nothing looks for."""
    started = [
        subprocess.Popen([sys.executable, "-c", one], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True)
        for one in (OF_THE_CODE, OF_ALEMBIC, OF_ALL_MODULES)
    ]
    of_the_code, of_alembic, of_all = (json.loads(one.communicate(timeout=120)[0]) for one in started)

    assert "message_label" in of_all
    assert of_the_code == of_all
    assert of_alembic == of_all

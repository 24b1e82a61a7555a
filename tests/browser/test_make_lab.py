"""`make lab`, as the README says it."""

import os
import signal
import subprocess
from pathlib import Path

from labkit.bench import jupyter

ROOT = Path(__file__).resolve().parents[2]


def test_make_lab_opens_jupyterlab_on_the_first_notebook(tmp_path, chrome):
    port = jupyter.free_port()
    folders = {name: str(tmp_path / name) for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")}
    folders |= {name: str(tmp_path / name) for name in ("JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(
            ["make", "lab", f"ARGS=--no-browser --port {port} --IdentityProvider.token={jupyter.TOKEN}"],
            cwd=ROOT,
            env=os.environ | folders,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        jupyter.wait_for(address, process, tmp_path / "log")
        with jupyter.tab(chrome) as tab:
            tab.page.goto(f"{address}/?token={jupyter.TOKEN}")
            tab.page.wait_for_url("**/lab/tree/notebooks/00_start_here.ipynb*")
            tab.page.get_by_role("heading", name="Start here").first.wait_for()
    finally:
        # SIGTERM while the kernel starts would leave the server hanging; a kernel ends with its server.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

"""``ergodual app``: a page on this machine."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ergodual.errors import ErgodualError

PORTS = range(7860, 7960)


@dataclass(frozen=True)
class App:
    """Open a page on which recordings are dropped, looked at, restored, heard and downloaded.

    The page is served by this machine and, unless --host says otherwise, to this machine alone; it
    loads nothing from elsewhere and tells nobody anything. What is made is removed when it ends, by
    Ctrl-C.
    """

    model: str = "speech-16k"
    """A model that comes with Ergodual, or the file or folder of your own."""
    host: str = "127.0.0.1"
    """Who may reach the page: this machine alone, or 0.0.0.0 for all that reach it."""
    port: int | None = None
    """Where; None takes the first that is free from 7860 on."""
    no_browser: bool = False
    """Only print the address, and open no browser."""
    threads: int = 1
    """Threads for the products."""

    def run(self) -> None:
        """Serve until Ctrl-C."""
        import torch

        from ergodual.cli.ranges import check_threads
        from ergodual.speech.dequantizer import Dequantizer

        check_threads(self.threads)
        port = self._free_port()
        torch.set_num_threads(self.threads)
        Dequantizer.load(self.model)  # so that a wrong name is said at once
        with tempfile.TemporaryDirectory(prefix="ergodual-app-") as folder:
            # read when gradio is loaded and when it gets files
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
            os.environ["GRADIO_TEMP_DIR"] = folder
            self._serve(Path(folder), port)

    def _serve(self, folder: Path, port: int) -> None:
        import gradio

        from ergodual.app.page import FONTS, page

        blocks = page(self.model, folder)
        _, address, _ = blocks.launch(
            server_name=self.host,
            server_port=port,
            inbrowser=not self.no_browser,
            prevent_thread_lock=True,
            share=False,
            quiet=True,
            footer_links=[],
            ssr_mode=False,
            run_history=False,
            allowed_paths=[str(folder)],
            theme=gradio.themes.Default(font=FONTS, font_mono=FONTS),
        )
        # an exception can get lost, as in the destructor of some other object
        ended: list[int] = []
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, lambda number, _: ended.append(number))
        print(f"{address} (Ctrl-C ends it)", flush=True)
        while not ended:
            time.sleep(0.1)
        blocks.close(verbose=False)

    def _free_port(self) -> int:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ErgodualError(f"The value of --port is {self.port}; it must be 1 to 65535.")
        for port in PORTS if self.port is None else (self.port,):
            try:
                with socket.create_server((self.host, port)):
                    return port
            except OSError as error:
                why = error.strerror or str(error)
        raise ErgodualError(
            f"The page cannot be served at {self.host}, port {port} ({why}); give another --port "
            "or --host."
        )

"""The two ways to serve the panel: by itself, and inside the REST service."""

from __future__ import annotations

import os
from typing import Any

from charaforge.client.service import Service


def quiet() -> None:
    """Keep Gradio from calling home; to be called before it is imported."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_SSR_MODE", "False")


def launch(host: str, port: int, url: str) -> None:
    """Serve the panel until it is stopped.

    Args:
        host: address to listen on.
        port: TCP port.
        url: where the REST service is; "" = `CHARAFORGE_API_URL`, else http://localhost:8000.
    """
    quiet()
    from charaforge.ui.web.panel import CSS, THEME, build

    page = build(lambda request: Service(url))
    page.launch(
        server_name=host,
        server_port=port,
        share=False,
        allowed_paths=[],
        theme=THEME,
        css=CSS,
        footer_links=[],
    )


def mount(app: Any, path: str) -> Any:
    """Return `app` (a FastAPI app) with the panel at `path`, for the service that serves it.

    The panel calls the service as the browser does: at the address that the browser reached, with its cookie
    or token.
    """
    quiet()
    import gradio

    from charaforge.ui.web.panel import CSS, THEME, build

    return gradio.mount_gradio_app(
        app, build(_as_the_browser), path, allowed_paths=[], theme=THEME, css=CSS, footer_links=[]
    )


def _as_the_browser(request: Any) -> Service:
    """Open the service that this request reached, with what it showed to be let in."""
    address, port = request.request.scope["server"]
    shown = {name: request.headers[name] for name in ("authorization", "cookie") if name in request.headers}
    host = f"[{address}]" if ":" in address else address
    return Service(f"http://{host}:{port}", token="", headers=shown)

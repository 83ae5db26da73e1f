"""HAProxy's configuration as rendered by the pinned version of Ray Serve."""

from pathlib import Path

from ray.serve._private.common import RequestProtocol
from ray.serve._private.haproxy import BackendConfig, HAProxyApi, HAProxyConfig, ServerConfig
from ray.serve.config import HTTPOptions

from tests.free_port import free_port

BACKENDS = {"http-case12": "/", "http-case3": "/case3"}


def rendered(
    folder: Path, replicas: dict[str, list[int]], *, port: int = 8000, host: str = "0.0.0.0"
) -> str:
    """The configuration for applications with replicas at these ports, by backend."""
    file = folder / "haproxy.cfg"
    config = HAProxyConfig(
        socket_path=str(folder / "admin.sock"),
        server_state_base=str(folder),
        server_state_file=str(folder / "server-state"),
        # As setup/local/conf/ray.env has it.
        metrics_enabled=False,
        nbthread=1,
        has_received_routes=True,
        is_head=True,
        metrics_port=free_port(),
        stats_port=free_port(),
        http_options=HTTPOptions(host=host, port=port, keep_alive_timeout_s=90),
    )
    backends = {
        name: BackendConfig(
            name=name,
            path_prefix=BACKENDS[name],
            app_name=name.removeprefix("http-"),
            servers=[ServerConfig(f"SERVE_REPLICA-{one}", "127.0.0.1", one) for one in ports],
            fallback_server=ServerConfig("SERVE_PROXY_ACTOR-1", "127.0.0.1", free_port()),
            protocol=RequestProtocol.HTTP,
        )
        for name, ports in replicas.items()
    }
    HAProxyApi(config, backends, str(file))._generate_config_file_internal()
    return file.read_text()

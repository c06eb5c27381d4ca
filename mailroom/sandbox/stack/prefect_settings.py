"""Prefect's settings in the embedded stack: all of them, each with its reason.

Names and defaults are those of Prefect 3.9.1 (`prefect config view --show-defaults`).
"""

from pathlib import Path


def client_settings(*, home: Path, url: str) -> dict[str, str]:
    """Return the settings of every process that talks to the Prefect server at `url` (without /api)."""
    return {
        # Profiles, results and the version check's memory of this stack only, never the user's ~/.prefect.
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"{url}/api",
        "PREFECT_UI_URL": url,
        # A wrong API URL must fail; by default a client starts a hidden server of its own, and the run is lost in it.
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # The default is pickle, which runs what it reads, and which `flows/support/results.py` does not read.
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        # Named, it is loaded once; unnamed, every run asks the server for it through a client of its own (30 ms).
        "PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK": "local-file-system/mailroom-results",
        # The server asks for no token (`deployments/server.py` keeps foreign pages out); to ask for one costs a request.
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
        # A metrics port (4201) that is not scraped here.
        "PREFECT_CLIENT_METRICS_ENABLED": "false",
        # Prefect's library reports its use by itself, whatever the server's analytics setting; this is its only switch.
        "DO_NOT_TRACK": "1",
        # A sampling thread in each run; runs here share one process.
        "PREFECT_TELEMETRY_ENABLE_RESOURCE_METRICS": "false",
        # How long a Retry in the UI or a scheduled send waits for the worker, at most; 10 s by default. A poll costs 15 ms.
        "PREFECT_WORKER_QUERY_SECONDS": "3",
        # What runs say is on the server, with each run; written to a file as well, it costs the worker 5 % of its CPU.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "WARNING",
        # Logs go to files, and no user is there to answer a prompt.
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_CLI_COLORS": "false",
        "PREFECT_CLI_WRAP_LINES": "false",
        "PREFECT_CLI_PROMPT": "false",
    }


def server_settings(*, home: Path, host: str, port: int, database_url: str) -> dict[str, str]:
    """Return what the server needs besides the client's settings; `database_url` carries a password, so only the server gets it."""
    url = f"http://{host}:{port}"
    return client_settings(home=home, url=url) | {
        # On SQLite ten concurrent runs end in "database is locked". The unix socket is quicker than TCP.
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database_url,
        # A busy laptop is slow, not broken: by default a statement is given up after ten seconds, a connection after five.
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "30",
        "PREFECT_SERVER_API_HOST": host,
        "PREFECT_SERVER_API_PORT": str(port),
        # The UI may be opened under either name and calls the first; by default any page could read the responses.
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"{url},http://localhost:{port}",
        # One transaction for 200 task run states instead of 200: halves the server's cost of a run. The interval is
        # the longest wait for them; it is cut to whole seconds, and below 1 the recorder spins.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        # The same for events: each run brings about twenty, and by default each twenty are a transaction.
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "2",
        # Services that poll every five seconds for rare work cost an idle server a fifth of its CPU: late runs,
        # pauses that ended, schedules that were just edited, leases of limits and of clean-ups, runs being cancelled.
        "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "15",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_LOOP_SECONDS": "30",
        "PREFECT_SERVER_SERVICES_SCHEDULER_RECENT_DEPLOYMENTS_LOOP_SECONDS": "15",
        "PREFECT_SERVER_SERVICES_CLEANUP_RECONCILER_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_LOOP_SECONDS": "60",
        "PREFECT_SERVER_SERVICES_FOREMAN_LOOP_SECONDS": "30",
        # Nothing about a sandbox leaves the machine.
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        # By default the server writes the pages into its package's folder, which may be read-only or shared.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        "PREFECT_SERVER_METRICS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }

"""What `gunicorn predict:app` picks up by itself; its options and GUNICORN_CMD_ARGS win."""

import atexit
import gc
import os
import shutil
import sys
import tempfile
from pathlib import Path

# What is made at start stays; looking it through for garbage would be a tenth of the start's work.
gc.disable()

sys.path.insert(0, str(Path(__file__).resolve().parent))

#: Memory a worker may need, in bytes: measured at about 30 MB, much of it shared, and doubled.
WORKER_MEMORY = 64 * 2**20

CGROUP = Path("/sys/fs/cgroup")


def granted_cpus(cgroup=CGROUP):
    """Return how many CPUs this container may use: its quota, not what the host has."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota, period = (
        _numbers(cgroup / "cpu.max")
        or (
            _numbers(cgroup / "cpu/cpu.cfs_quota_us")[:1]
            + _numbers(cgroup / "cpu/cpu.cfs_period_us")
        )
        or (0, 0)
    )
    return min(allowed or 1, quota / period) if quota > 0 else allowed or 1


def granted_memory(cgroup=CGROUP):
    """Return how many bytes of memory this container may use, or None where it is not limited."""
    found = _numbers(cgroup / "memory.max") or _numbers(cgroup / "memory/memory.limit_in_bytes")
    return found[0] if found else None


def workers_for(cpus, memory):
    """Return one worker a whole CPU, as far as the memory goes, and at least one."""
    most = cpus if memory is None else min(cpus, memory / WORKER_MEMORY)
    return max(1, int(most))


def _numbers(path):
    """Return the numbers in a cgroup file; none where it is absent or says "max"."""
    try:
        return [int(word) for word in path.read_text().split()]
    except (OSError, ValueError):
        return []


port = os.environ.get("PORT") or "9696"
if not port.isdecimal():
    sys.exit(f"gunicorn.conf.py: PORT is {port!r}, but it must be a whole number")
bind = f"0.0.0.0:{port}"
asked = os.environ.get("WEB_CONCURRENCY")
if asked and not (asked.isdecimal() and int(asked)):  # gunicorn would listen and never answer
    sys.exit(f"gunicorn.conf.py: WEB_CONCURRENCY is {asked!r}, but it must be 1 or more")
workers = int(asked or workers_for(granted_cpus(), granted_memory()))

# A client that sends half a request holds a thread until the time-out; scoring takes microseconds.
# Threads start only when needed: measured, 80 serve as many requests as 4, and 64 half-sent ones
# held open leave the others their answers.
worker_class = "churn.web.gunicorn_worker.Worker"  # gthread, whose errors are problem documents
threads = 80

# A model that can't be served stops the server before it listens, and workers share its memory.
preload_app = True

# Proxies are judged in one place for all servers, by CHURN_TRUSTED_PROXIES.
forwarded_allow_ips = ""

# Longer than what stands in front keeps a connection: nginx and AWS 60 s, Heroku's router 90 s.
keepalive = 95 if "DYNO" in os.environ else 75

timeout = 30
# docker stop kills after ten seconds.
graceful_timeout = 8

# A worker's heartbeat must not wait for a disk; the root may be read-only.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True

# The workers count in files, which /metrics adds up; they live as long as this server.
counts = Path(worker_tmp_dir or tempfile.gettempdir()) / f"churn-metrics-{os.getpid()}"
counts.mkdir(exist_ok=True)
os.environ["CHURN_METRICS_DIR"] = str(counts)


def child_exit(server, worker):
    """Forget a dead worker's connections, however it died."""
    from churn.web.gunicorn_worker import leave

    leave(worker)


def pre_fork(server, worker):
    """Leave out of garbage collection what workers share: looking at memory unshares it."""
    gc.freeze()


def post_fork(server, worker):
    """Collect what this worker itself leaves behind."""
    gc.enable()


def on_exit(server):
    """Leave no files behind."""
    shutil.rmtree(counts, ignore_errors=True)


@atexit.register
def on_failing(starter=os.getpid()):  # noqa: B008 - the process that reads this, not its workers
    """Leave no files behind either when the server never got to serve."""
    if os.getpid() == starter:
        shutil.rmtree(counts, ignore_errors=True)

"""What is tried on the running containers. Each returns what was seen, for the table, and raises when it is wrong."""

import base64
import json
import re
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from tests.containers.stack import PROJECT, Stack
from tests.support.waiting import wait_until

OURS = ("worker", "ui", "gc", "exporter", "flower")
ALL = (*OURS, "redis", "s3", "prometheus")
LAYER = re.compile(r"^([\d.]+)([kMG]?B)\s(.*)$")


def build(stack: Stack) -> str:
    """The image, its size, and that it has neither compilers nor tests."""
    stack.compose("build", "worker")
    size = int(stack.docker.run("inspect", "--format", "{{.Size}}", "camq:dev"))
    history = stack.docker.run("history", "--format", "{{.Size}}\t{{.CreatedBy}}", "camq:dev").splitlines()
    layers = ", ".join(line.split("\t")[0] for line in history if "COPY" in line)
    found = "for p in gcc cc make git; do command -v $p; done; find /opt -path '*/tests/unit' -o -name '*.whl'"
    listed = stack.docker.run(
        *("run", "--rm", "--network", "none", "--entrypoint", "sh", "camq:dev", "-c", f"{found}; true")
    )
    assert not listed, f"the image holds {listed}"
    return f"{size / 1e9:.2f} GB; layers that are copied in: {layers}; no compiler, no tests, no wheels"


def start(stack: Stack) -> str:
    """Everything starts and becomes healthy, with two workers."""
    services = [name for name in ALL if name != "prometheus"]
    stack.compose("up", "-d", "--no-build", "--scale", "worker=2", *services, "prometheus")
    stack.wait_healthy(*ALL, timeout_s=400)
    assert len(stack.containers("worker")) == 2
    return f"{len(ALL)} services healthy, two workers"


def confinement(stack: Stack) -> str:
    """Users, roots, capabilities, limits and ports are as promised, in the running processes."""
    for service in ALL:
        for one in stack.containers(service):
            host = one["HostConfig"]
            assert host["ReadonlyRootfs"], f"{service} can write to its root"
            assert host["CapDrop"] == ["ALL"], f"{service} keeps capabilities"
            assert "no-new-privileges:true" in host["SecurityOpt"], service
            assert host["Memory"], f"{service} has no limit of memory"
            assert host["PidsLimit"], f"{service} has no limit of processes"
            assert host["LogConfig"]["Config"].get("max-size"), f"{service} logs without end"
            for bindings in (host["PortBindings"] or {}).values():
                assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings), f"{service} is open to others"
            if service in OURS:
                process = Path(f"/proc/{one['State']['Pid']}/status").read_text()
                assert re.search(r"^Uid:\s+10001\s", process, re.M), f"{service} is not user 10001"
                assert re.search(r"^CapEff:\s+0+$", process, re.M), f"{service} has capabilities"
                assert re.search(r"^NoNewPrivs:\s+1$", process, re.M), service
    return "uid 10001, read-only roots, no capabilities, memory and process limits, log rotation, loopback ports"


def results(stack: Stack) -> str:
    """Pictures and a file that is none, submitted from the host; overlays fetched and opened."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for number in range(10):
            (folder / "in" / f"{number}.jpg").write_bytes((stack.pictures / f"{number}.jpg").read_bytes())
        (folder / "in" / "notes.jpg").write_text("not a picture")
        job = stack.camq("submit", str(folder / "in"), "--top-k", "2").splitlines()[-1]
        wait_until(lambda: stack.status(job)["finished_at"], "the job finished", 120, pause_s=1)
        found = stack.status(job)
        assert (found["succeeded"], found["failed"]) == (10, 1), found
        stack.camq("results", job, "--out", str(folder / "out"))
        overlays = list((folder / "out").rglob("*.jpg"))
        assert len(overlays) == 20, len(overlays)
        for overlay in overlays:
            with Image.open(overlay) as picture:
                picture.load()
    return "10 succeeded, 1 failed (not a picture); 20 overlays fetched and decoded"


def page(stack: Stack) -> str:
    """The live page refuses strangers and opens by its logged link."""
    assert stack.get("http://127.0.0.1:8800/")[0] == 401
    log = stack.compose("logs", "--no-log-prefix", "ui")
    token = re.findall(r"/\?token=([\w-]+)", log)[-1]
    cookie = {"Cookie": f"camq-8800={token}"}
    status, body = stack.get("http://127.0.0.1:8800/", cookie)
    assert status == 200
    assert b"resnet18" in body
    return "401 without the token, 200 with it, the model listed"


def metrics(stack: Stack) -> str:
    """Prometheus scrapes both workers and the exporter, and has read the alerts."""

    def query(text: str) -> list[dict[str, object]]:
        status, body = stack.get(f"http://127.0.0.1:9090/api/v1/query?query={text}")
        assert status == 200
        return list(json.loads(body)["data"]["result"])

    wait_until(lambda: len(query("up==1")) >= 3, "three targets are up", 90, pause_s=1)
    wait_until(lambda: query("camq_workers"), "the exporter's numbers arrive", 90, pause_s=1)
    _, body = stack.get("http://127.0.0.1:9090/api/v1/rules")
    rules = sum(len(group["rules"]) for group in json.loads(body)["data"]["groups"])
    assert rules > 0
    return f"3 targets up, {rules} rules read"


def flower(stack: Stack) -> str:
    """Celery's page needs its password."""
    assert stack.get("http://127.0.0.1:5555/workers")[0] == 401
    login = base64.b64encode(f"camq:{stack.env['FLOWER_PASSWORD']}".encode()).decode()
    assert stack.get("http://127.0.0.1:5555/workers", {"Authorization": f"Basic {login}"})[0] == 200
    return "401 without the password, 200 with it"


def killed_worker(stack: Stack) -> str:
    """A worker container killed in the middle of a job; the engine starts it again."""
    stack.submit("killed")
    wait_until(lambda: stack.in_hand("killed"), "the job is in hand", 60, pause_s=0.2)
    first = stack.containers("worker")[0]
    subprocess.run(["kill", "-9", str(first["State"]["Pid"])], check=True)
    seen = stack.wait_finished("killed")
    wait_until(lambda: stack.containers("worker")[0]["RestartCount"] > 0, "the engine restarted it", 60, pause_s=1)
    stack.wait_healthy("worker")
    return f"{seen}; the worker was restarted"


def restarted_redis(stack: Stack) -> str:
    """Redis restarted in the middle of a job."""
    stack.submit("redis")
    wait_until(lambda: stack.in_hand("redis"), "the job is in hand", 60, pause_s=0.2)
    stack.compose("restart", "redis")
    return stack.wait_finished("redis")


def killed_servers(stack: Stack) -> str:
    """Redis and the object store killed in the middle of a job, and started again."""
    stack.submit("servers")
    wait_until(lambda: stack.in_hand("servers"), "the job is in hand", 60, pause_s=0.2)
    stack.compose("kill", "redis", "s3")
    stack.compose("up", "-d", "--no-build", "--no-recreate", "redis", "s3")
    stack.wait_healthy("redis", "s3")
    return stack.wait_finished("servers")


def scaled(stack: Stack) -> str:
    """One worker and two again in the middle of a job."""
    stack.submit("scaled")
    wait_until(lambda: stack.in_hand("scaled"), "the job is in hand", 60, pause_s=0.2)
    stack.compose("up", "-d", "--no-build", "--no-recreate", "--scale", "worker=1", "worker")
    assert len(stack.containers("worker")) == 1
    stack.compose("up", "-d", "--no-build", "--no-recreate", "--scale", "worker=2", "worker")
    seen = stack.wait_finished("scaled")
    stack.wait_healthy("worker")
    return f"{seen}; two workers healthy again"


def stopped(stack: Stack) -> str:
    """Everything stopped with grace in the middle of a job, and started again."""
    stack.submit("stopped")
    wait_until(lambda: stack.in_hand("stopped"), "the job is in hand", 60, pause_s=0.2)
    stack.compose("stop")
    codes = {name: sorted({one["State"]["ExitCode"] for one in stack.containers(name)}) for name in ALL}
    wrong = {
        name: code for name, code in codes.items() if name in ("worker", "ui", "exporter", "redis") and code != [0]
    }
    stack.compose("start")
    assert not wrong, f"exit statuses {wrong}"
    seen = stack.wait_finished("stopped")
    stack.wait_healthy(*ALL, timeout_s=400)
    return f"{seen}; exit statuses {codes}"


def collected(stack: Stack) -> str:
    """`camq gc` in the container that runs it daily."""
    stack.compose("exec", "-T", "gc", "camq", "gc")
    return "camq gc ends with 0"


def secrets(stack: Stack) -> str:
    """No secret is in a process's arguments or in a log."""
    kept = [value for name, value in stack.env.items() if re.search("PASSWORD|SECRET|ACCESS_KEY", name)]
    arguments = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    logs = stack.compose("logs", "--no-log-prefix")
    assert not [value for value in kept if value in arguments], "a secret is an argument of a process"
    assert not [value for value in kept if value in logs], "a secret is in the logs"
    # `compose logs` itself puts an escape before lines.
    shown = stack.compose("logs", "--no-log-prefix", "worker").replace("\x1b[2K", "")
    lines = [line for line in shown.splitlines() if line.strip()]
    plain = [line for line in lines if not line.startswith("{")]
    assert not plain, f"the worker wrote lines that are not JSON: {plain[:3]}"
    return f"{len(kept)} secrets in no argument and no log; {len(lines)} lines of workers, all JSON"


def memory(stack: Stack) -> str:
    """What each service takes at rest."""
    lines = stack.docker.run("stats", "--no-stream", "--format", "{{.Name}}\t{{.MemUsage}}").splitlines()
    return ", ".join(line.removeprefix(f"{PROJECT}-").replace("\t", " ").split(" / ")[0] for line in sorted(lines))


def removed(stack: Stack) -> str:
    """`down -v` leaves nothing."""
    stack.compose("down", "-v", "--remove-orphans")
    label = f"label=com.docker.compose.project={PROJECT}"
    left = {
        kind: stack.docker.run(*command, "--quiet", "--filter", label)
        for kind, command in {
            "containers": ("ps", "--all"),
            "networks": ("network", "ls"),
            "volumes": ("volume", "ls"),
        }.items()
    }
    assert not any(left.values()), left
    return "no container, network or volume of the project left"


TRIALS = (
    *(build, start, confinement, results, page, metrics, flower, memory),
    *(killed_worker, restarted_redis, killed_servers, scaled, stopped, collected, secrets, removed),
)

"""A real SLURM on this machine, for tests: two nodes with a pretended GPU each, all of it in one folder and without privileges.

Controller, nodes and munge run as ordinary processes of the caller; nothing is written outside the folder. Needs the programs of
SLURM and munge (Debian, Ubuntu: `apt-get install --no-install-recommends slurmctld slurmd slurm-client munge`).
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "munged", "mungekey", "munge", "sbatch", "squeue", "scontrol", "sacct")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "sinfo", "scontrol", "sacct", "sacctmgr")
NODES = ("n1", "n2")
GRACE = 5
"""Seconds between SIGTERM and SIGKILL."""

_CONF = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
ReturnToService=2
KillWait={grace}
SlurmdTimeout=10
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
GresTypes=gpu
"""


def missing() -> list[str]:
    """Programs that a cluster needs and this machine lacks."""
    return [name for name in PROGRAMS if not shutil.which(name, path=_system_path())]


def _system_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/local/sbin", "/usr/sbin", "/sbin"])


class Cluster:
    """Started by `start`, stopped by `stop`; `environment` is what a user of it has."""

    def __init__(self, folder: Path, cpus: int = 2, memory: int = 8000) -> None:
        self.folder, self.cpus, self.memory = folder, cpus, memory
        self.conf = folder / "slurm.conf"
        self.daemons: list[subprocess.Popen[bytes]] = []
        self.nodes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of a user: the clients first on the PATH."""
        path = os.pathsep.join([str(self.folder / "bin"), _system_path()])
        return {**os.environ, "PATH": path, "SLURM_CONF": str(self.conf)}

    def start(self) -> None:
        """Starts munge, the controller and both nodes, and waits until the nodes are idle."""
        for name in ("munge", "state", "bin", "dev", "log", *(f"spool/{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "state").chmod(0o700)
        self._write_files()
        munge = self.folder / "munge"
        self._call("mungekey", "--create", f"--keyfile={munge / 'key'}")
        files = {
            "socket": "socket",
            "key-file": "key",
            "log-file": "log",
            "pid-file": "pid",
            "seed-file": "seed",
        }
        self._spawn(
            "munged", "--foreground", "--force", *(f"--{flag}={munge / name}" for flag, name in files.items())
        )
        self._wait(lambda: (munge / "socket").exists(), "munge")
        self._spawn("slurmctld", "-D", "-f", str(self.conf))
        self._wait(lambda: "UP" in self.ask("scontrol", "ping"), "the controller")
        for node in NODES:
            self.start_node(node)
        self._wait(
            lambda: self.ask("sinfo", "-h", "-N", "-t", "idle", "-o", "%N").split() == [*NODES], "the nodes"
        )

    def stop(self) -> None:
        """Cancels what is left and ends every process that was started."""
        if self.nodes:
            self.ask("scancel", "--full", "--partition=main")
            self._wait(lambda: not self.ask("squeue", "-h"), "the end of all jobs")
        for process in [*self.nodes.values(), *reversed(self.daemons)]:
            process.terminate()
        for process in [*self.nodes.values(), *self.daemons]:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def start_node(self, node: str) -> None:
        """Starts a node's daemon."""
        self.nodes[node] = self._spawn("slurmd", "-D", "-N", node, "-f", str(self.conf), kept=False)

    def fail_node(self, node: str) -> None:
        """A node that dies: its daemon and every job on it are killed at once."""
        jobs = self.ask("squeue", "-h", "-w", node, "-o", "%i").split()
        daemon = self.nodes.pop(node)
        daemon.kill()
        daemon.wait()
        for step in self._steps(jobs):
            os.kill(step, signal.SIGKILL)
        self.ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")

    def revive_node(self, node: str) -> None:
        """Brings a failed node back."""
        self.start_node(node)
        self.ask("scontrol", "update", f"NodeName={node}", "State=RESUME")

    def ask(self, *words: str) -> str:
        """What a client prints; empty where it fails."""
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, timeout=20, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def _steps(self, jobs: list[str]) -> list[int]:
        """Processes that watch over the steps of some jobs, and everything that these have started."""
        table = subprocess.run(
            ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        ).stdout
        rows = [
            (int(pid), int(parent), args)
            for pid, parent, args in (line.split(None, 2) for line in table.splitlines())
        ]
        found = {pid for pid, _, args in rows if any(f"slurmstepd: [{job}." in args for job in jobs)}
        while more := {pid for pid, parent, _ in rows if parent in found} - found:
            found |= more
        return sorted(found)

    def _write_files(self) -> None:
        host, user = socket.gethostname().split(".")[0], os.environ.get("USER") or _user()
        text = _CONF.format(host=host, user=user, port=self._port(), folder=self.folder, grace=GRACE)
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")
        gres = [f"NodeName={node} Name=gpu File={self._gpu(node, at)}" for at, node in enumerate(NODES)]
        (self.folder / "gres.conf").write_text("\n".join(gres) + "\n")
        for node in NODES:
            text += (
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={self._port()} CPUs={self.cpus}"
                f" RealMemory={self.memory} Gres=gpu:1 State=UNKNOWN\n"
            )
        self.conf.write_text(text + "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n")
        for name in CLIENTS:  # a step of Snakemake forgets SLURM_CONF, so the clients set it themselves
            client = self.folder / "bin" / name
            client.write_text(f'#!/bin/sh\nSLURM_CONF={self.conf} exec {shutil.which(name)} "$@"\n')
            client.chmod(0o755)

    def _gpu(self, node: str, at: int) -> Path:
        """A character device that passes for a GPU; its last digit becomes CUDA_VISIBLE_DEVICES."""
        if os.getuid():
            return Path(f"/dev/tty{at}")
        device = self.folder / "dev" / f"{node}-gpu0"
        os.mknod(device, 0o20666, os.makedev(1, 3))
        return device

    def _port(self) -> int:
        """A port that nobody uses."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return free.getsockname()[1]

    def _spawn(self, *words: str, kept: bool = True) -> subprocess.Popen[bytes]:
        program = shutil.which(words[0], path=_system_path())
        with (self.folder / "log" / f"{words[0]}-{len(self.daemons) + len(self.nodes)}").open("ab") as log:
            process = subprocess.Popen(
                [str(program), *words[1:]],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if kept:
            self.daemons.append(process)
        return process

    def _call(self, *words: str) -> None:
        program = shutil.which(words[0], path=_system_path())
        subprocess.run([str(program), *words[1:]], env=self.environment, check=True, capture_output=True)

    def _wait(self, ready: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"{what} did not come up within {seconds:.0f} s; logs: {self.folder / 'log'}"
                )
            time.sleep(0.2)


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()

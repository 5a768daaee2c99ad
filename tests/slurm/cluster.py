"""A real Slurm on loopback without systemd: munge, a controller, two nodes with two fake GPUs."""

import os
import secrets
import socket
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import wait_for

HOST = socket.gethostname().partition(".")[0]
CGROUPS = Path("/sys/fs/cgroup")
COMMON = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort={port}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=1
SlurmdTimeout=300
KillWait=60
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerCPU=100
EnforcePartLimits=ALL
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
AccountingStorageType=accounting_storage/none
"""


@dataclass(frozen=True)
class Settings:
    """The settings in which sites differ."""

    proctrack: str
    requeue_exit: str
    grace_s: int
    max_array_size: int


PLAIN = Settings("linuxproc", "RequeueExit=75", 15, 3)
OTHER = Settings("cgroup", "", 0, 1001)  # a signal to a job reaches its shell only


@dataclass(frozen=True)
class Cluster:
    """A running Slurm."""

    folder: Path

    def run(self, *command, check: bool = True, **options) -> str:
        """Run one of Slurm's commands; return its output."""
        words = list(map(str, command))
        done = subprocess.run(
            words,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=120,
            **options,
        )
        assert not check or done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + ("" if check else done.stderr)

    @property
    def environ(self) -> dict[str, str]:
        """The variables of a user's shell: Slurm's configuration, and one that no job may see."""
        own = ("JOB_", "AWS_", "SLURM_", "SBATCH_")
        clean = {k: v for k, v in os.environ.items() if not k.startswith(own)}
        return clean | {"SLURM_CONF": str(self.folder / "slurm.conf"), "PYTHONPATH": "/nowhere"}

    def job(self, job: str) -> dict[str, str]:
        """Return Slurm's record of a job or an array element."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).splitlines()[0].split()
        return dict(word.partition("=")[::2] for word in words)

    def queue(self) -> list[str]:
        """Return the unfinished jobs, each as `id state`."""
        return self.run("squeue", "--noheader", "--array", "--format=%i %T").split("\n")[:-1]

    def wait(self, job: str, state: str, seconds: float = 240) -> dict[str, str]:
        """Wait until a job is in a state; return Slurm's record of it."""
        wait_for(lambda: self.job(job)["JobState"] == state, seconds)
        return self.job(job)


@contextmanager
def slurm(folder: Path, settings: Settings):
    """Run a Slurm in a folder, and remove every trace of it at the end."""
    port, *ports = free_ports(3)
    nodes = {f"n{node_port}": node_port for node_port in ports}
    write_configuration(folder, settings, port, nodes)
    environ = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    cluster = Cluster(folder)
    with ExitStack() as stack:

        def daemon(*command):
            name = f"{Path(command[0]).name}-{command[-1]}.out".replace("/", "_")
            log = stack.enter_context(open(folder / name, "w"))
            process = subprocess.Popen(
                list(map(str, command)),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )
            stack.callback(end, process)

        def idle() -> bool:
            states = cluster.run("sinfo", "-h", "-N", "-p", "main", "-o", "%T", check=False)
            return states.split() == ["idle", "idle"]

        daemon(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder}/munge.key",
            f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munge.seed",
        )
        wait_for((folder / "munge.socket").exists, 20)
        daemon("slurmctld", "-D", "-c", "-L", folder / "slurmctld.log")
        for node in nodes:
            daemon("slurmd", "-D", "-c", "-L", folder / f"{node}.log", "-N", node)
        wait_for(idle, 60)
        try:
            yield cluster
        finally:
            cluster.run("scancel", "--user=root", check=False)
            wait_for(lambda: not cluster.queue(), 60)
    groups = [group for node in nodes for group in CGROUPS.glob(f"*/slurm_{node}")]
    wait_for(lambda: all(_remove(group) for group in groups if group.exists()), 60)


def write_configuration(folder: Path, settings: Settings, port: int, nodes: dict[str, int]) -> None:
    """Write slurm.conf and the files that belong to it.

    A node is named after its port, so that no two Slurms share a control group.
    """
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    lines = [
        COMMON.format(host=HOST, folder=folder, port=port),
        f"ProctrackType=proctrack/{settings.proctrack}",
        f"TaskPlugin=task/{'cgroup' if settings.proctrack == 'cgroup' else 'none'}",
        settings.requeue_exit,
        f"MaxArraySize={settings.max_array_size}",
    ]
    for node, node_port in nodes.items():
        (folder / f"spool-{node}").mkdir()
        lines.append(
            f"NodeName={node} NodeHostname={HOST} NodeAddr=127.0.0.1 Port={node_port}"
            " CPUs=2 RealMemory=4000 Gres=gpu:2"
        )
    lines += [
        "PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=5 PriorityTier=1"
        f" PreemptMode=REQUEUE GraceTime={settings.grace_s}",
        "PartitionName=high Nodes=ALL MaxTime=60 DefaultTime=5 PriorityTier=10 PreemptMode=OFF",
    ]
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    gpus = [folder / f"gpu{i}" for i in range(2)]
    for i, path in enumerate(gpus):
        os.mknod(path, 0o020666, os.makedev(1, 5 + i))  # not null: jobs need it
    (folder / "gres.conf").write_text(f"AutoDetect=off\nName=gpu File={folder}/gpu[0-1]\n")
    (folder / "cgroup.conf").write_text(
        f"CgroupPlugin=cgroup/v1\nCgroupMountpoint={CGROUPS}\n"
        "CgroupAutomount=yes\nConstrainCores=no\n"
    )


def _remove(group: Path) -> bool:
    """Remove a control group and those inside it; return whether that is possible yet."""
    try:
        for inner in sorted((g for g in group.rglob("*") if g.is_dir()), reverse=True):
            inner.rmdir()
        group.rmdir()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Return free ports of the loopback."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def end(process: subprocess.Popen) -> None:
    """Stop a daemon that was started here."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()

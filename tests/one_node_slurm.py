"""A Slurm of one node, started from Debian's packages by an ordinary user in a folder of its own."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

COMMANDS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "sinfo"]

CONFIGURATION = """\
ClusterName=tiny
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=120
MinJobAge=3600
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 State=UNKNOWN
PartitionName=tiny Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def missing_commands():
    """The commands of Debian's slurm-wlm and munge that are not here."""
    return [name for name in COMMANDS if not find(name)]


def find(name):
    """A command's path; daemons live where only root looks."""
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


class OneNodeSlurm:
    """Its daemons, between `start` and `stop`; commands find it by `environment`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.host = socket.gethostname().split(".")[0]
        self.environment = {
            "SLURM_CONF": str(folder / "slurm.conf"),
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        }

    def start(self):
        (self.folder / "state").mkdir()
        (self.folder / "spool").mkdir()
        # Inside a job the executor plugin removes every SLURM_* variable; a cluster's configuration is in /etc/slurm.
        srun = self.folder / "bin" / "srun"
        srun.parent.mkdir()
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {find("srun")} "$@"\n')
        srun.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        ports = free_ports(2)
        text = CONFIGURATION.format(
            host=self.host, controller_port=ports[0], node_port=ports[1], user=getpass.getuser(), folder=self.folder
        )
        (self.folder / "slurm.conf").write_text(text)
        files = {"key-file": key, "socket": self.folder / "munge.socket", "pid-file": self.folder / "munged.pid"}
        files |= {"log-file": self.folder / "munged.log", "seed-file": self.folder / "munge.seed"}
        self.run("munged", "--force", *(f"--{name}={path}" for name, path in files.items()))
        self.run("slurmctld")
        self.start_node()

    def start_node(self):
        """Starts the node and waits until it takes jobs."""
        self.run("slurmd")
        if self.run("sinfo", "--noheader", "--format=%T").startswith("down"):
            self.run("scontrol", "update", f"nodename={self.host}", "state=resume")
        self.wait_for_node("idle", "mixed", "allocated")

    def wait_for_node(self, *states, seconds=300):
        """Waits until the node is in one of the states."""
        deadline = time.monotonic() + seconds
        while (now := self.run("sinfo", "--noheader", "--format=%T").strip().strip("*")) not in states:
            assert time.monotonic() < deadline, f"the node is {now}, not {' or '.join(states)}"
            time.sleep(1)

    def lose_node(self):
        """Kills everything that runs on the node, as a power failure does, and waits until that is noticed."""
        for process, environment in processes():
            on_node = Path(f"/proc/{process}/exe")
            with suppress(OSError):
                # Debian's programs are called slurmd-wlm and slurmstepd-wlm.
                if self.owns(environment) and (
                    on_node.resolve().name.startswith(("slurmd", "slurmstepd")) or b"SLURM_JOB_ID" in environment
                ):
                    os.kill(process, signal.SIGKILL)
        # What the controller would find out by itself after SlurmdTimeout.
        self.run("scontrol", "update", f"nodename={self.host}", "state=down", "reason=lost")
        self.wait_for_node("down")

    def owns(self, environment):
        """Whether a process belongs to this Slurm."""
        return environment.get(b"SLURM_CONF") == os.fsencode(self.environment["SLURM_CONF"])

    def run(self, command, *arguments):
        """What a command of Slurm says."""
        done = subprocess.run(
            [find(command), *arguments], env=os.environ | self.environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def stop(self):
        """Ends the daemons and what they run."""
        for process, environment in processes():
            if self.owns(environment) and process != os.getpid():
                with suppress(OSError):
                    os.kill(process, signal.SIGKILL)


def processes():
    """Every process whose environment may be read, with it."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            entries = (folder / "environ").read_bytes().split(b"\0")
            yield int(folder.name), dict(entry.split(b"=", 1) for entry in entries if b"=" in entry)


def free_ports(count):
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports

"""Checks before jobs go to SLURM: a profile that the cluster cannot serve is refused now, with one sentence.

Without them such a job would fail hours later, or wait in the queue for ever.
"""

import getpass
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from semiseg.base.errors import UserError

COMMANDS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue")
PATIENCE = 20.0  # seconds for one answer
LONGEST_PAUSE = 180  # seconds between two status checks of the plugin, once jobs run long
PAUSES_REMEMBERED = 3  # first pauses. The plugin leaves squeue where SLURM forgets finished jobs sooner


@dataclass(frozen=True)
class Need:
    """What the jobs of a rule request of SLURM at most, by the profile; None where it gives nothing.

    gres: names of generic resources (gpu, shard). minutes, memory_mb: of the last try. runs_per_gpu: how many jobs of
    the rule may share a GPU.
    """

    rule: str
    partition: str | None = None
    account: str | None = None
    gres: tuple[str, ...] = ()
    minutes: int | None = None
    memory_mb: int | None = None
    constraint: str | None = None
    qos: str | None = None
    runs_per_gpu: int = 1


@dataclass(frozen=True)
class Nodes:
    """Nodes of one partition with equal resources.

    gres: number of each generic resource of a node. minutes: the partition's time limit, None for none.
    """

    partition: str
    default: bool
    gres: Mapping[str, int]
    minutes: int | None
    memory_mb: int

    @property
    def shards(self) -> int:
        """Shares into which a GPU is divided; 0 where none is."""
        return self.gres.get("shard", 0) // max(self.gres.get("gpu", 1), 1)


def need_of(rule: str, request: Mapping[str, Any], runs_per_gpu: int) -> Need:
    """The need of a rule from the resources of its last try, by the names that profiles use."""
    gres = [str(request["gres"]).partition(":")[0]] if request["gres"] else []
    return Need(
        rule,
        partition=request["slurm_partition"],
        account=request["slurm_account"],
        gres=tuple([*gres, "gpu"] if request["gpu"] else gres),
        minutes=request["runtime"],
        memory_mb=request["mem_mb"],
        constraint=request["constraint"],
        qos=request["qos"],
        runs_per_gpu=runs_per_gpu,
    )


def ask(*command: str) -> tuple[int, str]:
    """Exit status and output of a SLURM command; -1 where it took longer than ``PATIENCE``."""
    try:
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return -1, f"no answer within {PATIENCE:.0f} seconds"
    return done.returncode, done.stdout if done.returncode == 0 else (done.stderr + done.stdout).strip()


def check(needs: Sequence[Need], status_command: str | None, first_pause: int) -> dict[str, str]:
    """Check commands, controller, status query, partitions, GPUs, limits and accounts, in about a second.

    Returns the share of a GPU, as a gres, that the jobs of a rule with several runs per GPU request in place of a GPU.
    status_command, first_pause: the profile's slurm-status-command and slurm-init-seconds-before-status-checks.
    Raises UserError for the first thing that is wrong.
    """
    _check_commands()
    config = _config()
    _check_status_query(config, status_command, first_pause)
    nodes = _nodes()
    shares = {need.rule: _share(need, nodes) for need in needs if need.runs_per_gpu > 1 and "gpu" in need.gres}
    needs = [replace(need, gres=("shard",)) if need.rule in shares else need for need in needs]
    for need in needs:
        _check_need(need, nodes)
    _check_accounts(needs, config)
    for need in {(n.partition, n.account, n.gres, n.constraint, n.qos): n for n in needs}.values():
        _try(need)
    return shares


def _share(need: Need, nodes: Sequence[Nodes]) -> str:
    """The gres of a job, so many shards that no more than ``runs_per_gpu`` such jobs fit on a GPU."""
    chosen = _chosen(need, nodes)
    setting = f"rule {need.rule} sets runs_per_gpu to {need.runs_per_gpu}, and"
    if len(need.gres) > 1:
        raise UserError(f"{setting} its gres requests {need.gres[0]} too: leave out one of the two in the profile")
    most = max(each.shards for each in chosen)
    where = f"partition {', '.join(dict.fromkeys(each.partition for each in chosen))}"
    if most == 0:
        raise UserError(
            f"{setting} no node of {where} has its GPUs divided into shards (`sinfo -o %G`): set it to 1 in the"
            " profile, or ask the administrators for shards"
        )
    if need.runs_per_gpu > most:
        raise UserError(f"{setting} {where} divides a GPU into {most} shards: set it to {most} or less in the profile")
    return f"shard:{-(-most // need.runs_per_gpu)}"


def _check_commands() -> None:
    absent = [name for name in COMMANDS if shutil.which(name) is None]
    if absent:
        raise UserError(
            f"SLURM's commands {', '.join(absent)} are not on the PATH: call from a node that submits jobs, or without"
            " the slurm profile to build on this machine"
        )


def _config() -> dict[str, str]:
    status, output = ask("scontrol", "ping")  # answers at once; other commands first retry for a while
    if status == 0:
        status, output = ask("scontrol", "show", "config")
    if status != 0:
        first = next(iter(output.splitlines()), "no answer")
        raise UserError(f"SLURM's controller does not answer ({first}): nothing was started, call again when it does")
    pairs = (line.partition("=") for line in output.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _check_status_query(config: dict[str, str], command: str | None, first_pause: int) -> None:
    """Refuse a status command that would not report every end: the plugin would wait for ever (docs/slurm.md)."""
    remembered = int(re.match(r"\d*", config.get("MinJobAge", ""))[0] or 0)  # type: ignore[index]
    enough = max(LONGEST_PAUSE, PAUSES_REMEMBERED * first_pause)
    accounting = "slurmdbd" in config.get("AccountingStorageType", "")
    if command == "squeue" and remembered < enough:
        other = "set slurm-status-command to sacct in the profile and cancel no single job by scancel, or " * accounting
        raise UserError(
            f"SLURM forgets finished jobs after {remembered} seconds (MinJobAge), and their status is asked for up to"
            f" {enough} seconds later, so their end would never be seen: {other}ask the administrators for more"
        )
    if command != "squeue" and remembered >= enough:
        raise UserError(
            "jobs that are cancelled would be waited for for ever with slurm-status-command sacct: set it to squeue in"
            " the profile"
        )
    if command != "squeue" and not accounting:
        raise UserError(
            "this cluster keeps no accounts of jobs (AccountingStorageType), so slurm-status-command sacct would never"
            " be answered: set it to squeue in the profile"
        )


def _nodes() -> list[Nodes]:
    status, output = ask("sinfo", "-h", "-a", "-e", "-o", "%P|%G|%l|%m")
    if status != 0:
        raise UserError(f"SLURM does not list its partitions (sinfo: {output}): call again later")
    found = []
    for line in output.splitlines():
        partition, gres, limit, memory = line.split("|")
        megabytes = int(re.sub(r"\D", "", memory) or 0)
        found.append(Nodes(partition.rstrip("*"), partition.endswith("*"), _counts(gres), _minutes(limit), megabytes))
    return found


def _counts(gres: str) -> Counter[str]:
    """Numbers of generic resources by name, from SLURM's ``name[:type][:number][(place)]``, separated by commas."""
    counts: Counter[str] = Counter()
    for name, *rest in (item.split(":") for item in re.sub(r"\(.*?\)", "", gres).split(",") if item):
        counts[name] += int(rest[-1]) if rest and rest[-1].isdigit() else 1
    return counts


def _minutes(limit: str) -> int | None:
    """A time limit as SLURM writes it, [days-]hours:minutes:seconds or minutes:seconds; None for none."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", limit)
    if found is None:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return (24 * days + hours) * 60 + minutes


def _check_need(need: Need, nodes: Sequence[Nodes]) -> None:
    chosen = _chosen(need, nodes)
    where = f"partition {', '.join(dict.fromkeys(each.partition for each in chosen))}"
    fitting = [each for each in chosen if each.gres.keys() >= set(need.gres)]
    if not fitting:
        raise UserError(
            f"rule {need.rule} asks for {' and '.join(need.gres)}, which no node of {where} has: choose another"
            " slurm_partition for it in the profile, or set its gpu to 0 there to compute on CPUs"
        )
    longest = None if any(each.minutes is None for each in fitting) else max(each.minutes or 0 for each in fitting)
    if need.minutes is not None and longest is not None and need.minutes > longest:
        raise UserError(
            f"rule {need.rule} asks for up to {need.minutes} minutes and {where} allows {longest}, so its jobs would"
            f" wait for ever: write `runtime: min(..., {longest})` for it in the profile"
        )
    largest = max(each.memory_mb for each in fitting)
    if need.memory_mb is not None and need.memory_mb > largest:
        raise UserError(
            f"rule {need.rule} asks for up to {need.memory_mb} MB and no fitting node of {where} has more than"
            f" {largest}: write `mem_mb: min(..., {largest})` for it in the profile"
        )


def _chosen(need: Need, nodes: Sequence[Nodes]) -> list[Nodes]:
    """The nodes of the partition or partitions to which the jobs of a rule go."""
    known = ", ".join(dict.fromkeys(each.partition for each in nodes))
    if need.partition is None:
        chosen = [each for each in nodes if each.default]
        if not chosen:
            raise UserError(f"this cluster has no default partition: give slurm_partition in the profile, of {known}")
        return chosen
    wanted = need.partition.split(",")
    for name in wanted:
        if not any(each.partition == name for each in nodes):
            raise UserError(
                f"rule {need.rule} goes to partition {name!r}, which this cluster does not have; it has: {known}:"
                " correct slurm_partition in the profile"
            )
    return [each for each in nodes if each.partition in wanted]


def _check_accounts(needs: Sequence[Need], config: dict[str, str]) -> None:
    wanted = {need.account: need.rule for need in needs if need.account is not None}
    if not wanted or "slurmdbd" not in config.get("AccountingStorageType", "") or not shutil.which("sacctmgr"):
        return
    status, output = ask("sacctmgr", "-n", "-P", "list", "assoc", f"user={getpass.getuser()}", "format=account")
    known = sorted(set(output.split())) if status == 0 else []
    for account, rule in wanted.items():
        if known and account not in known:
            raise UserError(
                f"rule {rule} goes to account {account!r}, which is not yours; yours are: {', '.join(known)}: correct"
                " slurm_account in the profile"
            )


def _try(need: Need) -> None:
    """Have SLURM itself check a job of this rule, without submitting it."""
    options = {
        "--partition": need.partition,
        "--account": need.account,
        "--constraint": need.constraint,
        "--qos": need.qos,
        "--gres": ",".join(need.gres) or None,
    }
    given = [f"{name}={value}" for name, value in options.items() if value is not None]
    status, output = ask("sbatch", "--test-only", "--time=1", *given, "--wrap=true")
    if status != 0:
        last = next((line for line in reversed(output.splitlines()) if line.strip()), "no answer")
        reason = re.sub(r"sbatch: |error: |allocation failure: |Batch job submission failed: ", "", last)
        raise UserError(
            f"SLURM would refuse the jobs of rule {need.rule} with {' '.join(given) or 'nothing given'} ({reason}):"
            " correct this in the profile"
        )

#!/usr/bin/env bash
# Bring up a throw-away SLURM cluster on this machine: munged, MariaDB + slurmdbd (accounting, so
# that sacct works), slurmctld and slurmd, started by hand: no systemd and no cgroups needed. One
# node works; a second one, down and without GPUs, is there to be asked for.  Debian/Ubuntu, root.  Idempotent: a second call finds the cluster and says so.
# Everything it writes lies in one temporary directory; down.sh stops exactly these daemons.
#
#   ./up.sh                       start, wait until a job has run, print versions
#   . "$(cat /run/slurm-ci.dir)/env.sh"   sets SLURM_CONF for the shell (not needed if
#                                 /etc/slurm/slurm.conf did not exist: it is then linked)
# Knobs (environment):
#   SLURM_CI_ACCT=slurmdbd|none   with or without accounting            (default slurmdbd)
#   SLURM_CI_CPUS=8               CPUs the fake node claims, whatever the machine has
#   SLURM_CI_GPUS=4               fake GPUs (null devices; no driver needed)
#   SLURM_CI_SHARDS=4             gres/shard per fake GPU (several small jobs on one GPU)
#   SLURM_CI_MIN_JOB_AGE=300      seconds slurmctld remembers a finished job
set -euo pipefail
ACCT=${SLURM_CI_ACCT:-slurmdbd}; CPUS=${SLURM_CI_CPUS:-8}; GPUS=${SLURM_CI_GPUS:-4}
SHARDS=${SLURM_CI_SHARDS:-4}; MIN_JOB_AGE=${SLURM_CI_MIN_JOB_AGE:-300}
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
POINTER=/run/slurm-ci.dir
say() { echo "slurm-ci: $*"; }
die() { echo "slurm-ci: $*" >&2; [ -n "${DIR:-}" ] && tail -n 5 "$DIR"/log/*.log >&2 2>/dev/null; exit 1; }
[ "$(id -u)" = 0 ] || die "run as root"
# Never speak to a cluster this machine already belongs to.
unset SLURM_CONF

alive() { # alive NAME PIDFILE: the process of that pid file lives and is that daemon
  local pid; pid=$(cat "$2" 2>/dev/null) || return 1
  [ -n "$pid" ] && [ -r "/proc/$pid/comm" ] && [ "$(cat "/proc/$pid/comm")" = "$1" ]
}
versions() {
  say "$(sinfo --version), $(munged --version | head -1), $( [ "$ACCT" = none ] && echo 'no accounting' || mariadbd --version | sed 's/.*Ver //;s/ for .*//;s/^/MariaDB /')"
  sinfo -o '%P %N %T %c CPUs %m MB %G' | sed 's/^/  /'
}
up() { alive munged "$DIR/munged.pid" && alive slurmctld "$DIR/slurmctld.pid" && alive slurmd "$DIR/slurmd.pid" \
       && { [ "$ACCT" = none ] || { alive mariadbd "$DIR/mariadb.pid" && alive slurmdbd "$DIR/slurmdbd.pid"; }; }; }

# --- already up? -------------------------------------------------------------------------------
if [ -s "$POINTER" ]; then
  DIR=$(cat "$POINTER")
  [ -r "$DIR/acct" ] && ACCT=$(cat "$DIR/acct")
  if [ -d "$DIR" ] && up; then
    export SLURM_CONF="$DIR/slurm.conf"; say "already up in $DIR"; versions; exit 0
  fi
  say "a stale or half-dead cluster is in $DIR: taking it down first"
  "$HERE/down.sh"; ACCT=${SLURM_CI_ACCT:-slurmdbd}; unset DIR
fi

# --- packages ----------------------------------------------------------------------------------
need=(slurmctld slurmd slurm-client munge); [ "$ACCT" = none ] || need+=(slurmdbd mariadb-server)
missing=(); for p in "${need[@]}"; do
  dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  # Packages must not start their own daemons: on a machine with systemd they would take the ports.
  policy=/usr/sbin/policy-rc.d; made=; aptlog=$(mktemp)
  [ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; made=1; }
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -q && apt-get install -y -q --no-install-recommends "${missing[@]}"; } > "$aptlog" 2>&1 \
    || { [ -z "$made" ] || rm -f $policy; tail -n 20 "$aptlog" >&2; die "apt-get failed"; }
  [ -z "$made" ] || rm -f $policy
  rm -f "$aptlog"
fi

# --- files -------------------------------------------------------------------------------------
DIR=$(mktemp -d "${TMPDIR:-/tmp}/slurm-ci.XXXXXX"); chmod 755 "$DIR"
mkdir -p "$DIR"/{log,ctld,d,dev}; echo "$DIR" > "$POINTER"; echo "$ACCT" > "$DIR/acct"
exec 9>"$DIR/ports.used"
free_port() { # a TCP port nobody listens on, not given out before
  local p; for p in $(seq "$1" $(( $1 + 400 ))); do
    grep -qx "$p" "$DIR/ports.used" && continue
    (exec 3<>"/dev/tcp/127.0.0.1/$p") 2>/dev/null || { echo "$p" >> "$DIR/ports.used"; echo "$p"; return; }
  done; die "no free port from $1"; }
CTLD_PORT=$(free_port 16817); D_PORT=$(free_port 16818); DBD_PORT=$(free_port 16819)
HOST=$(hostname -s); MEM=$(awk '/^MemTotal/ {print int($2/1024*0.9)}' /proc/meminfo)
VERSION=$(sinfo --version 2>/dev/null || slurmd -V); VERSION=${VERSION#slurm* }

gres=; if [ "$GPUS" -gt 0 ]; then
  gres="Gres=gpu:fake:$GPUS,shard:$(( GPUS * SHARDS ))"
  # slurmd wants character devices; a second /dev/null is one.  Without CAP_MKNOD only the count
  # is configured: scheduling is the same, but SLURM then sets no CUDA_VISIBLE_DEVICES.
  { echo "AutoDetect=off"
    for i in $(seq 0 $(( GPUS - 1 ))); do
      if mknod -m 666 "$DIR/dev/fake$i" c 1 3 2>/dev/null; then echo "Name=gpu Type=fake File=$DIR/dev/fake$i"
      else echo "Name=gpu Type=fake Count=$GPUS"; break; fi; done
    echo "Name=shard Count=$(( GPUS * SHARDS ))"; } > "$DIR/gres.conf"
fi
# CgroupPlugin=disabled is known from SLURM 23.11 on; before that nothing here touches cgroups.
case $VERSION in 2[012].*|23.02*) echo "# unused" ;; *) echo "CgroupPlugin=disabled" ;; esac > "$DIR/cgroup.conf"

if [ "$ACCT" = none ]; then acct_conf="AccountingStorageType=accounting_storage/none"
else acct_conf="AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$DBD_PORT
AccountingStoragePass=$DIR/munge.socket
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment"; fi

cat > "$DIR/slurm.conf" <<CONF
ClusterName=ci
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$CTLD_PORT
SlurmdPort=$D_PORT
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge.socket
CryptoType=crypto/munge
StateSaveLocation=$DIR/ctld
SlurmdSpoolDir=$DIR/d
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.pid
SlurmctldLogFile=$DIR/log/slurmctld.log
SlurmdLogFile=$DIR/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,bf_interval=2,sched_interval=2
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=$MIN_JOB_AGE
KillWait=5
CompleteWait=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
MaxArraySize=10001
MaxJobCount=20000
$( [ "$GPUS" -gt 0 ] && echo "GresTypes=gpu,shard" )
$acct_conf
NodeName=$HOST NodeAddr=127.0.0.1 CPUs=$CPUS RealMemory=$MEM $gres State=UNKNOWN
NodeName=bare NodeAddr=127.0.0.1 Port=$(free_port 17818) CPUs=1 RealMemory=1000 State=DOWN
PartitionName=normal Nodes=$HOST Default=YES MaxTime=INFINITE DefMemPerCPU=256 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=$HOST MaxTime=INFINITE DefMemPerCPU=256 PriorityTier=10 PreemptMode=OFF
PartitionName=bare Nodes=bare MaxTime=60 PreemptMode=OFF
CONF
echo "export SLURM_CONF='$DIR/slurm.conf'" > "$DIR/env.sh"
export SLURM_CONF="$DIR/slurm.conf"
# Plain `sbatch` works without SLURM_CONF where the machine has no configuration of its own.
mkdir -p /etc/slurm; [ -e /etc/slurm/slurm.conf ] || ln -sfn "$DIR/slurm.conf" /etc/slurm/slurm.conf

# --- daemons -----------------------------------------------------------------------------------
wait_for() { local end=$(( SECONDS + $1 )); shift
  while ! timeout 10 "$@" >/dev/null 2>&1; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done; }
head -c 1024 /dev/urandom > "$DIR/munge.key"; chmod 400 "$DIR/munge.key"
munged --force --key-file="$DIR/munge.key" --socket="$DIR/munge.socket" --pid-file="$DIR/munged.pid" \
  --log-file="$DIR/log/munged.log" --seed-file="$DIR/munge.seed" 9>&- 2>>"$DIR/log/munged.err.log"
wait_for 10 munge -n -S "$DIR/munge.socket" || die "munged does not answer"

if [ "$ACCT" != none ]; then
  SQL="$DIR/mysql"; mkdir -p "$SQL"; chown mysql: "$SQL"
  mariadb-install-db --no-defaults --user=mysql --datadir="$SQL" --auth-root-authentication-method=socket \
    --skip-test-db > "$DIR/log/mariadb-install.log" 2>&1 || die "mariadb-install-db failed"
  DB_PORT=$(free_port 13306); : > "$DIR/log/mariadb.log"; chown mysql: "$DIR/log/mariadb.log"
  # Its own instance, its own socket: a MariaDB of this machine is not touched.
  setsid mariadbd --no-defaults --user=mysql --datadir="$SQL" --socket="$SQL/s.sock" --port="$DB_PORT" \
    --bind-address=127.0.0.1 --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
    --pid-file="$SQL/mariadb.pid" --log-error="$DIR/log/mariadb.log" 9>&- >/dev/null 2>&1 </dev/null &
  echo $! > "$DIR/mariadb.pid"
  wait_for 30 mariadb-admin --no-defaults --socket="$SQL/s.sock" ping || die "MariaDB does not answer"
  PASS=$(head -c 18 /dev/urandom | base64 | tr -d '+/=')
  mariadb --no-defaults --socket="$SQL/s.sock" -e "CREATE DATABASE slurm_acct_db;
    CREATE USER 'slurm'@'127.0.0.1' IDENTIFIED BY '$PASS', 'slurm'@'localhost' IDENTIFIED BY '$PASS';
    GRANT ALL ON slurm_acct_db.* TO 'slurm'@'127.0.0.1', 'slurm'@'localhost';"
  cat > "$DIR/slurmdbd.conf" <<CONF
AuthType=auth/munge
AuthInfo=socket=$DIR/munge.socket
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$DBD_PORT
SlurmUser=root
PidFile=$DIR/slurmdbd.pid
LogFile=$DIR/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$DB_PORT
StorageUser=slurm
StoragePass=$PASS
StorageLoc=slurm_acct_db
CONF
  chmod 600 "$DIR/slurmdbd.conf"
  slurmdbd 9>&-                       # reads slurmdbd.conf beside $SLURM_CONF
  wait_for 30 sacctmgr -n list cluster || die "slurmdbd does not answer"
  sacctmgr -i add cluster ci > /dev/null 2>&1 || true   # slurmctld registers itself too
fi
slurmctld -f "$SLURM_CONF" 9>&-
wait_for 30 scontrol ping || die "slurmctld does not answer"
slurmd -f "$SLURM_CONF" 9>&-
wait_for 30 sh -c '[ "$(sinfo -h -o %t -p normal)" = idle ]' || { scontrol show node "$HOST" >&2; die "the node does not become idle"; }

# --- proof: a job runs, sees its fake GPU, and is accounted for ---------------------------------
probe=$DIR/probe.out; rm -f "$probe"
want=(); [ "$GPUS" -eq 0 ] || want=(--gres=gpu:1)
sbatch --wait -Q -o "$probe" ${want[@]+"${want[@]}"} --wrap 'echo "job $SLURM_JOB_ID ran, CUDA_VISIBLE_DEVICES=${CUDA_VISIBLE_DEVICES-unset}"' \
  || die "the probe job failed"
say "up in $DIR"; sed 's/^/  /' "$probe"
[ "$ACCT" = none ] || { wait_for 10 sh -c 'sacct -n -X -o state | grep -q COMPLETED' || die "sacct does not know the probe job"; }
versions
say "stop it with: $(basename "$HERE")/down.sh"

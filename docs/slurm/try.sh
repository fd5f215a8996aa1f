#!/bin/bash
# Try worker.sbatch on a Slurm of one node with two cores, on this machine's loopback alone. As root, on Debian:
#   apt-get install --no-install-recommends slurmctld slurmd slurm-client munge
#   docs/slurm/try.sh
# A job of a higher priority preempts a worker, scontrol requeue another one, and a time limit ends a third one; their
# stages go on elsewhere. It takes about five minutes, and removes what it made.
set -euo pipefail
cd "$(dirname "$0")/../.."
checkout=$PWD
folder=$(mktemp -d)
host=$(hostname -s)
export SLURM_CONF=$folder/slurm.conf TICKETSCOPE_HOME=$folder/home TICKETSCOPE_CONFIG=/dev/null
export TICKETSCOPE_BIN=$checkout/.venv/bin TICKETSCOPE_RUNTIME=$folder OMP_NUM_THREADS=1
PATH=$TICKETSCOPE_BIN:$PATH

finish() {
    scancel --quiet --user="$(id -un)" || true
    for _ in $(seq 20); do
        [ -n "$(squeue --noheader)" ] || break
        sleep 1
    done
    for file in "$folder"/*.pid; do
        kill "$(cat "$file")" || true
    done
    sleep 3
    rm -rf "$folder"
}
trap finish EXIT

mkdir "$folder/state" "$folder/spool" "$folder/logs"
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 status=none
chmod 400 "$folder/munge.key"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge.sock" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
cat > "$SLURM_CONF" << CONF
ClusterName=try
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.sock
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
KillWait=30
NodeName=node1 NodeHostname=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=spare Nodes=node1 Default=YES MaxTime=60 PriorityTier=1
PartitionName=urgent Nodes=node1 MaxTime=60 PriorityTier=2 PreemptMode=OFF
CONF
slurmctld
slurmd -N node1
until [ "$(sinfo --noheader --partition=spare --format=%T)" = idle ]; do sleep 1; done

# What is shown has neither the folder nor the times of this machine.
show() {
    printf '\n$ %s\n' "$*" | sed "s#$folder/##g"
    "$@" 2>&1 | sed "s#$folder/##g"
}
logged() { cat "$folder"/logs/ticketscope-*.log 2> /dev/null; }
said() { logged | grep -qE "$1"; }
state() { squeue --noheader --array --job="$1" --format=%T 2> /dev/null || true; }
is() { [ "$(state "$1")" = "$2" ]; }
until_true() {
    for _ in $(seq 600); do
        if "$@"; then return; fi
        sleep 0.5
    done
    printf '\nnever: %s\n' "$*"
    logged
    exit 1
}
# Launch a study that trains one network for each of some seeds, then a winning ticket, and set its id.
launch() {
    cat > "$folder/study.toml" << TOML
name = "On Slurm"
datasets = ["digits"]
networks = ["lenet300"]
learning_rates = [0.05]
pruners = ["oneshot"]
sparsities = [0.8]
starts = ["winning_ticket"]
seeds = [$1]
train_images = 1000

[recipe]
epochs = $2
batch_size = 32
augmentation = "none"
TOML
    show ticketscope launch "$folder/study.toml" > "$folder/launched" || { cat "$folder/launched"; exit 1; }
    grep -vE "^home |no workers" "$folder/launched"
    study=$(grep -oE "as [0-9a-f]+$" "$folder/launched" | cut -c 4-)
}
submit() {
    show sbatch --gres=none --cpus-per-task=1 --mem=0 --output="$folder/logs/%x-%a.log" "$@" \
        docs/slurm/worker.sbatch --device cpu --until-idle 20
}

# The main host is this machine, whose Redis the jobs reach by the home.
ticketscope recorder 2> "$folder/recorder.log" &
echo $! > "$folder/recorder.pid"
launch "0, 1" 1000
submit --array=0-1 --time=30
until_true said "begins: .* seed 0"
until_true said "begins: .* seed 1"
sleep 5
columns="%.6i %.12j %.8P %.10T %r"
show squeue --array --format="$columns"

printf '\n# A job of a higher priority preempts a task.\n'
show sbatch --partition=urgent --job-name=urgent --output=/dev/null --wrap="sleep 10"
until_true said "begins, attempt 2"
until_true is 3 RUNNING
show squeue --array --format="$columns"
if is 1_1 RUNNING; then preempted=1_0 other=1_1; else preempted=1_1 other=1_0; fi
until_true is 3 ""

printf '\n# Slurm would let the preempted task wait for two minutes. The other one is queued again by hand.\n'
show scontrol update job="$preempted" StartTime=now
until_true is "$preempted" RUNNING
until_true eval '[ "$(logged | grep -c "is ready on")" = 3 ]'
show scontrol requeue "$other"
until_true said "begins, attempt 3"

printf '\n# All is done, the queue stays empty, and the tasks end.\n'
until_true eval '[ -z "$(state 1)" ]'
show ticketscope status "$study" | grep -v "^home "
show scontrol show job "$preempted" | grep -oE "JobState=[A-Z]+|Restarts=[0-9]+|ExitCode=[0-9:]+"

printf '\n# At a time limit, the signal comes before; Slurm sends it up to a minute earlier than requested.\n'
launch 2 10000
submit --array=2 --time=2 --signal=B:TERM@40
until_true said "begins: .* seed 2"
until_true eval '[ "$(logged | grep -c "handed back: ")" -ge 3 ]'
until_true eval '[ "$(scontrol show job 4 | grep -oE "JobState=[A-Z]+")" = JobState=COMPLETED ]'
show scontrol show job 4 | grep -oE "JobState=[A-Z]+|Restarts=[0-9]+|ExitCode=[0-9:]+|RunTime=[0-9:]+"
show ticketscope status "$study" | grep -v "^home "

for file in "$folder"/logs/*.log; do
    printf '\n# %s\n' "$(basename "$file")"
    grep -vE "^home |side by side here|cannot be claimed" "$file" | sed "s#$folder/##g; s#$host-[0-9a-f]*:#node1:#g"
done

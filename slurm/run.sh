# shellcheck shell=bash
# What the scripts here share: the site, `job` in the site's runtime, and running it until it is done.
# To be read from the folder that holds slurm/.

# What a shell exports of its options, and where it looks for folders, changes a script: begin again without.
case $'\n'$(compgen -e)$'\n' in
  *$'\nSHELLOPTS\n'* | *$'\nBASHOPTS\n'* | *$'\nPOSIXLY_CORRECT\n'* | *$'\nCDPATH\n'*)
    exec env -u SHELLOPTS -u BASHOPTS -u POSIXLY_CORRECT -u CDPATH bash "$0" "$@"
    ;;
esac

set -eo pipefail
RUNS=11 # of a task: the third error fails it for good, or the tenth end without a word; the next run says so

fail() {
  echo "${0##*/}: $1" >&2
  exit "${2:-78}"
}

# A script that is typed bears its own name. Of one that is submitted Slurm runs a copy
# called `slurm_script`.
typed=''
case ${0##*/} in *.sh | *.sbatch) typed=yes ;; esac

# Of the environment only Slurm's and the system's own variables stay: the site's file is the one
# place for the rest. What is typed inside an interactive job takes nothing from that job.
for name in $(compgen -e); do
  case $name in
    SLURM_CONF | SLURM_CLUSTERS) ;;
    SLURM_*) [ -z "$typed" ] || unset "$name" ;;
    PATH | PWD | HOME | LANG | LC_* | TZ | SBATCH_* | *_VISIBLE_DEVICES | GPU_DEVICE_ORDINAL) ;;
    MODULE* | LMOD_* | LOADEDMODULES | _LMFILES_) ;;
    *) unset "$name" 2>/dev/null || export -n "${name?}" ;; # of what is read-only (TMOUT, on some sites) it is not ours to say
  esac
done
# shellcheck source=slurm/site.env
. slurm/site.env || fail "slurm/site.env cannot be read: submit from the folder that holds slurm/"

if [ "${#MODULES[@]}" -gt 0 ]; then
  set +e
  type module >/dev/null 2>&1 || . /etc/profile
  module load "${MODULES[@]}" || fail "module load ${MODULES[*]}: see MODULES in slurm/site.env"
  set -e
fi

# The name of this job or array element in Slurm's commands. SLURM_JOB_ID is no such name: the last
# element of an array bears the array's number there, and by it Slurm's commands mean all elements.
element=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
element=${element:-${SLURM_JOB_ID-}}
# Runs of one element take its task back from each other at once, and so do tries in one run, which
# are steps of different numbers where srun starts them.
[ -z "$element" ] || export JOB_SCHEDULER_JOB="slurm ${SLURM_CLUSTER_NAME:--} $element"

# A folder of this user on the node for the cache, and one of this job for everything else that is temporary, HOME too.
node=$SCRATCH/job-$UID
(umask 077 && mkdir -p "$node") || fail "SCRATCH = $SCRATCH in slurm/site.env: expected a folder this user may write on $(hostname)"
[ -O "$node" ] || fail "$node belongs to another user: choose another SCRATCH in slurm/site.env"
[ ! -L "$node" ] || fail "$node is a link: remove it, or choose another SCRATCH in slurm/site.env" # anybody may have made it
chmod 700 "$node"
here=$node/${element:-login-$$}
mkdir -p "$here" || fail "$here cannot be made on $(hostname): see SCRATCH in slurm/site.env"
trap 'rm -rf "$here"' EXIT
export TMPDIR=$here JOB_CACHE_DIR=${JOB_CACHE_DIR:-$node/cache} JOB_PROGRESS_FILE=$here/progress

# Submit this script, which was typed, with the options that it has set as `site`; arguments that
# begin with a dash are further options of sbatch.
site=()
submit_itself() {
  local more=()
  while [[ ${1-} == -* ]]; do
    more+=("$1")
    shift
  done
  sbatch "${site[@]}" "${more[@]}" "$0" "$@"
  exit
}

# Write the environment for a container: by file, so that no value stands on a command line. What the image knows better stays out.
write_environment() ( # how a quote within quotes is written
  umask 077
  quote="'"
  for name in $(compgen -e); do
    case $name in PATH | HOME | LD_LIBRARY_PATH | PWD | OLDPWD | SHLVL | _) continue ;; esac
    [ "$RUNTIME" = apptainer ] || [[ ${!name} != *$'\n'* ]] || fail "$name has several lines: $RUNTIME takes one, mend slurm/site.env"
    printf "%s='%s'\n" "$name" "${!name//$quote/$1}"
  done >"$here/environment"
)

# Become `job` in the site's runtime. It is called by name, never by the image's ENTRYPOINT; HOME is an empty folder.
# srun asks for the `allocation`, which is nothing in a job. --export=ALL: after sbatch's --export=PATH
# it would pass on PATH only.
allocation=()
become_job() {
  local bind binds=("$PWD" "$node" "${BINDS[@]}") mounts=
  case $RUNTIME in
    venv)
      [ -x "$VENV/bin/job" ] || fail "VENV = $VENV in slurm/site.env: there is no bin/job in it; run 'make env'"
      HOME=$here exec "$VENV/bin/job" "$@"
      ;;
    apptainer)
      write_environment "'\''" || exit # read as a shell would
      exec apptainer exec --nv --cleanenv --no-home --env-file "$here/environment" "${binds[@]/#/--bind=}" --pwd "$PWD" "$IMAGE" job "$@"
      ;;
    charliecloud)
      write_environment "'" || exit # less the outer quotes, as it is
      # It insists on USER, mounts TMPDIR over /tmp, and mounts only on folders that the image has.
      mkdir -p "${binds[@]/#/$IMAGE}" || fail "IMAGE = $IMAGE in slurm/site.env: make these folders in it, to mount on: ${binds[*]}"
      USER=$(id -un) exec env -u TMPDIR ch-run --unset-env='*' --set-env --set-env=HOME="$here" --set-env="$here/environment" \
        "${binds[@]/#/--bind=}" --cd="$PWD" "$IMAGE" -- job "$@"
      ;;
    pyxis)
      for bind in "${binds[@]}"; do mounts+=${mounts:+,}$bind:$bind; done
      exec srun --export=ALL "${allocation[@]}" --ntasks=1 --container-image="$IMAGE" \
        --container-mounts="$mounts" --container-workdir="$PWD" \
        --no-container-mount-home --no-container-entrypoint job "$@"
      ;;
    *) fail "RUNTIME = $RUNTIME in slurm/site.env: expected venv, apptainer, pyxis or charliecloud" ;;
  esac
}

# Ask the program to leave. Never by TERM or USR1: Slurm may have sent it that itself, and a second one is not obeyed but fatal.
ask() {
  if [ "$RUNTIME" = pyxis ]; then
    # Of a job in transition scancel tries again for 95 s (5 + 6 + ... + 14), long after its steps.
    timeout 5 scancel --signal=URG "$element" 2>/dev/null || true
    kill -0 "$1" 2>/dev/null
  else
    kill -URG "$1" 2>/dev/null
  fi
}

# Tell whether this job is running, and we are its latest run: a node taken for lost may still be alive, and us on it.
# Ask again while the controller is away.
running() {
  local text state restarts tries
  for ((tries = 0; tries < 30; tries++)); do
    if text=$(squeue --noheader --jobs="$element" --Format=State:24,RestartCnt:24 2>/dev/null); then
      read -r state restarts <<<"$text"
      [ "$state $restarts" = "RUNNING ${SLURM_RESTART_COUNT:-0}" ]
      return
    fi
    sleep 10
  done
  return 1
}

say() {
  echo "$(date +%T) slurm: $1"
}

# Run `job "$@"` once and set `code` to how it ended; once we are `asked` to leave, so is it.
run_once() {
  local child
  become_job "$@" &
  child=$!
  [ -n "$asked" ] || { wait "$child" && code=0 || code=$?; } # asked between two runs: the new one leaves as soon as it can hear
  [ -n "$asked" ] || return 0
  say "asked to leave"
  while ask "$child"; do sleep 0.5; done # until it hears: one that is just starting does not yet
  wait "$child" && code=0 || code=$?
  case $code in 0 | 2 | 69 | 70 | 78) ;; *) code=75 ;; esac # 128+n: it was not up yet, and ended by the signal itself
}

# Run `job "$@"` until it is done. What others may go on with (69, 75) is requeued; an error, or an end without a word,
# is tried again here until it fails the task for good, so that the stages behind it do not wait for ever; every other end is final.
# The same with and without the administrator's RequeueExit: we leave with neither code, but requeue while we run.
until_done() {
  local asked='' code runs=0 fruitless=$OUT/restarts/$element
  rm -f "$JOB_PROGRESS_FILE"
  trap 'asked=yes' USR1 TERM INT # each of them ends a `wait`
  while run_once "$@"; do
    case $code in
      0 | 2 | 70 | 78) rm -f "$fruitless" && exit "$code" ;;
      69 | 75) break ;;
    esac
    if [ -e "$JOB_PROGRESS_FILE" ]; then runs=0; fi
    rm -f "$JOB_PROGRESS_FILE"
    runs=$((runs + 1))
    [ "$runs" -lt "$RUNS" ] || exit "$code"
    say "exit $code: again"
  done
  if ! running; then
    say "exit $code, and the job is cancelled or requeued already: not by us"
    exit 143
  fi
  mkdir -p "${fruitless%/*}"
  if [ -e "$JOB_PROGRESS_FILE" ]; then rm -f "$fruitless"; else echo "$code" >>"$fruitless"; fi
  if [ -e "$fruitless" ] && [ "$(wc -l <"$fruitless")" -gt "$RESTARTS" ]; then
    rm -f "$fruitless"
    say "exit $code, for the $((RESTARTS + 1)). time without anything new: not requeued; see above what it waits for, and submit again"
    exit 1
  fi
  say "exit $code: requeued"
  scontrol requeue "$element" || fail "this job cannot be requeued (see above): submit again, it goes on where it was" 1
  rm -rf "$here"
  trap - TERM
  sleep infinity & # Slurm ends us now; an exit of our own could be taken for the job's
  wait
}

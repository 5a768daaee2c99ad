# shellcheck shell=bash
# What the scripts here share: read the site's file, call `job` in the site's runtime, and run it
# until it is done. Source it in the folder that contains slurm/.

# Shell options and CDPATH that the caller exported would change how this script runs. So the script
# starts itself again without them.
case $'\n'$(compgen -e)$'\n' in
  *$'\nSHELLOPTS\n'* | *$'\nBASHOPTS\n'* | *$'\nPOSIXLY_CORRECT\n'* | *$'\nCDPATH\n'*)
    exec env -u SHELLOPTS -u BASHOPTS -u POSIXLY_CORRECT -u CDPATH bash "$0" "$@"
    ;;
esac

set -eo pipefail
# How often to run one task at most. The third error fails a task for good, and so does the tenth end
# without a message. The run after that reports it.
RUNS=11

fail() {
  echo "${0##*/}: $1" >&2
  exit "${2:-78}"
}

# A script that a user runs has its own name. Of a submitted script, Slurm runs a copy that is
# called `slurm_script`.
typed=''
case ${0##*/} in *.sh | *.sbatch) typed=yes ;; esac

# Keep only Slurm's and the system's variables: everything else has its one place in the site's
# file. A script that a user runs inside an interactive job takes nothing from that job.
for name in $(compgen -e); do
  case $name in
    SLURM_CONF | SLURM_CLUSTERS) ;;
    SLURM_*) [ -z "$typed" ] || unset "$name" ;;
    PATH | PWD | HOME | LANG | LC_* | TZ | SBATCH_* | *_VISIBLE_DEVICES | GPU_DEVICE_ORDINAL) ;;
    MODULE* | LMOD_* | LOADEDMODULES | _LMFILES_) ;;
    # Some sites make TMOUT read-only: it cannot be unset.
    *) unset "$name" 2>/dev/null || export -n "${name?}" ;;
  esac
done
# shellcheck source=slurm/site.env
. slurm/site.env || fail "slurm/site.env cannot be read: submit from the folder that contains slurm/"

if [ "${#MODULES[@]}" -gt 0 ]; then
  set +e
  type module >/dev/null 2>&1 || . /etc/profile
  module load "${MODULES[@]}" || fail "module load ${MODULES[*]}: see MODULES in slurm/site.env"
  set -e
fi

# The name of this job or array element for Slurm's commands. SLURM_JOB_ID does not serve: for the
# last element of an array it is the number of the whole array, so a command would mean all
# elements.
element=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
element=${element:-${SLURM_JOB_ID-}}
# By this name, a run of an element takes its task over at once from an earlier run of that element.
# So it has no step number: under srun, each try in a run is another step.
[ -z "$element" ] || export JOB_SCHEDULER_JOB="slurm ${SLURM_CLUSTER_NAME:--} $element"

# On the node, a folder of this user holds the cache. A folder of this job holds everything else
# that is temporary, HOME included.
node=$SCRATCH/job-$UID
(umask 077 && mkdir -p "$node") || fail "SCRATCH = $SCRATCH in slurm/site.env: expected a folder that this user may write to, on $(hostname)"
[ -O "$node" ] || fail "$node belongs to another user: choose another SCRATCH in slurm/site.env"
# Anybody may have made such a link.
[ ! -L "$node" ] || fail "$node is a link: remove it, or choose another SCRATCH in slurm/site.env"
chmod 700 "$node"
here=$node/${element:-login-$$}
mkdir -p "$here" || fail "$here cannot be created on $(hostname): see SCRATCH in slurm/site.env"
trap 'rm -rf "$here"' EXIT
export TMPDIR=$here JOB_CACHE_DIR=${JOB_CACHE_DIR:-$node/cache} JOB_PROGRESS_FILE=$here/progress

# Submit this script, which a user runs, with the options in `site`. Leading arguments that begin
# with a dash are further options for sbatch.
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

# Write the environment for a container into a file, so that no value is on a command line. Leave
# out the variables that the image sets itself.
write_environment() ( # how the runtime reads a quote inside quotes
  umask 077
  quote="'"
  for name in $(compgen -e); do
    case $name in PATH | HOME | LD_LIBRARY_PATH | PWD | OLDPWD | SHLVL | _) continue ;; esac
    [ "$RUNTIME" = apptainer ] || [[ ${!name} != *$'\n'* ]] || fail "$name has several lines: $RUNTIME takes one, correct it in slurm/site.env"
    printf "%s='%s'\n" "$name" "${!name//$quote/$1}"
  done >"$here/environment"
)

# Become `job` in the site's runtime. Call it by name, never by the image's ENTRYPOINT, with an
# empty folder as HOME. `allocation` holds what srun must ask Slurm for: nothing inside a job. srun
# needs --export=ALL, since after sbatch's --export=PATH it would pass on PATH only.
allocation=()
become_job() {
  local bind binds=("$PWD" "$node" "${BINDS[@]}") mounts=
  case $RUNTIME in
    venv)
      [ -x "$VENV/bin/job" ] || fail "VENV = $VENV in slurm/site.env: it contains no bin/job; run 'make env'"
      HOME=$here exec "$VENV/bin/job" "$@"
      ;;
    apptainer)
      write_environment "'\''" || exit # apptainer reads the file as a shell does
      exec apptainer exec --nv --cleanenv --no-home --env-file "$here/environment" "${binds[@]/#/--bind=}" --pwd "$PWD" "$IMAGE" job "$@"
      ;;
    charliecloud)
      write_environment "'" || exit # ch-run drops the outer quotes and reads the rest literally
      # ch-run requires USER, mounts TMPDIR over /tmp, and mounts only on folders that the image
      # has.
      mkdir -p "${binds[@]/#/$IMAGE}" || fail "IMAGE = $IMAGE in slurm/site.env: create these folders in it, as mount points: ${binds[*]}"
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

# Ask the program to leave; fail if it has ended. Never use TERM or USR1: Slurm may have sent it one
# already, and the second signal ends it at once, without a save.
ask() {
  if [ "$RUNTIME" = pyxis ]; then
    # For a job in transition, scancel retries for 95 s (5 + 6 + ... + 14), long after the steps
    # ended.
    timeout 5 scancel --signal=URG "$element" 2>/dev/null || true
    kill -0 "$1" 2>/dev/null
  else
    kill -URG "$1" 2>/dev/null
  fi
}

# Succeed if this job is running and this is its latest run. A node that Slurm took for lost may be
# alive, with an earlier run on it. Retry while the controller does not answer.
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

# Run `job "$@"` once and set `code` to its exit code. When this script is `asked` to leave, ask
# `job`.
run_once() {
  local child
  become_job "$@" &
  child=$!
  # If the request came between two runs, the new one is asked as soon as it can receive a signal.
  [ -n "$asked" ] || { wait "$child" && code=0 || code=$?; }
  [ -n "$asked" ] || return 0
  say "asked to leave"
  while ask "$child"; do sleep 0.5; done # a process that is just starting ignores the signal
  wait "$child" && code=0 || code=$?
  # 128+n: the signal itself ended a process that had not installed its handlers yet.
  case $code in 0 | 2 | 69 | 70 | 78) ;; *) code=75 ;; esac
}

# Run `job "$@"` until it is done. On 69 and 75, requeue this element: another run can continue.
# Retry an error or an end without a message here, until the task fails for good; otherwise the next
# stages would wait forever. Every other exit code is final. This works with and without the
# administrator's RequeueExit: the script requeues itself while it runs, and exits with neither
# code.
until_done() {
  local asked='' code runs=0 fruitless=$OUT/restarts/$element
  rm -f "$JOB_PROGRESS_FILE"
  trap 'asked=yes' USR1 TERM INT # each of these ends `wait` early
  while run_once "$@"; do
    case $code in
      0 | 2 | 70 | 78) rm -f "$fruitless" && exit "$code" ;;
      69 | 75) break ;;
    esac
    if [ -e "$JOB_PROGRESS_FILE" ]; then runs=0; fi
    rm -f "$JOB_PROGRESS_FILE"
    runs=$((runs + 1))
    [ "$runs" -lt "$RUNS" ] || exit "$code"
    say "exit $code: retrying"
  done
  if ! running; then
    say "exit $code, and the job is already cancelled or requeued: not requeued here"
    exit 143
  fi
  mkdir -p "${fruitless%/*}"
  if [ -e "$JOB_PROGRESS_FILE" ]; then rm -f "$fruitless"; else echo "$code" >>"$fruitless"; fi
  if [ -e "$fruitless" ] && [ "$(wc -l <"$fruitless")" -gt "$RESTARTS" ]; then
    rm -f "$fruitless"
    say "exit $code, run $((RESTARTS + 1)) in a row without progress: not requeued; see above what it waits for, then submit again"
    exit 1
  fi
  say "exit $code: requeued"
  scontrol requeue "$element" || fail "this job cannot be requeued (see above): submit it again and it resumes" 1
  rm -rf "$here"
  trap - TERM
  # Slurm ends this script now. If it exited by itself, Slurm could take that for the job's end.
  sleep infinity &
  wait
}

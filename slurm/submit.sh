#!/usr/bin/env bash
# Submit an experiment to Slurm, from its data to its report. Slurm does the rest: nothing keeps
# running on the login node.

# Shell options and CDPATH that the caller exported would change how this script runs. So the script
# starts itself again without them.
case $'\n'$(compgen -e)$'\n' in
  *$'\nSHELLOPTS\n'* | *$'\nBASHOPTS\n'* | *$'\nPOSIXLY_CORRECT\n'* | *$'\nCDPATH\n'*)
    exec env -u SHELLOPTS -u BASHOPTS -u POSIXLY_CORRECT -u CDPATH bash "$0" "$@"
    ;;
esac

usage() {
  cat <<'END'
slurm/submit.sh EXPERIMENT.toml [options]

  --throttle P     at most P tasks of a stage at a time
  --count K        K tasks in turn in each array element, for trials shorter than a process start
  --prepare-job    prepare in a job as well, not here on the login node
  --dry-run        print every sbatch line, submit nothing
  --partition, --account, --qos, --time VALUE    for every job; they override slurm/site.env

slurm/site.env says where things are and how jobs run. If you submit an experiment again, it
continues with the tasks that are not decided yet.
END
}

shell=$(compgen -e | grep -E '^(JOB|AWS)_' | tr '\n' ' ')
from=$PWD
cd "$(dirname "$0")/.." || exit 78
. slurm/run.sh

# --- the arguments
experiment='' throttle='' count=1 prepare_job='' dry='' ours=()
number() {
  [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "$1 '$2': expected a whole number from 1" 2
}
while [ $# -gt 0 ]; do
  case $1 in --*=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;; esac
  case $1 in
    -h | --help) usage && exit ;;
    --prepare-job) prepare_job=yes ;;
    --dry-run) dry=yes ;;
    --throttle) number "$1" "${2-}" && throttle=$2 && shift ;;
    --count) number "$1" "${2-}" && count=$2 && shift ;;
    --partition | --account | --qos | --time)
      [ -n "${2-}" ] || fail "$1: expected a value" 2
      ours+=("$1=$2") && shift
      ;;
    -*) fail "unknown option '$1': see slurm/submit.sh --help; other options of sbatch go into slurm/site.env" 2 ;;
    *)
      [ -z "$experiment" ] || fail "one experiment at a time, not '$experiment' and '$1'" 2
      experiment=$(cd "$from" && realpath "$1")
      ;;
  esac
  shift
done
[ -n "$experiment" ] || fail "which experiment? slurm/submit.sh EXPERIMENT.toml; see --help" 2

# --- report now what would fail later
[ -z "$shell" ] || echo "submit.sh: ignored: ${shell}of this shell; only slurm/site.env says where things are" >&2
private() { # name of the file in the message, path: fail unless only its owner can read it
  [ -e "$2" ] || fail "$1 = $2: no such file; write it with mode 0600, or run slurm/services.sbatch and wait for it"
  case $(stat -L -c %a "$2") in
    ?00) ;;
    *) fail "$1 = $2: mode $(stat -L -c %a "$2"), others can read the secret in it: chmod 600 $2" ;;
  esac
}
if [ -z "$dry" ]; then
  for name in JOB_DATABASE_URL_FILE JOB_STORE_URL_FILE AWS_SHARED_CREDENTIALS_FILE; do
    [ -z "${!name-}" ] || private $name "${!name}"
  done
  [ -z "${JOB_DATABASE_URL-}${AWS_SECRET_ACCESS_KEY-}" ] || private "the file with a secret" slurm/site.env
fi
most=$(scontrol show config | awk '$1 == "MaxArraySize" { print $3 }') || fail "scontrol does not answer: is this a login node of a Slurm cluster?"
[ "${most:-0}" -gt 0 ] || fail "MaxArraySize = ${most:-unknown} in Slurm's configuration: expected 1 or more, since submit.sh needs job arrays"

allocation=("${CPU_OPTIONS[@]}" "${ALL_OPTIONS[@]}" "${ours[@]}")
run() (become_job "$@")
plan=$(run plan "$experiment")
of_plan() { awk -v name="$1" '$1 == name { print $2 }' <<<"$plan"; }
name=$(of_plan experiment)
logs=$OUT/$name/logs

# --- the jobs, each stage after the one before. If one cannot be submitted, cancel the others
submitted=() complete=''
undo() {
  [ -n "$complete" ] || [ ${#submitted[@]} -eq 0 ] || { scancel "${submitted[@]}" && echo "submit.sh: cancelled: ${submitted[*]}" >&2; }
  rm -rf "$here"
}
trap undo EXIT
trap 'exit 130' INT TERM HUP

submit() { # the id that a dry run prints, arguments of sbatch...: set `id`
  local line=(sbatch --parsable "${@:2}") text
  if [ -n "$dry" ]; then
    id=$1
    text=$(printf ' %q' "${line[@]}")
    text=${text//\\,/,}
    echo "${text# }"
    return
  fi
  id=$("${line[@]}")
  id=${id%%;*}
  submitted+=("$id")
}

after() { # dependencies...: add them to `options`
  local IFS=,
  [ $# -eq 0 ] || options+=("--dependency=$*" --kill-on-invalid-dep=yes)
}

[ -n "$dry" ] || mkdir -p "$logs"
prepared=() before=()
if [ -n "$prepare_job" ]; then
  submit PREPARE "${allocation[@]}" --job-name="$name-prepare" --output="$logs/%x-%j.log" \
    slurm/cpu.sbatch prepare "$experiment"
  prepared=("afterok:$id")
elif [ -n "$dry" ]; then
  printf 'job prepare %q\n' "$experiment"
else
  run prepare "$experiment"
fi

for stage in features trial fold final; do
  elements=$((($(of_plan $stage) + count - 1) / count))
  chunks=$(((elements + most - 1) / most)) ids=()
  # Slurm's throttle limits one array. So the arrays are dealt to lanes, which share the throttle.
  # In a lane, one array runs after the other.
  lanes=$((throttle > 0 && throttle < chunks ? throttle : chunks))
  for ((first = 0; first < elements; first += most)); do
    last=$((elements - first < most ? elements - first - 1 : most - 1))
    chunk=$((first / most))
    limit=${throttle:+%$(((throttle + lanes - 1 - chunk % lanes) / lanes))}
    options=("${TASK_OPTIONS[@]}" "${ALL_OPTIONS[@]}" "${ours[@]}" --job-name="$name-$stage" --output="$logs/%x-%A_%a.log")
    lane=()
    [ $chunk -lt $lanes ] || lane=("afterany:${ids[chunk - lanes]}")
    after "${prepared[@]}" "${before[@]}" "${lane[@]}"
    variables=("JOB_EXPERIMENT=$name")
    [ $first -eq 0 ] || variables+=("JOB_INDEX_OFFSET=$first")
    counted=()
    [ "$count" -eq 1 ] || counted=(--count "$count")
    label=${stage^^}
    [ "$chunks" -eq 1 ] || label+=_$chunk
    submit "$label" --array="0-$last$limit" "${options[@]}" slurm/task.sbatch "${variables[@]}" $stage "${counted[@]}"
    ids+=("$id")
  done
  [ ${#ids[@]} -eq 0 ] || before=("afterany$(printf ':%s' "${ids[@]}")")
done
options=("${allocation[@]}" --job-name="$name-report" --output="$logs/%x-%j.log")
after "${prepared[@]}" "${before[@]}"
submit REPORT "${options[@]}" slurm/cpu.sbatch "JOB_EXPERIMENT=$name" report --out "$OUT/$name/report"
complete=yes
[ -n "$dry" ] || printf '%s\n' "$name is submitted: ${submitted[*]}" "logs:   $logs" "report: $OUT/$name/report/index.html" "cancel: scancel ${submitted[*]}"

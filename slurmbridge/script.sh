
tf_begin=0 tf_passed=0 tf_asked=0 tf_step='' tf_scratch='' tf_pid='' tf_guard='' tf_draining=''
printf -v tf_begin '%(%s)T' -1

# record tells the task why there is no worker.
record() {
	tail -n 20 -- "$tf_log" 2>/dev/null |
		"$tf_worker" setup-failed --spool "$tf_spool" --id "$tf_id" --type "$1" --what "$2" --code "$3"
}

# ended runs at the end of the script, whatever ends it: a setup command as long as tf_step has its number.
ended() {
	local code=$?
	trap '' TERM URG USR2
	set +eu
	if [[ $code -ne 0 && $code -ne 143 && -z $tf_draining ]]; then # 143 is SIGTERM: the job is being cancelled
		if [[ $tf_step ]]; then
			record SetupCommandFailed "setup command \`${tf_setup[tf_step - 1]}\`" "$code"
		elif [[ $tf_image && ! -e $tf_spool/workers/$tf_id ]]; then
			record ContainerFailed "container $tf_image" "$code"
		fi
	fi
	[[ -z $tf_scratch ]] || rm -rf -- "$tf_scratch"
	exit "$code"
}
trap ended EXIT
trap 'exit 143' TERM USR2

if [[ $tf_image ]]; then
	for tf_dir in "${SLURM_TMPDIR-}" "${TMPDIR-}" /tmp; do
		[[ $tf_dir ]] && tf_scratch=$(mktemp -d -- "$tf_dir/tigerflow.XXXXXXXX" 2>/dev/null) && break
	done
	[[ $tf_scratch ]] || { echo "no scratch folder can be made below TMPDIR or /tmp of ${HOSTNAME-}" >&2 && exit 1; }
	set -e
	for ((tf_step = 1; tf_step <= ${#tf_setup[@]}; tf_step++)); do
		eval "${tf_setup[tf_step - 1]}"
	done
	set +eum # with job control setsid forks
	tf_step=''
	trap ended EXIT # a setup command may have its own
	# --cleanenv lets through nothing else.
	for tf_name in CUDA_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES HIP_VISIBLE_DEVICES GPU_DEVICE_ORDINAL ZE_AFFINITY_MASK \
		OMP_NUM_THREADS "${!SLURM_@}" "${!TIGERFLOW_@}"; do
		[[ -z ${!tf_name+set} ]] || export "APPTAINERENV_$tf_name=${!tf_name}"
	done
	export APPTAINERENV_TIGERFLOW_CONTAINER=1 APPTAINERENV_TMPDIR=/tmp APPTAINER_NO_EVAL=1
fi

# passed sets tf_passed to how many seconds of the job's time are over. Slurm counts from before this script; a clock that
# is far off says nothing.
passed() {
	local now since
	printf -v now '%(%s)T' -1
	tf_passed=$((now - tf_begin))
	since=$((now - ${SLURM_JOB_START_TIME:-$now}))
	((since <= tf_passed || since > tf_passed + 300)) || tf_passed=$since
}

# drain asks the worker to end, once, and sees to it that it does.
drain() {
	tf_draining=1
	[[ $tf_pid ]] && ((tf_asked++ == 0)) || return # in one step: a trap may come between any two
	kill -TERM "$tf_pid"
	{
		read -rt "$tf_drain" <> <(:)
		kill -TERM "$tf_pid" # a second one ends it with all that it has in hand
		read -rt 10 <> <(:)
		kill -KILL "$tf_pid"
	} 2>/dev/null &
	tf_guard=$!
}

# killed ends the worker at once.
killed() {
	tf_draining=1
	[[ -z $tf_pid ]] || kill -KILL "$tf_pid"
}

# warned hears that the job's time ends. The worker knows and uses all of it, unless somebody has cut it short.
warned() {
	passed
	[[ -z $tf_pid ]] || ((tf_wall - tf_passed <= tf_lead + 90)) || kill -TERM "$tf_pid" # Slurm may be a minute early
}

passed
trap drain TERM
trap warned URG
trap killed USR2
tf_run &
tf_pid=$!
[[ -z $tf_draining ]] || drain
while kill -0 "$tf_pid" 2>/dev/null; do
	wait "$tf_pid" # signals end it, too
	tf_code=$?
done
tf_ended=$tf_pid tf_pid='' # nobody is there to be signaled any more
[[ -z $tf_guard ]] || kill "$tf_guard" 2>/dev/null
# Bash never learns how a child has ended if a signal comes at that moment: to ask again would be to wait for all others.
[[ $'\n'$(jobs -rp)$'\n' == *$'\n'$tf_ended$'\n'* ]] || { wait "$tf_ended"; tf_code=$?; }
"$tf_worker" sweep --id "$tf_id" # not every cluster finds what has left the job's process group
exit "$tf_code"

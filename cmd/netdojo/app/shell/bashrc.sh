# The start file of netdojo's shell: the user's own first, then the cluster.
case $- in
*i*) if [ -f ~/.bashrc ]; then . ~/.bashrc; fi ;;
esac
unset BASH_ENV
export KUBECONFIG="$NETDOJO_SHELL_DIR/kubeconfig"
export NETDOJO_CLUSTER="$NETDOJO_SHELL_CLUSTER"
unset NETDOJO_SHELL_CLUSTER
# In netdojo's shell pane: mark where the prompt ends and a command begins
# (OSC 133), so that the pane knows when it may press Enter.
__netdojo_marks=$NETDOJO_PANE
unset NETDOJO_PANE
if [ -d "$NETDOJO_SHELL_DIR/bin" ]; then
	PATH="$NETDOJO_SHELL_DIR/bin:$PATH"
fi

# __netdojo_where prints CONTEXT|NAMESPACE from the kubeconfig as kubectl writes
# it. It starts no program: a prompt must not wait.
__netdojo_where() {
	local line section='' current='' namespace='' found=default
	[ -r "$KUBECONFIG" ] || return 0
	while IFS= read -r line; do
		case $line in
		current-context:*) current=${line#current-context: } ;;
		esac
	done <"$KUBECONFIG"
	while IFS= read -r line; do
		case $line in
		'- context:'*) namespace='' ;;
		'    namespace: '*) namespace=${line#*namespace: } ;;
		'  name: '*)
			if [ "$section" = contexts ] && [ "${line#  name: }" = "$current" ]; then
				found=${namespace:-default}
			fi
			;;
		[a-zA-Z]*) section=${line%%:*} ;;
		esac
	done <"$KUBECONFIG"
	printf '%s|%s' "${current//\"/}" "${found//\"/}"
}

# The prompt shows the end of the folder: the lab's is deep down.
PROMPT_DIRTRIM=${PROMPT_DIRTRIM:-1}

__netdojo_prompt() {
	local where
	where=$(__netdojo_where)
	if [ -n "$NO_COLOR" ] || [ "$TERM" = dumb ]; then
		PS1="($where) \w \\$ "
	else
		PS1="\[\e[36m\]($where)\[\e[0m\] \w \\$ "
	fi
	if [ -n "$__netdojo_marks" ]; then
		PS1="$PS1\[\e]133;B\a\]" PS0='\e]133;C\a'
	fi
}

case $- in
# A new line, as the user's own may end with a semicolon.
*i*) PROMPT_COMMAND="${PROMPT_COMMAND:+$PROMPT_COMMAND$'\n'}__netdojo_prompt" ;;
esac

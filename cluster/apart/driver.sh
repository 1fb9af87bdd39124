# The loop of a page's shell: a command, ended by NUL, comes by descriptor 3, and its
# exit code goes by 4. A mark on the terminal, by 5, ends what the command shows.
# Commands have none of the three.
shopt -s expand_aliases
trap : INT
exec 5>&1
while IFS= read -r -d '' -u 3 __netdojo_text; do
  eval "$__netdojo_text" 3<&- 4>&- 5>&-
  __netdojo_code=$?
  printf '\036netdojo end\036' >&5
  echo "$__netdojo_code" >&4 || exit
done

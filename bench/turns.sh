# Sourced by tools/bench: what a row of the table is, and how all that stand in
# it take turns.

# row TITLE UNIT
row()
{
	title=$1 unit=$2
	names=() goals=() commands=()
}

# beside NAME GOAL COMMAND...: the command prints a number; ours is the first,
# and the goal is one for ours as a multiple of this one
beside()
{
	names+=("$1") goals+=("$2")
	shift 2
	commands+=("$*")
}

# Lets all take turns, and prints the row.
take_turns()
{
	local round i value
	rm -f "$work"/values.*
	for round in $(seq "$ROUNDS"); do
		for i in "${!commands[@]}"; do
			printf '\r\033[K%s: %s, round %s of %s' "$title" "${names[i]}" \
				"$round" "$ROUNDS" >&2
			value=$(${commands[i]}) && is_number "$value" || {
				printf '\nfailed: %s\n' "${commands[i]}" >&2
				tail -q -n 20 "$work"/{psql,pgbench,node}.log >&2
				exit 1
			}
			echo "$value" >>"$work/values.$i"
		done
	done
	printf '\r\033[K' >&2
	for i in "${!commands[@]}"; do
		paste "$work/values.0" "$work/values.$i" |
			awk -f "$bench/spread.awk" -v "title=$title" \
				-v "unit=$unit" -v "name=${names[i]}" -v "goal=${goals[i]}" \
				-v "first=$((i == 0))"
	done | tee -a "$work/results" |
		awk -f "$bench/table.awk"
}

is_number()
{
	[[ $1 =~ ^[0-9]+(\.[0-9]+)?$ ]]
}

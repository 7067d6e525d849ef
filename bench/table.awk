# Prints lines of the results as a table; with heading=1 its first line.

function number(value)
{
	return sprintf(value >= 100 ? "%.0f" : "%.2f", value)
}

function is_met(ratio, goal,	parts)
{
	split(goal, parts, " ")
	return parts[1] == ">=" ? ratio >= parts[2] : ratio <= parts[2]
}

BEGIN {
	FS = "\t"
	if (heading)
		printf "%-50s %10s   %s\n", "", "median", "ours as a multiple: min, median, max; goal"
}

$1 != title {
	title = $1
	printf "%s (%s)\n", $1, $2
}

$6 == "" {
	printf "  %-48s %10s\n", $3, number($5)
	next
}

{
	printf "  %-48s %10s   %6s %6s %6s", $3, number($5), number($6), number($7), number($8)
	if ($4 != "")
		printf "   %-7s %s", $4, is_met($7, $4) ? "met" : "missed"
	print ""
}

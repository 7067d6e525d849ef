# Reads ours and another's numbers of each round, prints a line of the results,
# tab-separated: title, unit, name, goal, the other's median, and minimum, median
# and maximum of ours as a multiple of the other's, or nothing if first.

function sorted(values, count,	i, j, value)
{
	for (i = 2; i <= count; i++) {
		value = values[i]
		for (j = i - 1; j > 0 && values[j] > value; j--)
			values[j + 1] = values[j]
		values[j + 1] = value
	}
}

{
	other[NR] = $2
	# nothing beside nothing is the same
	ratio[NR] = $2 ? $1 / $2 : $1 ? "inf" : 1
}

END {
	middle = int((NR + 1) / 2)
	sorted(other, NR)
	sorted(ratio, NR)
	OFS = "\t"
	if (first)
		print title, unit, name, goal, other[middle], "", "", ""
	else
		print title, unit, name, goal, other[middle], ratio[1], ratio[middle], ratio[NR]
}

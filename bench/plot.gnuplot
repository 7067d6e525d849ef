# Draws the results: output and results name the files.
set terminal svg noenhanced size 900,1120 font 'sans-serif,12' background '#ffffff'
set output output
set datafile separator tab
unset key
set style line 1 linecolor '#1f5fa8' linewidth 2 pointtype 7 pointsize 0.7
set grid xtics linecolor '#dddddd'
set multiplot

# Rows with something beside them: the median ratio, and its spread.  Where less
# is better, the ratio is turned round.
less = "is_less = ($2 ~ /^(ms|bytes|kB)/)"
ratios = sprintf("<awk -F '\\t' '$6 != \"\" && $1 !~ /^(new claims|claim.*connection|.*connections|claim, request|HOT)/ \
	{ %s; print (is_less ? 1 / $8 : $6) FS (1 / 1) * (is_less ? 1 / $7 : $7) FS (is_less ? 1 / $6 : $8) FS $1 \": \" $3 }' '%s'", less, results)

set origin 0, 0.3
set size 1, 0.7
set label 'How many times as good as what stands beside it: median, least and most' at screen 0.5, 0.985 center
set logscale x 10
set xrange [*:*]
set yrange [] reverse
set ytics font ',10' scale 0
set xtics (0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
set lmargin 62
set tmargin 3
set offsets 0, 0, 0.7, 0.7
set arrow from 1, graph 0 to 1, graph 1 nohead linecolor '#888888' dashtype 2
plot ratios using 2:0:1:3:ytic(4) with xerrorbars linestyle 1
unset arrow
unset label
unset offsets

# The curves: what is left of the throughput as it grows.
set yrange [0:*] noreverse
set ytics autofreq font ',11'
set format y '%.0s%c'
set lmargin 8
set size 0.33, 0.28
set grid ytics linecolor '#dddddd'
set xtics autofreq font ',10'
set format x '%.0s%c'
set autoscale x

# the number in the name, or the one of the title where the row begins
curve(pattern) = sprintf("<awk -F '\\t' '$1 ~ /%s/ { text = $6 == \"\" ? $1 : $3; \
	if (match(text, /[0-9]+/)) print substr(text, RSTART, RLENGTH) FS $5 }' '%s'", pattern, results)

set origin 0, 0.01
set title 'claims/s among as many keys'
plot curve('^new claims among') using 1:2 with linespoints linestyle 1

set origin 0.33, 0.01
set title 'claim + complete/s, connections'
set format x '%g'
set xtics (1, 4, 16, 64)
plot curve('^claim . complete, 1 connection') using 1:2 with linespoints linestyle 1

set origin 0.66, 0.01
set title 'claims/s, bytes of the request'
set xtics autofreq
set format x '%.0s%c'
set logscale y
set yrange [*:*] noreverse
plot sprintf("<awk -F '\\t' '$1 ~ /^claim, request/ && $6 == \"\" { match($1, /[0-9]+/); print substr($1, RSTART, RLENGTH) FS $5 }' '%s'", results) \
	using 1:2 with linespoints linestyle 1
unset multiplot

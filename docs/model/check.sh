#!/usr/bin/env bash
# Checks the models: each row must have the outcome that it names. The violations are negative
# controls: a rule is left out, and the checker must notice. Needs spin and gcc. Takes about three
# minutes on an idle core.
set -u
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
limit=${MODEL_TIMEOUT:-300} # seconds for one row
failed=0

row() { # model outcome [flags]: a search for violations goes breadth first, which soon finds short ones
  local model=$1 want=$2 flags=${3-} search='' dir out got=unfinished
  dir=$(mktemp -d "$work/row.XXXXXX")
  [ "$want" = violated ] && search=${SEARCH--DBFS}
  cp "$here/$model.pml" "$dir/m.pml"
  (cd "$dir" && spin $flags -a m.pml && gcc -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=4000 $search -o pan pan.c) >"$dir/log" 2>&1 ||
    { cat "$dir/log"; failed=1; return; }
  out=$(cd "$dir" && timeout "$limit" ./pan -m100000 -w22 2>&1)
  if grep -q -e 'assertion violated' -e 'invalid end state (' <<<"$out"; then got=violated
  elif grep -q 'errors: 0' <<<"$out" && ! grep -q -e 'depth too small' -e 'max states' -e 'out of memory' <<<"$out"; then got=holds; fi
  printf '%-6s want %-9s got %-10s %9s states  %s\n' "$model" "$want" "$got" \
    "$(awk '/states, stored/ {print $1; exit}' <<<"$out")" "$flags"
  rm -rf "$dir"
  [ "$got" = "$want" ] || failed=1
}

row token holds    ""
row token holds    "-DSTART=3"
row token holds    "-DTWICE"
row token holds    "-DREJOIN"
row token holds    "-DBLOCK=3"
row token holds    "-DN=4 -DGROW=3"
row token holds    "-DA=3 -DWON -DSERIAL -DREJOIN -DCLOCKS -DLOSE"
row token holds    "-DMOVES"
row token holds    "-DBLOCK=2 -DMOVES"
row token holds    "-DBLOCK=6 -DTURNS=2 -DAHEAD=2 -DCLOCKS -DLOSE -DWAIT=2"
row token violated "-DNOEQUAL"
row token violated "-DNOOWNER"
row token violated "-DREJOIN -DBLOCK=2 -DNORAISED"
row token violated "-DBLOCK=3 -DUNWRITTEN"
row token violated "-DBLOCK=3 -DNOBLOCKTOP"
SEARCH= row token violated "-DBLOCK=3 -DTWICE"
row token violated "-DMOVES -DNOSAMESERVER"
row token violated "-DBLOCK=2 -DMOVES -DNOSAMEBLOCK"
row token violated "-DBLOCK=6 -DTURNS=2 -DCLOCKS -DLOSE -DWAIT=2"
row token violated "-DN=5 -DGROW=3"
row token violated "-DLOSE"
row token violated "-DCLOCKS -DLOSE -DNORULE"
row token violated "-DCLOCKS -DLOSE -DNODELAG"
row token violated "-DA=3 -DWON -DSERIAL -DREJOIN -DCLOCKS -DLOSE -DNOKEEPRULE"

row owner holds    ""
row owner holds    "-DBARGE"
row owner violated "-DFEW"
row owner violated "-DONEID"
row owner violated "-DANYRELEASE"
row owner violated "-DANYLEAVE"
row owner violated "-DNOTICE"
row owner violated "-DHANDLATE"

row lease holds    "-DEND=3"
row lease holds    "-DEND=3 -DREJOIN -DEXTENDS=1"
row lease holds    "-DEND=3 -DRESTARTS=1 -DGUARD=2 -DEXTENDS=0"
row lease holds    "-DEND=3 -DRESTARTS=1 -DGUARD=2 -DREJOIN -DEXTENDS=1"
row lease holds    "-DEND=2 -DRESTARTS=1 -DGUARD=2 -DREJOIN -DEXTENDS=1 -DHASTY"
row lease violated "-DEND=2 -DRESTARTS=1 -DGUARD=2 -DREJOIN -DEXTENDS=1 -DHASTY -DEARLYREJOIN"
row lease violated "-DFROMREPLY"
row lease violated "-DANYOWNER"
row lease violated "-DRECREATE"
row lease violated "-DLINGER"
row lease violated "-DREVIVE"
row lease violated "-DEARLY"
row lease violated "-DRESTARTS=1"
row lease violated "-DRESTARTS=1 -DGUARD=1"
row sets  holds    ""
row sets  violated "-DKEEP"
row sets  violated "-DASGIVEN"

row sem holds    ""
row sem holds    "-DPICK"
row sem violated "-DCOUNTER"
row sem violated "-DMIXED"
row sem violated "-DANYFREE"
row sem violated "-DSTRAY"
row sem violated "-DVANISH"

row rw holds    ""
row rw violated "-DEND=3 -DCOUNT"
row rw violated "-DEND=3 -DNOMAX"
row rw violated "-DEND=3 -DFIRSTONLY"
row rw violated "-DEND=3 -DANYLEAVE"
row rw violated "-DEND=3 -DONENODE"
row rw violated "-DEND=3 -DEARLY"

row rwtoken holds    ""
row rwtoken holds    "-DSTART=3"
row rwtoken holds    "-DW=2 -DSERIAL"
row rwtoken violated "-DSTART=3 -DNOREPAIR"
exit $failed

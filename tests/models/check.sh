#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs the models with SPIN: those of the protocols must verify, every mutant
# must fail. One core, at most 2 GB and a limit of CPU time for each row.
#
#   check.sh [quick] [MODEL...]
#
# quick leaves out the heavy rows (about 4 minutes, for tools/test). LIMIT: the
# CPU seconds a row may take. Prints a table and, at the end, "N passed, N failed".
# Exit status: 0 all as expected, 1 a row was not, 2 no spin or no gcc.
set -u
src=$(cd "$(dirname "$0")" && pwd) || exit 2
quick=0
if [ "${1:-}" = quick ]; then
	quick=1
	shift
fi
only=" $* "
limit=${LIMIT:-$((quick ? 90 : 240))}
for tool in spin gcc; do
	if ! command -v "$tool" >/dev/null; then
		echo "check.sh: $tool is missing: apt-get install spin gcc" >&2
		exit 2
	fi
done
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 2
passed=0
failed=0
echo "| model | options | states | seconds | verdict |"
echo "|---|---|---|---|---|"

# row MODEL OPTIONS ok|fail|np: np looks for infinite runs and must verify
row()
{
	local model=$1 opts=$2 want=$3
	local gflags="-O0 -DSAFETY" pflags="-m100000" t0=$SECONDS
	local errors states verdict right=0

	if [ "$only" != "  " ] && [[ $only != *" $model "* ]]; then
		return
	fi
	rm -f pan pan.* ./*.trail log out
	cp "$src/$model.pml" m.pml
	if [ "$want" = np ]; then
		gflags="-O1 -DNP"
		pflags="-l -m100000"
	elif [ "$want" = ok ]; then
		gflags="-O2 -DSAFETY"
	fi
	# The options are words.
	# shellcheck disable=SC2086
	if ! { spin -a $opts m.pml && gcc -w $gflags -DCOLLAPSE \
		-DMEMLIM=2000 -DVECTORSZ=2048 -o pan pan.c; } >log 2>&1; then
		sed 's/^/    /' log | head -5
		verdict="does not compile"
	else
		# shellcheck disable=SC2086
		(ulimit -t "$limit" && exec nice ./pan $pflags) >out 2>&1
		errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' out)
		states=$(sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p' out)
		if [ "${errors:-0}" != 0 ]; then
			verdict="fails: $(sed -n 's/^pan:1: \(.\{1,48\}\).*/\1/p' out |
				tr '|' '/')"
			[ "$want" = fail ] && right=1
		elif [ -z "$errors" ] ||
			grep -q "MEMLIM bound\|search depth too small" out; then
			verdict="not finished"
		else
			verdict="verified"
			[ "$want" != fail ] && right=1
		fi
	fi
	if [ $right = 1 ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		verdict="WRONG: $verdict"
	fi
	opts=${opts//-D/}
	[ "$want" = np ] && opts="$opts np"
	echo "| $model | $opts | ${states:-?} | $((SECONDS - t0)) | $verdict |"
}

ok()
{
	row "$1" "$2" ok
}

np()
{
	row "$1" "$2" np
}

heavy_ok()
{
	[ $quick = 1 ] || ok "$@"
}

# mutants MODEL OPTIONS MUTANT...
mutants()
{
	local model=$1 opts=$2 m

	shift 2
	for m in "$@"; do
		row "$model" "$opts -DM_$m" fail
	done
}

heavy_mutants()
{
	[ $quick = 1 ] || mutants "$@"
}

# ---- hold_free ----
mutants hold_free "-DKILLS=1" NORECHECK NODIRTY ORDER NOREDO TOUCHED BLKSTORE \
	DELEGATE PLAINUNLOCK EARLYBIT NOOFFLIST OFFNOLOCK OFFNOSWEEP TAGFIRST \
	LOCFIRST LOOKOLD MYLOCK
mutants hold_free "-DKILLS=0 -DNE=2" BLINDPUSH
mutants hold_free "-DKILLS=0 -DMAXOPS=4 -DMAXG=4" WRAP
mutants hold_free "-DKILLS=1 -DHINTS" NOBIAS
mutants hold_free "-DKILLS=2" ONEDEAD
mutants hold_free "-DKILLS=0 -DCREATE=1" FREEOWNED
heavy_mutants hold_free "-DKILLS=1 -DMAXOPS=3" OFFNOGEN
ok hold_free "-DKILLS=1"
ok hold_free "-DKILLS=0 -DCREATE=1"
np hold_free "-DKILLS=0"
heavy_ok hold_free "-DKILLS=1 -DCREATE=1"
heavy_ok hold_free "-DKILLS=1 -DHINTS"
heavy_ok hold_free "-DKILLS=1 -DNE=2"
heavy_ok hold_free "-DKILLS=1 -DRKILLS=1"
heavy_ok hold_free "-DKILLS=2"

# ---- seal_wait ----
mutants seal_wait "-DCQ=0" STORE NORECHECK BELLAFTER PLAINUNLOCK WAKEONLY \
	FLAGFIRST MYLOCK NOLOCK
mutants seal_wait "-DCQ=0 -DROUNDS=2" NOUSE
mutants seal_wait "-DCQ=0 -DCANCEL=0 -DLOOKER=1 -DKILLS=0" NODELEGATE
mutants seal_wait "-DCQ=0 -DCANCEL=0 -DLOOKER=1" LOSTSKIP
mutants seal_wait "-DCQ=1 -DCANCEL=0 -DGIVEUP=0" NORECHECK CLEARFIRST \
	NOTIFYLATE ONCE ROOTFIRST
mutants seal_wait "-DCQ=1 -DCANCEL=0" PLAINFIRE
mutants seal_wait "-DCQ=1 -DCANCEL=0 -DGIVEUP=0 -DKILLS=0" BITSLATE
mutants seal_wait "-DCQ=1 -DNE=2 -DCANCEL=0 -DGIVEUP=0 -DKILLS=0" BOTTOMUP
mutants seal_wait "-DCQ=1 -DNE=2 -DALL=1 -DCANCEL=0 -DGIVEUP=0 -DKILLS=0" \
	OWNTICKET TICKETFIRST
ok seal_wait "-DCQ=0 -DCANCEL=0 -DLOOKER=1 -DGIVEUP=0"
ok seal_wait "-DCQ=1 -DCANCEL=0 -DGIVEUP=0"
ok seal_wait "-DCQ=1 -DNE=2 -DCANCEL=0 -DGIVEUP=0 -DKILLS=0"
ok seal_wait "-DCQ=1 -DNE=2 -DALL=1 -DCANCEL=0 -DGIVEUP=0 -DKILLS=0"
np seal_wait "-DCQ=0 -DKILLS=0 -DGIVEUP=0"
np seal_wait "-DCQ=1 -DKILLS=0 -DGIVEUP=0 -DCANCEL=0"
heavy_ok seal_wait "-DCQ=0 -DCANCEL=0 -DLOOKER=1"
heavy_ok seal_wait "-DCQ=0"
heavy_ok seal_wait "-DCQ=1 -DNE=2 -DALL=1 -DCANCEL=0 -DGIVEUP=0"
heavy_ok seal_wait "-DCQ=0 -DCANCEL=0 -DROUNDS=2"
heavy_ok seal_wait "-DCQ=0 -DOWNED=1 -DGIVEUP=0"
heavy_ok seal_wait "-DCQ=0 -DOWNED=1 -DCANCEL=0 -DLOOKER=1 -DGIVEUP=0"
heavy_ok seal_wait "-DCQ=1 -DCANCEL=0"
heavy_ok seal_wait "-DCQ=1 -DKILLS=0"
heavy_ok seal_wait "-DCQ=1 -DCANCEL=0 -DGIVEUP=0 -DRKILLS=1"

# ---- spill ----
mutants spill "-DKILLS=0" NOLOOK VIEWFIRST BITLATE
mutants spill "-DKILLS=1" VALIDLATE NOOLD FILELATE VALIDSTAYS NOVALID UNDOFILE
mutants spill "-DKILLS=1 -DNV=1 -DMOVER" MVREMOVE MVNOLOCK
ok spill "-DKILLS=1"
ok spill "-DKILLS=1 -DNV=1 -DMOVER"
ok spill "-DKILLS=1 -DNV=1 -DROUNDS=3 -DRKILLS=1"
heavy_ok spill "-DKILLS=2 -DRKILLS=1"

# ---- cancel ----
mutants cancel "" BLINDRETRY NOENDCHILD BLINDTAKE NOREAPCHILD
ok cancel ""

# ---- bundle ----
mutants bundle "-DCOMES=0 -DKILLS=0" NOOTHERS OUTFIRST NOVERSION
mutants bundle "-DCOMES=0 -DSTOPS=0" NOMARK
mutants bundle "-DSTOPS=0 -DKILLS=0 -DROOM=1 -DNT=4" LOOKFIRST NOBACK
ok bundle "-DCOMES=0 -DSTOPS=0"
ok bundle "-DCOMES=0 -DKILLS=0"
ok bundle "-DSTOPS=0 -DKILLS=0 -DROOM=1 -DNT=4"

# ---- late ----
mutants late "" BLINDLATE DAEMONKILLS LOSTCANCEL REAPTAKEN CHILDRENAFTER
ok late "-DDKILLS=0"
ok late "-DWKILLS=0"
heavy_ok late ""

# ---- retry ----
mutants retry "-DKILLS=2" SOMELATE SOMEFIRST NOREAP NOKEEP
ok retry "-DKILLS=2"
heavy_ok retry "-DKILLS=0 -DNT=2"

# ---- yield ----
mutants yield "-DKILLS=2 -DBOUND=1" NOATTACH
mutants yield "-DKILLS=0 -DBOUND=1" WANTEDFIRST
mutants yield "" NORECHECK NOROOMCHECK SEALFIRST RETLATE NOSKIP NOOVER \
	ITEMLATE STATELATE
ok yield ""
ok yield "-DKILLS=2 -DBOUND=1"
heavy_ok yield "-DKILLS=2 -DITEMS=4"

# ---- submit ----
mutants submit "-DKILLS=1" ROOTFIRST NOSECOND EDGELATE NOMARK MARKREADY \
	RINGFIRST NORING IDLELATE
mutants submit "-DKILLS=0 -DDEP=0" BOTTOMUP
mutants submit "-DKILLS=0 -DDEP=0 -DNW=2" NOWSTORE
mutants submit "-DKILLS=1 -DNSUB=1 -DNR=1 -DHOLDER=1" SLOTSFIRST
mutants submit "-DKILLS=1 -DNSUB=1 -DNR=1 -DNW=2" PRODUCERLATE RERUN
mutants submit "-DKILLS=1 -DNSUB=1 -DNR=1 -DNW=2 -DHOLDER=1" RETIREFIRST
ok submit "-DKILLS=1"
ok submit "-DKILLS=1 -DNR=1"
ok submit "-DKILLS=1 -DNSUB=1 -DNR=1 -DHOLDER=1"
np submit "-DKILLS=0"
heavy_ok submit "-DKILLS=1 -DRKILLS=1"
heavy_ok submit "-DKILLS=0 -DNW=2"
heavy_ok submit "-DKILLS=1 -DNSUB=1 -DNR=1 -DNW=2"

# ---- take_gen ----
mutants take_gen "-DKILLS=0 -DFS=1 -DSLICE=0" PLAINTAKE NOANNOUNCE ANNLATE NOFILL
mutants take_gen "-DKILLS=0 -DFS=2 -DNT=1 -DNG=2" NOSTRUCTLOCK
mutants take_gen "-DKILLS=1 -DFS=0" NOATTEMPT NOMARK NORING COUNTER UNLOCKONLY
mutants take_gen "-DKILLS=0 -DFS=0 -DSTOPS=1" FILLREADY
mutants take_gen "-DKILLS=0 -DFS=0 -DBLOCK=1" KEEPANN
row take_gen "-DKILLS=1 -DFS=0 -DSLICE=0" fail
heavy_mutants take_gen "-DKILLS=0 -DFS=1 -DDYN=1 -DSLICE=0" NOREPUB
ok take_gen "-DKILLS=1 -DFS=0"
ok take_gen "-DKILLS=1 -DFS=0 -DSLICE=0 -DROOM=1"
ok take_gen "-DKILLS=0 -DFS=0 -DBLOCK=1"
ok take_gen "-DKILLS=0 -DFS=0 -DBLOCK=1 -DSLICE=0 -DROOM=1"
ok take_gen "-DKILLS=0 -DFS=0 -DSTOPS=1"
ok take_gen "-DKILLS=1 -DFS=0 -DNG=2 -DHELD=1"
mutants take_gen "-DKILLS=1 -DFS=0 -DNG=2 -DHELD=1" KEEPINSIDE
heavy_ok take_gen "-DKILLS=0 -DFS=1 -DSLICE=0"
heavy_ok take_gen "-DKILLS=0 -DFS=1 -DDYN=2 -DSLICE=0"
heavy_ok take_gen "-DKILLS=1 -DFS=1 -DNT=1"
heavy_ok take_gen "-DKILLS=1 -DFS=0 -DRKILLS=1"
heavy_ok take_gen "-DKILLS=1 -DFS=0 -DNG=2 -DHELD=1 -DRKILLS=1"

# ---- deadlock ----
mutants deadlock "-DN=3" LOOKFIRST NOSEQ SEQFIRST NOLOCK
mutants deadlock "-DN=2 -DKILLS=1" NOREAP
ok deadlock "-DN=2"
ok deadlock "-DN=2 -DKILLS=1"
heavy_ok deadlock "-DN=3"
heavy_ok deadlock "-DN=3 -DWAITS=1"
# ---- stream_has ----
mutants stream_has "" NOLOCK NOAGAIN BITSFIRST
ok stream_has ""

# ---- catalogue ----
mutants catalogue "-DKILLS=1" TOUCHFIRST FREEFIRST MARKLATE NODOING NOREREAD \
	NORESET CLEARFIRST BADCLEAR ROOTFIRST LATETAKE
mutants catalogue "-DKILLS=0 -DNS=2 -DNWR=1 -DLIVES=1" NORESTORE
mutants catalogue "-DKILLS=1 -DLIVES=1 -DNAMER=1" NAMEDOING
ok catalogue "-DKILLS=0"
ok catalogue "-DKILLS=1 -DLIVES=1 -DNAMER=1"
ok catalogue "-DKILLS=1 -DFAILS=1 -DLIVES=1"
ok catalogue "-DKILLS=0 -DNS=2 -DNWR=1 -DLIVES=1"
heavy_ok catalogue "-DKILLS=2 -DLIVES=1"
heavy_ok catalogue "-DKILLS=1"

# ---- name ----
mutants name "-DKILLS=0" BITAFTER NOHOLD NOLOCK
mutants name "-DKILLS=1" NORECOUNT CLEARBEFORE
ok name "-DKILLS=0"
ok name "-DKILLS=1"
ok name "-DKILLS=2"

# ---- gone ----
alone="-DREADER=0 -DWORKER=0"
mutants gone "-DHOLDER=0 -DKEPT0=1" WANTFIRST NOWAITERS NOVIEW VIEWONCE
mutants gone "$alone" NOSTRONG NOHOLD NOFLAG BLINDGIVE NOFREED
mutants gone "$alone -DFORGET=1" FORGETANY
mutants gone "$alone -DKILLS=1" NODUE LIVEOWNER NOREGIVE NOREDROP NOLOOK
mutants gone "$alone -DCHAIN=1 -DEVICTS=0 -DXTHERE=1 -DFORGET=2" NORECORD LOSEFIRST
mutants gone "$alone -DCHAIN=1 -DRIVAL=1" TRUST NOCLOSE
heavy_mutants gone "$alone -DCHAIN=1 -DRIVAL=1" WASOLD
one="-DEVICTS=0 -DHOLDER=0 -DGONE0=1"
remade="-DEVICTS=0 -DREADER=0 -DREMADE0=1 -DROOM=1"
mutants gone "$one -DROOM=1" ROOMFAILS
mutants gone "$remade" NOTIMER ROOMWEAK DELAYLOST
heavy_mutants gone "$remade -DKILLS=1 -DVICTIM=4" NORETIMER
ok gone "$alone -DKILLS=1"
ok gone "$alone -DFORGET=1"
ok gone "$alone -DCHAIN=1 -DEVICTS=0 -DXTHERE=1 -DFORGET=2"
ok gone "-DREADER=0"
ok gone "-DEVICTS=0"
ok gone "-DREADER=0 -DCHAIN=1"
ok gone "-DHOLDER=0 -DKEPT0=1"
ok gone "$one -DROOM=2"
ok gone "$one -DROOM=2 -DLIMIT=1"
ok gone "$remade -DKILLS=1 -DVICTIM=4"
heavy_ok gone "-DEVICTS=0 -DGONE0=1 -DROOM=1"
heavy_ok gone "$one -DKILLS=1 -DVICTIM=4"
heavy_ok gone "$one -DROOM=1 -DKILLS=1 -DVICTIM=1"
heavy_ok gone "-DHOLDER=0"
heavy_ok gone "$alone -DCHAIN=1 -DRIVAL=1"
heavy_ok gone "$alone -DCHAIN=1 -DFORGET=2"

# ---- replay ----
mutants replay "-DKILLS=1 -DWINDOW=1" OLDARRIVE ANYRUN
mutants replay "-DKILLS=1 -DWINDOW=1 -DRUNS=2" INRUNFIRST NOREDO NOFOLLOW
mutants replay "-DKILLS=1" NOLANE DONEFIRST
mutants replay "-DKILLS=0 -DBAD=1" ERRLATE
ok replay "-DKILLS=0"
ok replay "-DKILLS=0 -DBAD=1"
ok replay "-DKILLS=1 -DWINDOW=1 -DRUNS=2"
heavy_ok replay "-DKILLS=1 -DWINDOW=1"
heavy_ok replay "-DKILLS=1 -DWINDOW=1 -DBAD=2"
heavy_ok replay "-DKILLS=1 -DRUNS=2"

# ---- crew ----
two="-DMEET=2 -DWINDOW=2 -DKIDS=1"
mutants crew "-DRUNS=1" LOOKFIRST BELLLAST NOSHARE NOSHAREBELL NOOVERBELL
mutants crew "-DPOLL=1" STAYSHUNGRY NOSTAMP
mutants crew "$two" NOBELL WANTEDLATE
heavy_mutants crew "-DRUNS=1 -DKIDS=3 -DOTHER=1" BELLLATE
heavy_mutants crew "-DRUNS=1 -DKILLS=1" NOREFOLLOW NOREBELL
ok crew "-DRUNS=1"
ok crew "-DPOLL=1"
heavy_ok crew "-DRUNS=1 -DKIDS=3 -DOTHER=1"
heavy_ok crew "$two"

# ---- lock ----
mutants lock "-DKILLS=0" NOMARK BELLLATE NOBELL DROPCONT PLAINWAKE
mutants lock "-DKILLS=1" STORETAKE SELFOWN NOTTOLD
ok lock "-DKILLS=0"
ok lock "-DKILLS=1 -DROUNDS=1"
heavy_ok lock "-DKILLS=1"
heavy_ok lock "-DKILLS=1 -DROUNDS=1 -DGIVEUP=1"

# ---- weak ----
for shape in SB SBST MP MPS ISA; do
	ok weak "-DSHAPE=$shape"
	ok weak "-DSHAPE=$shape -DTSO"
done
mutants weak "-DSHAPE=SB" LOADRELAXED RMWRELAXED
mutants weak "-DSHAPE=SBST" LOADRELAXED STRELEASE
mutants weak "-DSHAPE=SBST -DTSO" STRELEASE
mutants weak "-DSHAPE=MP" SEALRELAXED READRELAXED
mutants weak "-DSHAPE=MPS" SEALRELAXED READRELAXED
mutants weak "-DSHAPE=ISA" READRELAXED

echo
echo "$passed passed, $failed failed"
[ $failed = 0 ]

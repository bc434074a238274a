/* Fencing tokens: unique, and rising over attempts that follow one another.
 *
 * Nothing is assumed about time or the network. A request is carried out at any time after it was
 * sent, also after its attempt was given up, or never; a reply comes at any later time, or never. A
 * lock key vanishes at any time, for any reason: expiry by any clock, a release, a deletion. Only
 * the fencing register F is kept, unless LOSE is set.
 *
 * A node that refuses an acquire, because another attempt has the lock, changes nothing. So an
 * attempt that asks the node again behaves like one whose first request is carried out late; every
 * row contains that.
 *
 * An attempt asks N nodes. When a majority has granted the lock, it chooses the greatest token
 * granted and repairs the nodes that granted less. It wins when a majority has accepted exactly
 * that token. RETURN makes the checks.
 *
 * What happens
 *   A=n      attempts (2)
 *   TWICE    one acquire may be carried out twice (the client repeats a lost request)
 *   REJOIN   the first attempt takes the lock again on a node that lost it; F is then at least its
 *            token
 *   WON      the first attempt has won with token 1 already, and lost its lock keys
 *   SERIAL   the third attempt begins after the second has won
 *   BLOCK=k  a winner reserves k more tokens, and hands them on
 *   TURNS=t  the first attempt has won with token 1, and has the lock of two nodes; only it
 *            reserves blocks, up to t times, and hands on the last token of each
 *   AHEAD=k  a block ends no later than k after the true time (with CLOCKS)
 *   MOVES    the address of node i may lead to the next node for repairs and blocks
 *   GROW=m   the first attempt knows m of the N nodes, the others know all
 *   START=n  F of node 0 begins at n: the registers of the nodes differ
 *   CLOCKS   tokens grow from the clients' clocks, each of which may lag
 *   LOSE     node 0 loses L and F, once; WAIT=k: k of the time passes before it serves again
 * Rules left out
 *   NOEQUAL     a majority of grants wins, whatever their tokens
 *   NORAISED    a repair is accepted although F is above the token
 *   NOOWNER     a repair is accepted although another attempt has the lock
 *   UNWRITTEN   a block counts nodes that did not accept the token before, or lost the lock since
 *   NOBLOCKTOP  a block is used although no majority has accepted its top
 *   NORULE      a node without F trusts any client's clock (NOKEEPRULE: when it keeps F for a
 *               lease)
 *   NODELAG     the clock of the node without F lags too
 *   NOSAMESERVER  a repair counts although another node carried it out; NOSAMEBLOCK: a block's does
 */
#ifndef N
#define N 3
#endif
#ifndef A
#define A 2
#endif
#ifndef GROW
#define GROW N
#endif
#ifndef START
#define START 0
#endif
#ifndef TURNS
#define TURNS 1
#endif
#ifndef WAIT
#define WAIT 0
#endif
#ifdef TWICE
#define RUNS 2
#else
#define RUNS 1
#endif
#ifdef BLOCK
#define HEARS 3 /* the last step in which answers to acquire are heard */
#else
#define HEARS 2
#endif

byte L[N];      /* the lock key: attempt + 1, or 0 */
byte F[N];      /* the fencing register */
bit  gone[N];   /* F is missing */
int  returned;  /* bit t: token t was returned */
byte greatest;  /* the greatest token returned */
byte begun;     /* how many attempts have begun; they begin in order */
byte now;       /* the true time, for CLOCKS */
bit  lost;

#define ON(set, i)  ((set) & (1 << (i)))
#define COUNT(set)  (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1) + (((set) >> 4) & 1))
#define MAX(x, y)   ((x) > (y) -> (x) : (y))
#define MIN(x, y)   ((x) < (y) -> (x) : (y))
#define NEXT(i)     ((i + 1) % N)

/* A node without F gives no token below this. */
#if defined(NORULE) || defined(NODELAG)
#define OWNCLOCK(i) 0
#else
#define OWNCLOCK(i) (gone[i] -> now : 0)
#endif
#ifdef NOKEEPRULE
#define KEEPCLOCK(i) 0
#else
#define KEEPCLOCK(i) OWNCLOCK(i)
#endif
#ifdef CLOCKS
#define TICK now++
#else
#define TICK skip
#endif

/* Which repairs a node accepts. */
#ifdef NOOWNER
#define OURS(i) true
#else
#define OURS(i) L[i] == me + 1
#endif
#ifdef NORAISED
#define LOWER(i, t) true
#else
#define LOWER(i, t) F[i] <= t
#endif

/* When an attempt may begin. */
#ifdef SERIAL
#define TURN begun == me && (me < 2 || greatest > 1)
#else
#define TURN begun == me
#endif

#define RETURN(t) \
  assert(!ON(returned, t)); /* unique */ \
  assert(t > before);       /* above every token returned before */ \
  returned = returned | (1 << t); \
  greatest = MAX(greatest, t)

/* The steps of one attempt on node i. ran, again: its acquire was carried out, and then once more.
 * heard: it was answered, with val. low: val was less than the token: the node needs a repair. */
#define ACQUIRE(i) \
  :: d_step { step >= 1 && i < nodes && !ON(ran, i) && L[i] == 0 -> \
       ran = ran | (1 << i); L[i] = me + 1; TICK; \
       F[i] = MAX(MAX(F[i] + 1, hint), OWNCLOCK(i)); gone[i] = 0; \
       if :: step <= HEARS -> val[i] = F[i] :: else fi } \
  :: d_step { RUNS == 2 && me == 0 && again == 0 && ON(ran, i) && L[i] == 0 -> \
       again = again | (1 << i); L[i] = me + 1; F[i] = F[i] + 1; \
       if :: !ON(heard, i) && step <= HEARS -> val[i] = F[i] :: else fi } \
  :: d_step { RUNS == 2 && me == 0 && again == 0 && ON(ran, i) && L[i] == me + 1 && !ON(heard, i) && step <= HEARS -> \
       again = again | (1 << i); val[i] = F[i] } /* it finds its own id */ \
  :: d_step { step >= 1 && step <= HEARS && ON(ran, i) && !ON(heard, i) -> \
       heard = heard | (1 << i); \
       if :: step >= 2 -> SORT(i) :: else fi }

#define SORT(i) \
  if \
  :: val[i] == token -> accepted = accepted | (1 << i) \
  :: val[i] <  token -> low = low | (1 << i) \
  :: else /* greater: it keeps others out, but does not count otherwise */ \
  fi; val[i] = 0

#define REPAIR(i) \
  :: d_step { ON(low, i) && OURS(i) && LOWER(i, token) -> \
       low = low & ~(1 << i); F[i] = token; accepted = accepted | (1 << i) } \
  :: d_step { ON(low, i) && OURS(i) && LOWER(i, token) -> \
       low = low & ~(1 << i); F[i] = token } /* its answer is lost */ \
  MOVED_REPAIR(i)

/* Another node carries out a request. Its answer does not count. */
#ifdef NOSAMESERVER
#define REPAIRED(i) accepted = accepted | (1 << i)
#else
#define REPAIRED(i) skip
#endif
#ifdef NOSAMEBLOCK
#define RESERVED(i) reserved = reserved | (1 << i)
#else
#define RESERVED(i) skip
#endif
#ifdef MOVES
#define MOVED_REPAIR(i) \
  :: d_step { ON(low, i) && OURS(NEXT(i)) && LOWER(NEXT(i), token) -> \
       low = low & ~(1 << i); F[NEXT(i)] = token; REPAIRED(i) }
#define MOVED_BLOCK(i) \
  :: d_step { step == 4 && i < nodes && !ON(reserved, i) && OURS(NEXT(i)) && LOWER(NEXT(i), top) -> \
       F[NEXT(i)] = top; RESERVED(i) }
#else
#define MOVED_REPAIR(i)
#define MOVED_BLOCK(i)
#endif

#ifdef REJOIN
#define TAKE(i) \
  :: d_step { step >= 3 && me == 0 && back == 0 && i < nodes && L[i] == 0 -> \
       back = back | (1 << i); L[i] = me + 1; \
       F[i] = MAX(MAX(F[i], token), KEEPCLOCK(i)); gone[i] = 0 }
#else
#define TAKE(i)
#endif

#ifdef BLOCK
#define RESERVE(i) \
  :: d_step { step == 4 && i < nodes && !ON(reserved, i) && OURS(i) && LOWER(i, top) -> \
       reserved = reserved | (1 << i); F[i] = top } \
  MOVED_BLOCK(i)
#ifdef AHEAD
#define GOAL MIN(top + BLOCK, now + AHEAD)
#else
#define GOAL (top + BLOCK)
#endif
#if TURNS > 1
#define SPEND spent = top
#define MINE me == 0
#else
#define SPEND spent++
#define MINE true
#endif
#else
#define RESERVE(i)
#endif
#if defined(NOBLOCKTOP)
#define TOPPED true
#elif defined(UNWRITTEN)
#define TOPPED COUNT(reserved) >= quorum
#else
#define TOPPED COUNT(reserved & accepted & ~back) >= quorum
#endif

#define NODE(i) ACQUIRE(i) REPAIR(i) TAKE(i) RESERVE(i)

proctype attempt(byte me) {
  byte step;   /* 0 not begun, 1 asking, 2 token chosen, 3 won, 4 reserving a block, 5 handing on */
  byte nodes = N, quorum = N / 2 + 1;
  byte before, hint, token, i;
  byte ran, again, heard, low, accepted, back, reserved;
  byte val[N];
#ifdef BLOCK
  byte top, spent, turns;
#endif
  if :: me == 0 -> nodes = GROW; quorum = GROW / 2 + 1 :: else fi;
#ifdef WON
  d_step { if :: me == 0 -> begun = 1; step = 3; token = 1; ran = 7; F[0] = 1; F[1] = 1; F[2] = 1; RETURN(1) :: else fi }
#endif
#if TURNS > 1
  d_step { if :: me == 0 -> begun = 1; step = 3; token = 1; top = 1; ran = 7; accepted = 3; now = 1;
    L[0] = 1; L[1] = 1; F[0] = 1; F[1] = 1; RETURN(1) :: else fi }
#endif
end:
  do
  :: d_step { step == 0 && TURN -> begun++; before = greatest; step = 1;
#ifdef CLOCKS
       now = now + 4; hint = now }
  :: d_step { step == 0 && TURN -> begun++; before = greatest; step = 1; now = now + 4 /* it lags */
#endif
     }
  NODE(0) NODE(1) NODE(2)
#if N > 3
  NODE(3)
#endif
#if N > 4
  NODE(4)
#endif
  :: d_step { step == 1 && COUNT(heard) >= quorum ->
       i = 0;
       do :: i < N -> if :: ON(heard, i) -> token = MAX(token, val[i]) :: else fi; i++ :: else -> break od;
       i = 0;
       do :: i < N -> if :: ON(heard, i) -> SORT(i) :: else fi; i++ :: else -> break od;
#ifdef NOEQUAL
       accepted = heard;
#endif
       i = 0; step = 2 }
  :: d_step { step == 2 && COUNT(accepted) >= quorum -> RETURN(token); before = 0; hint = 0; step = 3
#ifdef BLOCK
       ; top = token
#endif
     }
#ifdef BLOCK
  :: d_step { step == 3 && MINE && turns < TURNS && GOAL > top -> before = greatest; spent = top; top = GOAL; turns++; step = 4 }
  :: d_step { step == 4 && TOPPED -> step = 5; reserved = 0;
       if :: turns == TURNS -> accepted = 0 :: else fi }
  :: d_step { step == 5 && spent < top -> SPEND; RETURN(spent) }
  :: d_step { step == 5 && spent == top && turns < TURNS -> step = 3 }
#endif
  od
}

#define VANISH(i) :: d_step { L[i] != 0 -> L[i] = 0 }

active proctype world() {
end:
  do
  VANISH(0) VANISH(1) VANISH(2)
#if N > 3
  VANISH(3)
#endif
#if N > 4
  VANISH(4)
#endif
#ifdef LOSE
  :: d_step { !lost -> lost = 1; L[0] = 0; F[0] = 0; gone[0] = 1; now = now + WAIT }
#endif
  od
}

init { atomic { byte k; F[0] = START; do :: k < A -> run attempt(k); k++ :: else -> break od; k = 0 } }

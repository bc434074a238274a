/* Fencing tokens: unique, and rising over attempts that follow one another.
 *
 * Nothing is assumed of time or of the network. A request is carried out at any time after it was sent, also after its
 * attempt was given up, or never; a reply comes at any later time, or never; a lock key vanishes at any time, whatever
 * the cause: expiry under any clock, a release, a deletion. Only the fencing register F is kept, unless LOSE.
 *
 * A node that refuses an acquire, because the lock is another's, changes nothing. So an attempt that asks it again is one
 * whose first request is carried out late: that is in every row.
 *
 * An attempt asks N nodes, chooses the greatest token granted once a majority has granted, has the nodes that granted
 * less repaired, and wins with nodes that have accepted exactly that token. The checks are at RETURN.
 *
 * What happens   A=n      attempts (2)
 *                TWICE    one acquire may be carried out twice (a client that repeats what it got no answer to)
 *                REJOIN   the first attempt takes the lock again on a node that lost it, and keeps F at its token at least
 *                WON      the first attempt has won with token 1 already, and lost its lock keys
 *                SERIAL   the third attempt begins after the second has won
 *                BLOCK=k  a winner reserves k more tokens, and hands them on
 *                TURNS=t  the first attempt has won with token 1, and has the lock of two nodes; it alone does so, up
 *                         to t times, and hands on the last token of each block
 *                AHEAD=k  a block ends no later than k after the true time (with CLOCKS)
 *                MOVES    the address of node i may lead to the next node for repairs and blocks
 *                GROW=m   the first attempt knows m of the N nodes, the others know all
 *                START=n  F of node 0 begins at n: histories differ
 *                CLOCKS   tokens grow from the clients' clocks, of which any may lag
 *                LOSE     node 0 loses L and F, once; WAIT=k: and k of the time passes before it serves again
 * Rules left out NOEQUAL     a majority of grants wins, whatever their tokens
 *                NORAISED    a repair is accepted although F is above the token
 *                NOOWNER     a repair is accepted although the lock is another's
 *                UNWRITTEN   a block counts nodes that did not accept the token before it, or were lost since
 *                NOBLOCKTOP  a block is used without a majority for its top
 *                NORULE      a node without F trusts any client's clock (NOKEEPRULE: when it keeps F for a lease)
 *                NODELAG     that node's own clock lags too
 *                NOSAMESERVER  a repair counts though another node carried it out; NOSAMEBLOCK: a block's does
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
byte greatest;  /* of the tokens returned */
byte begun;     /* attempts begin in their order */
byte now;       /* the true time, for CLOCKS */
bit  lost;

#define ON(set, i)  ((set) & (1 << (i)))
#define COUNT(set)  (((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1) + (((set) >> 3) & 1) + (((set) >> 4) & 1))
#define MAX(x, y)   ((x) > (y) -> (x) : (y))
#define MIN(x, y)   ((x) < (y) -> (x) : (y))
#define NEXT(i)     ((i + 1) % N)

/* What a node without F trusts no hint below. */
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

/* The steps of one attempt on node i. ran and again: its acquire was carried out; heard: and answered, with val; low: with
 * less than the token, so that it needs a repair. */
#define ACQUIRE(i) \
  :: d_step { step >= 1 && i < nodes && !ON(ran, i) && L[i] == 0 -> \
       ran = ran | (1 << i); L[i] = me + 1; TICK; \
       F[i] = MAX(MAX(F[i] + 1, hint), OWNCLOCK(i)); gone[i] = 0; \
       if :: step <= HEARS -> val[i] = F[i] :: else fi } \
  :: d_step { RUNS == 2 && me == 0 && again == 0 && ON(ran, i) && L[i] == 0 -> \
       again = again | (1 << i); L[i] = me + 1; F[i] = F[i] + 1; \
       if :: !ON(heard, i) && step <= HEARS -> val[i] = F[i] :: else fi } \
  :: d_step { RUNS == 2 && me == 0 && again == 0 && ON(ran, i) && L[i] == me + 1 && !ON(heard, i) && step <= HEARS -> \
       again = again | (1 << i); val[i] = F[i] } /* it finds itself the owner */ \
  :: d_step { step >= 1 && step <= HEARS && ON(ran, i) && !ON(heard, i) -> \
       heard = heard | (1 << i); \
       if :: step >= 2 -> SORT(i) :: else fi }

#define SORT(i) \
  if \
  :: val[i] == token -> accepted = accepted | (1 << i) \
  :: val[i] <  token -> low = low | (1 << i) \
  :: else /* higher: it keeps others out, and counts for nothing else */ \
  fi; val[i] = 0

#define REPAIR(i) \
  :: d_step { ON(low, i) && OURS(i) && LOWER(i, token) -> \
       low = low & ~(1 << i); F[i] = token; accepted = accepted | (1 << i) } \
  :: d_step { ON(low, i) && OURS(i) && LOWER(i, token) -> \
       low = low & ~(1 << i); F[i] = token } /* its answer is lost */ \
  MOVED_REPAIR(i)

/* What happens to a request that another node carries out. Its answer counts for nothing. */
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
  byte step;     /* 0 not begun, 1 asking, 2 token chosen, 3 won, 4 reserving a block, 5 its tokens are handed on */
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

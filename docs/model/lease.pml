/* Mutual exclusion in time: validity, extending, winning nodes back, the restart guard.
 *
 * There are two owners and three nodes; the first owner extends its lease. Time goes in ticks that
 * all clocks agree on. A request is carried out at any time after it was sent, or never; a reply
 * comes at any later time. A key lives for TTL ticks after its node set it. A lease is valid for
 * TTL ticks after its owner began to ask. ALONE checks that no two leases are ever valid at once.
 *
 * What happens
 *   REJOIN      an extension also takes the lock on nodes that lost it; they count from the
 *               next extension on
 *   RESTARTS=n  nodes restart, n times in all, and have then forgotten everything
 *   GUARD=n     a node that restarted grants nothing for n ticks
 *   EARLY       one key expires too early: a clock that stepped, an eviction, a DEL
 *   HASTY       a node that was won back counts at once
 * Rules left out
 *   FROMREPLY   the lease counts from the decision
 *   ANYOWNER    an extension extends the key whoever has the lock
 *   RECREATE    an extension takes the lock again where it is gone; FREED is violated
 *   LINGER      a lease is valid for as long as an extension is under way
 *   REVIVE      an extension whose answers come after the deadline counts
 *   EARLYREJOIN a node is won back while the guard keeps it out of new locks
 */
#define N 3
#ifndef TTL
#define TTL 2
#endif
#ifndef END
#define END 5
#endif
#ifndef RESTARTS
#define RESTARTS 0
#endif
#ifndef GUARD
#define GUARD 0
#endif
#ifndef EXTENDS
#define EXTENDS 2
#endif
#define ON(set, i)   ((set) & (1 << (i)))
#define MAJORITY(s)  (s == 3 || s == 5 || s == 6 || s == 7)
#define MAX(x, y)    ((x) > (y) -> (x) : (y))

byte now;
byte L[N];       /* the lock key: owner + 1, or 0 */
byte until[N];   /* when it expires */
byte ready[N];   /* until when the node grants nothing */
byte valid[2];   /* until when each owner's lease is valid; 0: it has none */
byte restarts = RESTARTS;
bit early;

#define ALONE assert(now >= valid[0] || now >= valid[1])
#define FREED(i) assert(!ON(freed, i)) /* a lock that was released is not taken again */

#define TAKE(i)  L[i] = me + 1; until[i] = now + TTL
#define ACQUIRE(i) \
  :: d_step { step >= 1 && !ON(ran, i) && L[i] == 0 && now >= ready[i] -> \
       ran = ran | (1 << i); TAKE(i); \
       if :: step == 1 -> got = got | (1 << i) :: else fi }
#define RELEASE(i) \
  :: d_step { step == 3 && !ON(freed, i) && L[i] == me + 1 -> freed = freed | (1 << i); L[i] = 0; until[i] = 0 }

#if defined(ANYOWNER)
#define OURS(i) true
#elif defined(RECREATE)
#define OURS(i) L[i] == me + 1 || L[i] == 0
#else
#define OURS(i) L[i] == me + 1
#endif
#ifdef EARLYREJOIN
#define READY(i) true
#else
#define READY(i) now >= ready[i]
#endif
#define EXTEND(i) \
  :: d_step { extending && !ON(eran, i) && (OURS(i)) -> \
       if :: L[i] == 0 -> FREED(i) :: else fi; \
       eran = eran | (1 << i); TAKE(i); ok = ok | (1 << i) }
#ifdef HASTY
#define COUNTS(i) ok = ok | (1 << i)
#else
#define COUNTS(i) skip
#endif
#ifdef REJOIN
#define WINBACK(i) \
  :: d_step { extending && !ON(eran, i) && L[i] == 0 && READY(i) -> eran = eran | (1 << i); TAKE(i); COUNTS(i) }
#else
#define WINBACK(i)
#endif
#define NODE(i) ACQUIRE(i) RELEASE(i) EXTEND(i) WINBACK(i)

proctype owner(byte me) {
  byte step;                   /* 0 idle, 1 asking, 2 holding, 3 over */
  byte start, ran, got, freed;
  byte left = EXTENDS;
  bit extending;               /* an extension was sent; it can be carried out until the next */
  bit counting;                /* and its answers still count */
  byte estart, eran, ok;
  if :: me == 1 -> left = 0 :: else fi;
end:
  do
  :: d_step { step == 0 && (me == 1 || now == 0) -> step = 1; start = now }
  NODE(0) NODE(1) NODE(2)
#ifdef FROMREPLY
  :: d_step { step == 1 && MAJORITY(got) -> step = 2; valid[me] = now + TTL; got = 0; ALONE }
#else
  :: d_step { step == 1 && MAJORITY(got) && now < start + TTL -> step = 2; valid[me] = start + TTL; got = 0; start = 0; ALONE }
#endif
  :: d_step { step == 1 && me == 1 -> step = 3; got = 0; start = 0 }                 /* given up */

  :: d_step { step == 2 && now < valid[me] && left > 0 && !counting ->    /* extend */
       left--; extending = 1; counting = 1; estart = now; eran = 0; ok = 0;
#ifdef LINGER
       valid[me] = END + 1
#endif
     }
#ifdef REVIVE
  :: d_step { counting && MAJORITY(ok) && step >= 2 ->
#else
  :: d_step { counting && MAJORITY(ok) && step == 2 && now < valid[me] ->
#endif
       counting = 0; step = 2; valid[me] = estart + TTL; estart = 0; ok = 0; ALONE }
#ifndef LINGER
  :: d_step { counting && !MAJORITY(ok) -> counting = 0; estart = 0; ok = 0 } /* unknown */
#endif

  :: d_step { step == 2 -> step = 3; valid[me] = 0;                       /* unlock */
#ifndef REVIVE
       counting = 0
#endif
     }
  :: d_step { step == 2 && now >= valid[me] -> step = 3; valid[me] = 0; /* lost: release the rest */
#ifndef REVIVE
       counting = 0
#endif
     }
  od
}

#define EXPIRE(i) if :: now >= until[i] -> L[i] = 0; until[i] = 0 :: else fi; if :: now >= ready[i] -> ready[i] = 0 :: else fi
#define RESTART(i) :: d_step { restarts > 0 -> restarts--; L[i] = 0; until[i] = 0; ready[i] = now + GUARD }
#define VANISH(i) :: d_step { !early && L[i] != 0 -> early = 1; L[i] = 0; until[i] = 0 }

active proctype world() {
end:
  do
  :: d_step { now < END -> now++; EXPIRE(0); EXPIRE(1); EXPIRE(2) }
#if RESTARTS > 0
  RESTART(0) RESTART(1) RESTART(2)
#endif
#ifdef EARLY
  VANISH(0) VANISH(1) VANISH(2)
#endif
  od
}

init { atomic { run owner(0); run owner(1) } }

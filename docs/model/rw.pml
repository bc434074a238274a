/* Shared locks in time: no reader's lease is ever valid together with a writer's.
 *
 * There are two readers, a writer and three nodes. As in lease.pml, time goes in ticks that all
 * clocks agree on; a request is carried out at any time after it was sent, or never; and a lease is
 * valid for its TTL after its owner began to ask. A node has one lock key L (free, shared, or the
 * writer's), which expires, and for each reader the time when its share ends. L lives as long as
 * the longest share. A writer takes L if it is free, and looks at nothing else, as a program that
 * knows nothing of readers does. The first reader extends its lease. The second has a shorter TTL,
 * so that shares end in different orders.
 *
 * That a waiting writer keeps further readers out is not in the model: it only makes nodes refuse
 * what they might have granted, and here any request may be refused by never being carried out. So
 * the rules for that are about waiting, not about exclusion. A release need not look whether the
 * share has ended: to take a reader out of a set twice is to do it once.
 *
 * What happens
 *   REJOIN     an extension also takes the share on a node that lost it; it counts from the next
 *              extension on
 *   EARLY      one L goes too early: a clock that stepped, an eviction, a DEL
 * Rules left out
 *   COUNT      a node counts its readers instead of knowing them
 *   NOMAX      a share sets L's life to its own TTL although another share is longer
 *   FIRSTONLY  only the first share sets L's life
 *   ANYLEAVE   a reader that leaves deletes L although others are left
 *   ONENODE    a reader asks one node only, not a majority
 */
#define N 3
#ifndef TTL
#define TTL 2
#endif
#ifndef END
#define END 2
#endif
#define ON(set, i)   ((set) & (1 << (i)))
#define MAJORITY(s)  ((s) == 3 || (s) == 5 || (s) == 6 || (s) == 7)
#define MAX(x, y)    ((x) > (y) -> (x) : (y))
#define LIFE         (me == 1 -> TTL - 1 : TTL)
#define WRITER       2

byte now;
byte L[N];       /* the lock key: 0 free, 1 shared, 2 the writer's */
byte until[N];   /* when it expires */
byte rd[N];      /* the readers that have a share (COUNT: how many) */
byte ends[6];    /* node * 2 + reader: when the share ends */
byte valid[3];   /* until when each lease is valid; 0: there is none */
bit early;

#define ALONE assert(now >= valid[WRITER] || (now >= valid[0] && now >= valid[1]))

#ifdef COUNT
#define JOIN(i)   rd[i] = rd[i] + 1; ends[2*i+me] = now + LIFE
#define QUIT(i)   if :: rd[i] > 0 -> rd[i] = rd[i] - 1 :: else fi; ends[2*i+me] = 0
#define MEMBER(i) (L[i] == 1)
#define REST(i)   until[i]
#else
#define JOIN(i)   rd[i] = rd[i] | (1 << me); ends[2*i+me] = now + LIFE
#define QUIT(i)   rd[i] = rd[i] & ~(1 << me); ends[2*i+me] = 0
#define MEMBER(i) (L[i] == 1 && ON(rd[i], me))
#define REST(i)   ends[2*i+1-me]
#endif

#if defined(NOMAX)
#define LIVE(i)   until[i] = now + LIFE
#elif defined(FIRSTONLY)
#define LIVE(i)   if :: L[i] == 0 -> until[i] = now + LIFE :: else fi
#else
#define LIVE(i)   until[i] = MAX(until[i], now + LIFE)
#endif
#define SHARE(i)  if :: L[i] == 0 -> rd[i] = 0; ends[2*i] = 0; ends[2*i+1] = 0 :: else fi; LIVE(i); L[i] = 1; JOIN(i)
#define FREE(i)   L[i] = 0; until[i] = 0; rd[i] = 0; ends[2*i] = 0; ends[2*i+1] = 0

#ifdef ANYLEAVE
#define LEAVE(i)  FREE(i)
#else
#define LEAVE(i)  QUIT(i); if :: rd[i] == 0 -> FREE(i) :: else -> until[i] = REST(i) fi
#endif

#define RACQUIRE(i) \
  :: d_step { step >= 1 && !ON(ran, i) && L[i] != 2 -> \
       ran = ran | (1 << i); SHARE(i); if :: step == 1 -> got = got | (1 << i) :: else fi }
#define RRELEASE(i) \
  :: d_step { step == 3 && !ON(freed, i) && ON(ran, i) && MEMBER(i) -> freed = freed | (1 << i); LEAVE(i) }
#define REXTEND(i) \
  :: d_step { extending && !ON(eran, i) && MEMBER(i) -> \
       eran = eran | (1 << i); SHARE(i); ok = ok | (1 << i) }
#ifdef REJOIN
#define WINBACK(i) \
  :: d_step { extending && !ON(eran, i) && L[i] != 2 && !MEMBER(i) -> eran = eran | (1 << i); SHARE(i) }
#else
#define WINBACK(i)
#endif
#ifdef ONENODE
#define ENOUGH(s) ((s) != 0)
#else
#define ENOUGH(s) MAJORITY(s)
#endif
#define RNODE(i) RACQUIRE(i) RRELEASE(i) REXTEND(i) WINBACK(i)

proctype reader(byte me) {
  byte step;                   /* 0 idle, 1 asking, 2 holding, 3 over */
  byte start, ran, got, freed;
  bit left, extending, counting;
  byte estart, eran, ok;
  left = (me == 0);
end:
  do
  :: d_step { step == 0 -> step = 1; start = now }
  RNODE(0) RNODE(1) RNODE(2)
  :: d_step { step == 1 && ENOUGH(got) && now < start + LIFE -> step = 2; valid[me] = start + LIFE; got = 0; start = 0; ALONE }
  :: d_step { step == 1 && me == 1 -> step = 3; got = 0; start = 0 }
  :: d_step { step == 2 && now < valid[me] && left && !counting -> left = 0; extending = 1; counting = 1; estart = now; eran = 0; ok = 0 }
  :: d_step { counting && ENOUGH(ok) && step == 2 && now < valid[me] -> counting = 0; valid[me] = estart + LIFE; estart = 0; ok = 0; ALONE }
  :: d_step { step == 2 -> step = 3; valid[me] = 0; counting = 0; extending = 0 }
  od
}

/* One writer is enough: lease.pml has writers among themselves. What a writer leaves behind, or
 * gets late, only keeps readers out. */

#define WACQUIRE(i) \
  :: d_step { step == 1 && !ON(got, i) && L[i] == 0 -> \
       got = got | (1 << i); FREE(i); L[i] = 2; until[i] = now + TTL }

proctype writer() {
  byte step, start, got;
end:
  do
  :: d_step { step == 0 -> step = 1; start = now }
  WACQUIRE(0) WACQUIRE(1) WACQUIRE(2)
  :: d_step { step == 1 && MAJORITY(got) && now < start + TTL -> step = 2; valid[WRITER] = start + TTL; got = 0; start = 0; ALONE }
  od
}

#define PRUNE(i, r) if :: ends[2*i+r] != 0 && now >= ends[2*i+r] -> ends[2*i+r] = 0; rd[i] = rd[i] & ~(1 << r) :: else fi
#ifdef COUNT
#define EXPIRE(i) if :: L[i] != 0 && now >= until[i] -> FREE(i) :: else fi
#else
#define EXPIRE(i) if :: L[i] != 0 && now >= until[i] -> FREE(i) :: else fi; PRUNE(i, 0); PRUNE(i, 1)
#endif
#define VANISH(i) :: d_step { !early && L[i] != 0 -> early = 1; L[i] = 0; until[i] = 0 }

active proctype world() {
end:
  do
  :: d_step { now < END -> now++; EXPIRE(0); EXPIRE(1); EXPIRE(2);
       if :: valid[0] != 0 && now >= valid[0] -> valid[0] = 0 :: else fi;
       if :: valid[1] != 0 && now >= valid[1] -> valid[1] = 0 :: else fi;
       if :: valid[2] != 0 && now >= valid[2] -> valid[2] = 0 :: else fi }
#ifdef EARLY
  VANISH(0) VANISH(1) VANISH(2)
#endif
  od
}

init { atomic { run reader(0); run reader(1); run writer() } }

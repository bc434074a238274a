/* Mutual exclusion where no lock key expires: how it depends on the ids, the releases, the queue of
 * waiters and the hand-over inside a process. Time is in lease.pml.
 *
 * There are two clients and three nodes. The first client makes two attempts, the second one.
 * Requests and releases are carried out at any time after they were sent, in any order, or never. A
 * release deletes the key, or reserves it for the other client, whether or not that waits: the
 * queue is a hint. Reservations expire at any time.
 *
 * Rules left out
 *   FEW        one node is enough, instead of a majority
 *   ONEID      a client's attempts share one owner id
 *   ANYRELEASE a release deletes the key whoever has the lock
 *   ANYLEAVE   a waiter that leaves deletes the key whoever has the lock
 *   NOTICE     a waiter counts a reservation as a grant
 *   HANDLATE   the lock is handed on inside the process after a release of it was sent
 * Not needed for exclusion
 *   BARGE      a reservation does not keep others from taking the lock
 */
#define N 3
#define ON(set, i)   ((set) & (1 << (i)))
#ifdef FEW
#define MAJORITY(s)  (s != 0)
#else
#define MAJORITY(s)  (s == 3 || s == 5 || s == 6 || s == 7)
#endif
#ifdef ONEID
#define ID(k)        (me + 1)
#else
#define ID(k)        (1 + 2 * me + (k))
#endif
#define RESERVED(c)  (10 + (c))
#ifdef BARGE
#define FREE(i)      (L[i] == 0 || L[i] >= 10)
#else
#define FREE(i)      (L[i] == 0 || L[i] == RESERVED(me))
#endif

byte L[N];     /* the lock key: an owner's id, a reservation, or 0 */
byte holders;  /* goroutines that believe that they hold the lock */

#ifdef ANYRELEASE
#define MINE(k, i)   L[i] != 0
#else
#define MINE(k, i)   L[i] == ID(k)
#endif
#ifdef ANYLEAVE
#define KEPT(i)      L[i] != 0
#else
#define KEPT(i)      L[i] == RESERVED(me)
#endif

#define ACQUIRE(k, i) \
  :: d_step { step >= 1 && try >= k && !ON(ran[k], i) && FREE(i) -> \
       ran[k] = ran[k] | (1 << i); L[i] = ID(k); \
       if :: try == k && step == 1 -> got = got | (1 << i) :: else fi }
#define RELEASE(k, i, to) \
  :: d_step { freed[k] && !ON(done[k], i) && MINE(k, i) -> done[k] = done[k] | (1 << i); L[i] = to }
#define LEAVE(i, to) \
  :: d_step { me == 1 && KEPT(i) && !ON(left, i) -> left = left | (1 << i); L[i] = to }
#define PASS(i, to) RELEASE(0, i, to) RELEASE(1, i, to) LEAVE(i, to)
#ifdef NOTICE
#define HEAR(i) :: d_step { step == 1 && L[i] == RESERVED(me) && !ON(got, i) -> got = got | (1 << i) }
#else
#define HEAR(i)
#endif
#define NODE(i) ACQUIRE(0, i) ACQUIRE(1, i) PASS(i, 0) PASS(i, RESERVED(1 - me)) HEAR(i)

proctype client(byte me) {
  byte try, step;                 /* step: 0 idle, 1 asking, 2 holding, 3 over */
  byte ran[2], done[2], got, left;
  bit freed[2], handed;
end:
  do
  :: d_step { step == 0 -> step = 1 }
  NODE(0) NODE(1) NODE(2)
  :: d_step { step == 1 && MAJORITY(got) -> step = 2; holders++; assert(holders <= 1) }
  :: d_step { step == 2 && !handed -> handed = 1 } /* holders stays: one ends, one begins */
  :: d_step { step == 2 -> step = 3; holders--; freed[try] = 1; got = 0 }
  :: d_step { step == 1 && me == 0 && try == 0 -> freed[0] = 1; got = 0; try = 1 }
  :: d_step { step == 1 && try == 1 - me -> freed[try] = 1; got = 0; step = 3 }
#ifdef HANDLATE
  :: d_step { step == 3 && !handed && freed[try] && MAJORITY(ran[try]) -> handed = 1; step = 2; holders++; assert(holders <= 1) }
#endif
  od
}

active proctype world() {
end:
  do
  :: d_step { L[0] >= 10 -> L[0] = 0 }
  :: d_step { L[1] >= 10 -> L[1] = 0 }
  :: d_step { L[2] >= 10 -> L[2] = 0 }
  od
}

init { atomic { run client(0); run client(1) } }

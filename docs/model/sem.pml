/* Semaphore: never more than K permits are held.
 *
 * There are three attempts, three nodes and K = 2 slots. No key expires: each slot is a lock of its
 * own, and lease.pml covers its life in time. A slot is a lock key. One request asks a node for the
 * first slot that is free there, in an order that the attempt chooses. With PICK the third attempt
 * asks for one slot only, as an attempt does that follows one without a majority. A permit is a
 * majority for one and the same slot. What an attempt got of another slot, got late, or got before
 * it gave up, is released at any time or never. A node that granted a holder another slot is asked
 * once more, for the right one. Requests are carried out at any time after they were sent, or
 * never.
 *
 * Rules left out
 *   COUNTER  a node counts owners and admits K of them, instead of naming slots: the usual design
 *   MIXED    a majority of grants wins, whatever their slots
 *   ANYFREE  a release deletes the slot's key whoever has it
 *   STRAY    a holder that releases what it got of another slot may delete its permit's key instead
 *   VANISH   one key goes too early (a clock that stepped, an eviction), as with the lock
 */
#define N 3
#define K 2
#define ON(set, i)   ((set) & (1 << (i)))
#define MAJORITY(s)  ((s) == 3 || (s) == 5 || (s) == 6 || (s) == 7)
#define AT(i, s)     (2 * (i) + (s))

byte L[6];      /* slot s of node i: owner + 1, or 0 */
byte holders;
bit early;

#if defined(COUNTER) || defined(MIXED)
#define WON(s) MAJORITY(got[0] | got[1])
#else
#define WON(s) MAJORITY(got[s])
#endif
#ifdef ANYFREE
#define MINE(i, s) (ON(ran, i) && L[AT(i, s)] != 0)
#else
#define MINE(i, s) (L[AT(i, s)] == me + 1)
#endif
#ifdef STRAY
#define OVER(s) (step == 3 || step == 2)
#else
#define OVER(s) (step == 3 || step == 2 && slot != s)
#endif

#ifdef PICK
#define ANY (me != 2)
#else
#define ANY true
#endif

#define GRANT(i, s) \
  ran = ran | (1 << i); L[AT(i, s)] = me + 1; \
  if \
  :: step == 1 -> got[s] = got[s] | (1 << i) \
  :: step == 2 && slot != s -> strays = strays | (1 << i) \
  :: else \
  fi
#define NODE(i) \
  :: d_step { step >= 1 && !ON(ran, i) && L[AT(i, first)] == 0 -> GRANT(i, first) } \
  :: d_step { ANY && step >= 1 && !ON(ran, i) && L[AT(i, first)] != 0 && L[AT(i, 1 - first)] == 0 -> GRANT(i, 1 - first) } \
  :: d_step { step >= 2 && ON(strays, i) && L[AT(i, slot)] == 0 -> strays = strays & ~(1 << i); L[AT(i, slot)] = me + 1 } \
  :: d_step { OVER(0) && MINE(i, 0) -> L[AT(i, 0)] = 0 } \
  :: d_step { OVER(1) && MINE(i, 1) -> L[AT(i, 1)] = 0 }

#define TAKE(s) step = 2; slot = s; strays = got[1 - s]; got[0] = 0; got[1] = 0; holders++; assert(holders <= K)

proctype attempt(byte me) {
  byte step, ran, first, slot, strays; /* step: 0 idle, 1 asking, 2 holding, 3 over */
  byte got[K];
end:
  do
  :: d_step { step == 0 -> step = 1 }
#if !defined(COUNTER) /* with COUNTER it does not matter which of the two places is taken */
  :: d_step { step == 0 && me != 0 -> step = 1; first = 1 }
#endif
  NODE(0) NODE(1) NODE(2)
  :: d_step { step == 1 && WON(0) -> TAKE(0) }
#if !defined(COUNTER) && !defined(MIXED)
  :: d_step { step == 1 && WON(1) -> TAKE(1) }
#endif
  :: d_step { step == 1 && me != 2 -> step = 3; got[0] = 0; got[1] = 0 }
  :: d_step { step == 2 && me != 2 -> step = 3; holders-- }
  od
}

#ifdef VANISH
active proctype world() {
  byte x;
end:
  do
  :: d_step { !early && L[x] != 0 -> early = 1; L[x] = 0 }
  :: d_step { !early && x < 5 -> x++ }
  od
}
#endif

init { atomic { run attempt(0); run attempt(1); run attempt(2) } }

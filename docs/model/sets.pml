/* Several locks at once: callers never wait for one another in a circle (R30 of safety.md).
 *
 * Three callers want two of three names each: {0,1}, {1,2} and {0,2}. The last caller lists its
 * names in the opposite order. A caller first asks for both names, in one step each, so that others
 * can come in between. If the name that comes first in the order is taken, the caller gives the
 * other name up, waits for the first, and asks for the other again. If only the other is taken, the
 * caller waits for it while it holds the first. The other models say what a single lock does. An
 * invalid end state means that callers wait in a circle.
 *
 * Rules left out
 *   KEEP     a caller keeps the later name while it waits for the first
 *   ASGIVEN  a caller takes the names in the order in which it lists them
 */
byte owner[3];  /* of each name: a caller's number + 1, or 0 */

#ifdef ASGIVEN
#define FIRST  ((me == 2) -> 2 : me)
#define SECOND ((me == 2) -> 0 : me + 1)
#else
#define FIRST  ((me == 1) -> 1 : 0)
#define SECOND ((me == 0) -> 1 : 2)
#endif
#define HAS(n)   (owner[n] == me + 1)
#define ASK(n)   atomic { if :: owner[n] == 0 -> owner[n] = me + 1 :: else fi }
#define AWAIT(n) atomic { owner[n] == 0 -> owner[n] = me + 1 }
#define GIVE(n)  atomic { if :: HAS(n) -> owner[n] = 0 :: else fi }

proctype caller(byte me) {
again:
  ASK(SECOND);  /* both at the same time, so in any order; this order is the harder one */
  ASK(FIRST);
  if
  :: HAS(FIRST)
  :: else ->
#ifndef KEEP
    GIVE(SECOND);
#endif
    AWAIT(FIRST);
    ASK(SECOND)
  fi;
  if
  :: HAS(SECOND)
  :: else -> AWAIT(SECOND)
  fi;
  assert(HAS(FIRST) && HAS(SECOND));
  GIVE(FIRST);
  GIVE(SECOND);
  if :: goto again :: skip fi
}

init { atomic { run caller(0); run caller(1); run caller(2) } }

/* Several locks at once: nobody waits in a circle (R30 of safety.md).
 *
 * Three callers want two of three names each: {0,1}, {1,2} and {0,2}, of which the last lists them the
 * other way round. A caller first asks for both names, one step each, so that others can come in
 * between. If the one that comes first in the order is taken it gives the other up, waits for the first,
 * and asks for the other again; if the other is taken it waits for that with the first in its hands.
 * What a single lock does is in the other models. An invalid end state is callers that wait in a circle.
 *
 * Rules left out:
 *   KEEP     the name behind the one that is waited for is kept
 *   ASGIVEN  names are taken in the order in which the caller lists them
 */
byte owner[3];  /* of each name: a caller's number and one, or 0 */

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
  ASK(SECOND);  /* at the same time: so in any order, and this one is the harder */
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

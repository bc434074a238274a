/* The tokens of shared leases, without time.
 *
 * There are W writers, a reader and three nodes. As in token.pml, nothing is assumed about time or
 * the network: a request is carried out at any time, or never; a reply comes at any later time, or
 * never; a lock key vanishes at any time. A writer raises the fencing register F of each node that
 * grants it the lock. A reader raises nothing: its token is the greatest F that its nodes reported.
 * Both then repair the nodes that have less, and win when a majority has accepted exactly that
 * token.
 *
 *   FLOOR  the reader's token is at least that of each writer that had won before the reader began
 *   CEIL   a writer that begins after the reader has won gets a greater token
 *   ONCE   the writers' tokens are unique, although readers write into F too
 *
 * So a resource tells a reader whether a writer has been there since: its token is then greater.
 *
 * What happens
 *   W=n       writers (1)
 *   SERIAL    the second writer begins after the first has won
 *   START=n   F of node 0 begins at n, a lost attempt's: the registers of the nodes differ
 * Rules left out
 *   NOREPAIR  a reader does not repair nodes: it wins with a majority of reports
 */
#define ON(set, i)   ((set) & (1 << (i)))
#define MAJORITY(s)  ((s) == 3 || (s) == 5 || (s) == 6 || (s) == 7)
#define MAX(x, y)    ((x) > (y) -> (x) : (y))
#ifndef W
#define W 1
#endif
#ifndef START
#define START 0
#endif
byte L[3];        /* the lock key: 0 free, 1 shared, 2 and 3 the writers' */
byte F[3];        /* the fencing register */
byte greatest;    /* token that a writer has won with */
byte begun;       /* how many writers have begun, which they do in their order */
int  returned;    /* tokens that writers have won with: a set */
byte readToken;
bit  reading;     /* the reader has won */

#define SORT(i) \
  if :: val[i] == token -> accepted = accepted | (1 << i) :: val[i] < token -> low = low | (1 << i) :: else fi; val[i] = 0
#define CHOOSE \
  token = 0; \
  if :: ON(heard, 0) -> token = MAX(token, val[0]) :: else fi; \
  if :: ON(heard, 1) -> token = MAX(token, val[1]) :: else fi; \
  if :: ON(heard, 2) -> token = MAX(token, val[2]) :: else fi; \
  if :: ON(heard, 0) -> SORT(0) :: else fi; \
  if :: ON(heard, 1) -> SORT(1) :: else fi; \
  if :: ON(heard, 2) -> SORT(2) :: else fi

#define HEAR(i) \
  :: d_step { step >= 1 && step <= 2 && ON(ran, i) && !ON(heard, i) -> \
       heard = heard | (1 << i); if :: step == 2 -> SORT(i) :: else fi }
#define WACQUIRE(i) \
  :: d_step { step >= 1 && !ON(ran, i) && L[i] == 0 -> \
       ran = ran | (1 << i); L[i] = me + 2; F[i] = F[i] + 1; if :: step <= 2 -> val[i] = F[i] :: else fi }
#define WREPAIR(i) \
  :: d_step { ON(low, i) && L[i] == me + 2 && F[i] <= token -> low = low & ~(1 << i); F[i] = token; accepted = accepted | (1 << i) }
#define RACQUIRE(i) \
  :: d_step { step >= 1 && !ON(ran, i) && L[i] <= 1 -> \
       ran = ran | (1 << i); L[i] = 1; if :: step <= 2 -> val[i] = F[i] :: else fi }
#define RREPAIR(i) \
  :: d_step { ON(low, i) && L[i] == 1 && F[i] <= token -> low = low & ~(1 << i); F[i] = token; accepted = accepted | (1 << i) }

proctype writer(byte me) {
  byte step, ran, heard, low, accepted, token, before;
  byte val[3];
  bit after;
end:
  do
#ifdef SERIAL
  :: d_step { step == 0 && begun == me && (me == 0 || greatest > 0) -> begun++;
#else
  :: d_step { step == 0 && begun == me -> begun++;
#endif
       step = 1; before = greatest; after = reading }
  WACQUIRE(0) WACQUIRE(1) WACQUIRE(2)
  HEAR(0) HEAR(1) HEAR(2)
  WREPAIR(0) WREPAIR(1) WREPAIR(2)
  :: d_step { step == 1 && MAJORITY(heard) -> CHOOSE; step = 2 }
  :: d_step { step == 2 && MAJORITY(accepted) -> step = 3;
       assert(!ON(returned, token));            /* ONCE */
       assert(token > before);
       assert(!after || token > readToken);     /* CEIL */
       returned = returned | (1 << token); greatest = MAX(greatest, token);
       accepted = 0; low = 0; token = 0; before = 0; after = 0 }
  od
}

proctype reader() {
  byte step, ran, heard, low, accepted, token, before;
  byte val[3];
end:
  do
  :: d_step { step == 0 -> step = 1; before = greatest }
  RACQUIRE(0) RACQUIRE(1) RACQUIRE(2)
  HEAR(0) HEAR(1) HEAR(2)
  RREPAIR(0) RREPAIR(1) RREPAIR(2)
  :: d_step { step == 1 && MAJORITY(heard) -> CHOOSE; step = 2;
#ifdef NOREPAIR
       accepted = 7
#endif
     }
  :: d_step { step == 2 && MAJORITY(accepted) -> step = 3; assert(token >= before); /* FLOOR */
       readToken = token; reading = 1; accepted = 0; low = 0; token = 0; before = 0 }
  od
}

active proctype world() {
end:
  do
  :: d_step { L[0] != 0 -> L[0] = 0 }
  :: d_step { L[1] != 0 -> L[1] = 0 }
  :: d_step { L[2] != 0 -> L[2] = 0 }
  od
}

init { atomic { F[0] = START; run writer(0);
#if W > 1
  run writer(1);
#endif
  run reader() } }

"""The fencing tokens as a transition system: what is proved, and of what. prove.py checks it.

Formulas are written in Python's syntax. A free variable stands for every value of its sort, and the
first letter of a variable says the sort: a b attempts, n m nodes, q w quorums, r reservations of a
block, o p owner ids, v x y tokens. `=>` is an implication and `n in q` says that the node n belongs
to the quorum q. Capital letters are the parameters of an action.
"""

from dataclasses import dataclass, field

SORTS = {
    "a": "Attempt", "b": "Attempt",
    "n": "Node", "m": "Node",
    "q": "Quorum", "w": "Quorum",
    "r": "Reservation",
    "o": "Owner", "p": "Owner",
    "v": "Token", "x": "Token", "y": "Token",
}

# What never changes.
CONSTANTS = {
    "id(a)": "Owner",      # the owner id of an attempt
    "of(r)": "Attempt",    # the attempt that makes a reservation
}

# What an action may change.
STATE = {
    # The nodes.
    "F(n)": "Token",            # the fencing register; if it is missing, its last value
    "missing(n)": "Bool",       # the register was lost
    "clock(n)": "Token",        # the node's clock, less the second of slack that R12 grants
    "lock(n,o)": "Bool",        # the lock key holds that owner id
    "ran(a,n)": "Bool",         # a's acquire was carried out there
    # Answers, which arrive at any later time or never.
    "granted(a,n,v)": "Bool",   # n granted the lock to a, with the token v
    "repaired(a,n)": "Bool",    # n carried out a's repair
    "topped(r,n)": "Bool",      # n raised its register to the top of the block
    # The clients.
    "begun(a)": "Bool",
    "chosen(a)": "Bool",
    "token(a)": "Token",        # the token that a chose
    "won(a)": "Bool",
    "top(a)": "Token",          # a winner's tokens are those from token to top
    "spent(a)": "Token",        # those up to here were handed out
    "rejoined(a,n)": "Bool",    # a rejoin was sent: n may not have had the lock all the time
    "reserving(r)": "Bool",
    "goal(r)": "Token",         # the top of the block
    "counted(r,n)": "Bool",     # n counts for the block
    "done(r)": "Bool",
    # History, which only the proof looks at.
    "wrote(n,v,a)": "Bool",     # a raised n's register to v
    "first(a,n)": "Token",      # what a's acquire wrote there
    "handed(a,v)": "Bool",      # a lease of a's was returned with the token v
    "twice(v)": "Bool",         # v was handed out a second time
    "tops(a)": "Quorum",        # a majority that accepted top
    "wins(a)": "Quorum",        # a majority that had accepted token when a won
    "counts(r)": "Quorum",      # the majority that was counted
    "found(a,n)": "Token",      # n's register when a began
    "before(a,b)": "Bool",      # a had won when b began; its top and tops of that moment:
    "past(a,b)": "Token",
    "pastq(a,b)": "Quorum",
    "rbefore(b,r)": "Bool",     # the same for the moment at which a reservation began
    "rpast(b,r)": "Token",
    "rpastq(b,r)": "Quorum",
}

# The assumptions and rules of the proof. Each may be left out, to see that the checks notice.
RULES = {
    "meet": ("R14, R23", "two quorums share a node"),
    "ids": ("R1", "every attempt has an owner id of its own"),
    "exact": ("R6", "a majority accepts exactly the token"),
    "owner": ("R8", "a repair looks whose the lock is"),
    "raise": ("R7", "a repair never lowers F"),
    "granter": ("R22", "a grant counts for the node whose register it is"),
    "repairer": ("R22", "a repair's answer counts for the node whose register it is"),
    "reserver": ("R22", "a reservation's answer counts for the node whose register it is"),
    "once": ("R9", "an acquire is carried out at most once (needed for blocks only)"),
    "majority": ("R10", "a block needs a majority for its top"),
    "accepted": ("R11", "only nodes that accepted the token count for a block"),
    "since": ("R11", "only nodes that were not won back count for a block"),
    "counter": ("counter", "a token of a block is handed out once"),
    "missing": ("R12", "a missing F begins at the node's clock"),
    "keep": ("R13", "also where a lease keeps it"),
    "refuse": ("R12", "a repair does not begin a missing F"),
    "behind": ("assumption 6", "an F that is lost is behind the node's clock"),
    "forward": ("assumption 6", "that clock does not go back"),
}


@dataclass
class Action:
    """One step: its parameters, when it may be taken, and what changes."""

    params: str
    guard: str
    change: dict = field(default_factory=dict)


def actions(rules, blocks, strict):
    """Returns the actions under these rules.

    blocks: winners may reserve further tokens. strict: as the library does it, for runs to look
    at. Otherwise more is allowed than the library does, and the proof holds for that too: any token
    may be chosen, and a renewal may write any greater one.
    """

    def rule(name, text, otherwise="True"):
        return f"({text if name in rules else otherwise})"

    def only(text):
        return f" and {text}" if strict else ""

    def writes(node, value="V"):
        return {
            "F(n)": f"{value} if n == {node} else F(n)",
            "missing(n)": f"missing(n) and n != {node}",
            "wrote(n,v,a)": f"wrote(n,v,a) or (n,v,a) == ({node},{value},A) and F({node}) != {value}",
        }

    def takes(node):
        return {"lock(n,o)": f"o == id(A) if n == {node} else lock(n,o)"}

    def above(node, clock):
        """V is above the register or, where that is missing, not below the node's clock."""
        return (f"(not missing({node}) and F({node}) < V or missing({node}) and "
                + rule(clock, f"clock({node}) <= V") + ")")

    def not_below(node):
        return (f"(missing({node}) and " + rule("refuse", "False") + f" or not missing({node}) and "
                + rule("raise", f"F({node}) <= V") + ")")

    accepted = "(granted(A,N,token(A)) or repaired(A,N))"
    once = rule("once", "not ran(A,M)") if blocks else "True"
    free_or_ours = "all(o, implies(lock(N,o), o == id(A)))"
    # The top at the time when it was sent, which may be long ago. If F is missing, the clock if
    # that is greater.
    top_then = " and token(A) <= V and (missing(N) or V <= top(A))"

    steps = {
        # An attempt begins, and sends its acquires.
        "begin": Action("A", "not begun(A)", {
            "begun(a)": "begun(a) or a == A",
            "found(a,n)": "F(n) if a == A else found(a,n)",
            "before(a,b)": "won(a) if b == A else before(a,b)",
            "past(a,b)": "top(a) if b == A else past(a,b)",
            "pastq(a,b)": "tops(a) if b == A else pastq(a,b)",
        }),
        # An acquire is carried out on M if the lock is free there, and counts for N, which is M. V
        # is max(F+1, hint); only its bound matters here. If the lock is not free, nothing happens.
        "acquire": Action("A N M V", "begun(A) and all(o, not lock(M,o)) and " + above("M", "missing")
                          + f" and {once} and " + rule("granter", "M == N"), {
            **takes("M"), **writes("M"),
            "ran(a,n)": "ran(a,n) or (a,n) == (A,M)",
            "first(a,n)": "V if (a,n) == (A,M) else first(a,n)",
            "granted(a,n,v)": "granted(a,n,v) or (a,n,v) == (A,N,V)",
        }),
        # The key expires, is released, evicted or deleted.
        "vanish": Action("N", "True", {"lock(n,o)": "lock(n,o) and n != N"}),
        # A majority has granted: a token is chosen. The library takes the greatest.
        "choose": Action("A Q N V", "begun(A) and not chosen(A)" + only(
            "N in Q and granted(A,N,V)"
            " and all(n, implies(n in Q, some(v, granted(A,n,v))))"
            " and all(n, all(v, implies(n in Q and granted(A,n,v), v <= V)))"), {
            "chosen(a)": "chosen(a) or a == A",
            "token(a)": "V if a == A else token(a)",
        }),
        # A repair is carried out on M, and counts for N, which is M and granted a lower token X. V
        # is the token or, if a block has been reserved since, the top of that time.
        "repair": Action("A N M V X", "chosen(A) and granted(A,N,X) and X < token(A)"
                         " and (V == token(A) or won(A) and token(A) <= V and V <= top(A)) and "
                         + rule("owner", "lock(M,id(A))") + " and " + not_below("M") + " and "
                         + rule("repairer", "M == N"), {
            **writes("M"),
            "repaired(a,n)": "repaired(a,n) or (a,n) == (A,N)",
        }),
        # A majority has accepted the token: the lease is returned with it.
        "win": Action("A Q", "chosen(A) and not won(A) and all(n, implies(n in Q, " + (
            "granted(A,n,token(A)) or repaired(A,n)" if "exact" in rules
            else "some(v, granted(A,n,v))") + "))", {
            "won(a)": "won(a) or a == A",
            "top(a)": "token(a) if a == A else top(a)",
            "spent(a)": "token(a) if a == A else spent(a)",
            "wins(a)": "Q if a == A else wins(a)",
            "tops(a)": "Q if a == A else tops(a)",
            "handed(a,v)": "handed(a,v) or (a,v) == (A,token(A))",
            "twice(v)": "twice(v) or v == token(A) and some(a, handed(a,v))",
        }),
        # A renewal: extend is carried out (it may also leave F, and then changes nothing) ...
        "extend": Action("A N V", "won(A) and lock(N,id(A)) and " + above("N", "keep")
                         + (top_then if strict else ""), writes("N")),
        # ... or a node that lost the lock is sent a rejoin, which raises F or leaves it.
        "send_rejoin": Action("A N", "won(A)", {
            "rejoined(a,n)": "rejoined(a,n) or (a,n) == (A,N)",
        }),
        "rejoin": Action("A N V", f"rejoined(A,N) and {free_or_ours} and " + above("N", "keep")
                         + (top_then if strict else ""), {**takes("N"), **writes("N")}),
        "rejoin_only": Action("A N", f"rejoined(A,N) and {free_or_ours}"
                              + only("not missing(N) and token(A) <= F(N)"), takes("N")),
        # The register is lost: deleted, evicted, expired, or gone with the server's data.
        "lose": Action("N", rule("behind", "missing(N) or F(N) < clock(N)"), {
            "missing(n)": "missing(n) or n == N",
        }),
        "tick": Action("N V", rule("forward", "clock(N) <= V"), {
            "clock(n)": "V if n == N else clock(n)",
        }),
    }
    if not blocks:
        # An acquire that comes again finds its own owner id, and answers with what F holds ...
        steps["again"] = Action("A N M", "begun(A) and lock(M,id(A)) and not missing(M) and "
                                + rule("granter", "M == N"), {
            "granted(a,n,v)": "granted(a,n,v) or (a,n,v) == (A,N,F(M))",
        })
        # ... or begins F, where that is missing.
        steps["again_missing"] = Action("A N V", "begun(A) and lock(N,id(A)) and missing(N) and "
                                        + above("N", "missing"), {
            **writes("N"),
            "granted(a,n,v)": "granted(a,n,v) or (a,n,v) == (A,N,V)",
        })
        return steps
    return steps | {
        # A winner reserves further tokens: those above its top, up to V.
        "reserve": Action("R A V", "won(A) and of(R) == A and not reserving(R) and top(A) < V", {
            "reserving(r)": "reserving(r) or r == R",
            "goal(r)": "V if r == R else goal(r)",
            "rbefore(b,r)": "won(b) if r == R else rbefore(b,r)",
            "rpast(b,r)": "top(b) if r == R else rpast(b,r)",
            "rpastq(b,r)": "tops(b) if r == R else rpastq(b,r)",
        }),
        # The repair to the top is carried out on M, and counts for N, which is M.
        "top": Action("R A N M V", "reserving(R) and of(R) == A and goal(R) == V and lock(M,id(A))"
                      " and " + not_below("M") + " and " + rule("reserver", "M == N"), {
            **writes("M"),
            "topped(r,n)": "topped(r,n) or (r,n) == (R,N)",
        }),
        # The answer comes, and counts.
        "count": Action("R A N", "of(R) == A and " + rule("majority", "topped(R,N)") + " and "
                        + rule("accepted", accepted) + " and "
                        + rule("since", "not rejoined(A,N)"), {
            "counted(r,n)": "counted(r,n) or (r,n) == (R,N)",
        }),
        # A majority was counted: the tokens are A's.
        "block": Action("R A Q", "reserving(R) and not done(R) and of(R) == A and top(A) < goal(R)"
                        " and all(n, implies(n in Q, counted(R,n)))", {
            "done(r)": "done(r) or r == R",
            "counts(r)": "Q if r == R else counts(r)",
            "top(a)": "goal(R) if a == A else top(a)",
            "tops(a)": "Q if a == A else tops(a)",
        }),
        # The lock is handed on inside the process, with the next token.
        "hand": Action("A V", "won(A) and token(A) <= V and V <= top(A) and "
                       + rule("counter", "spent(A) < V"), {
            "spent(a)": "V if a == A else spent(a)",
            "handed(a,v)": "handed(a,v) or (a,v) == (A,V)",
            "twice(v)": "twice(v) or v == V and some(a, handed(a,v))",
        }),
    }


# Tokens have a total order. The others are rules.
AXIOMS = [
    ("", "not v < v"),
    ("", "v < x or v == x or x < v"),
    ("", "v < x and x < y => v < y"),
    ("meet", "some(n, n in q and n in w)"),
    ("ids", "id(a) == id(b) => a == b"),
]

# What is proved.
SAFETY = {
    "unique": "won(a) and won(b) and a != b =>"
              " not (token(a) <= x and x <= top(a) and token(b) <= x and x <= top(b))",
    "handed out once": "not twice(v)",
    "rising": "before(a,b) and won(b) => past(a,b) < token(b)",
}
BLOCK_SAFETY = {
    "block rising": "done(r) and rbefore(b,r) and b != of(r) => rpast(b,r) < token(of(r))",
}

# The reason: all of this is true at first, stays true in each action, and implies what is proved.
INVARIANT = {
    "one holder": "lock(n,o) and lock(n,p) => o == p",
    "one writer": "wrote(n,v,a) and wrote(n,v,b) => a == b",
    "F only rises": "wrote(n,v,a) => v <= F(n) and begun(a)",
    "what is missing is behind the clock": "missing(n) => F(n) < clock(n)",
    "the holder wrote last": "lock(n,id(a)) and not rejoined(a,n) => wrote(n,F(n),a)",
    "a grant is the attempt's write": "granted(a,n,v) and not rejoined(a,n) => wrote(n,v,a)",
    "so is a repair": "repaired(a,n) and not won(a) => wrote(n,token(a),a)",
    "a winner has chosen": "won(a) => chosen(a) and token(a) <= top(a)",
    "who chose has begun": "chosen(a) => begun(a)",
    "a repair follows the choice": "repaired(a,n) => chosen(a)",
    "a rejoin follows the win": "rejoined(a,n) => won(a)",
    "the past is of one that has begun": "before(a,b) => begun(b)",
    "F is above what it was": "begun(a) => found(a,n) <= F(n)",
    "writes are above what F was": "wrote(n,v,a) => found(a,n) < v",
    "a majority wrote the token": "won(a) and n in wins(a) => wrote(n,token(a),a)",
    "a majority wrote the top": "won(a) and n in tops(a) => wrote(n,top(a),a)",
    "and nobody else from token to top":
        "won(a) and n in tops(a) and wrote(n,x,b) and a != b => x < token(a) or top(a) < x",
    "what was returned is below": "before(a,b) and n in pastq(a,b) => past(a,b) <= found(b,n)",
    "the counter is within": "won(a) => token(a) <= spent(a) and spent(a) <= top(a)",
    "what was handed out is counted":
        "handed(a,v) => won(a) and token(a) <= v and v <= spent(a)",
    "no token twice": "not twice(v)",
}
BLOCK_INVARIANT = {
    "a reservation follows the win": "reserving(r) => won(of(r))",
    "a top follows the reservation": "topped(r,n) => reserving(r)",
    "what counts is at the top": "counted(r,n) => topped(r,n)",
    "an acquire wrote": "ran(a,n) => wrote(n,first(a,n),a)",
    "the holder's acquire ran": "lock(n,id(a)) and not rejoined(a,n) => ran(a,n)",
    "a grant tells what it wrote": "granted(a,n,v) => ran(a,n) and v == first(a,n)",
    "a repair comes after it": "repaired(a,n) => ran(a,n) and first(a,n) < token(a)",
    "others wrote before the holder":
        "lock(n,id(a)) and not rejoined(a,n) and wrote(n,x,b) and a != b => x < first(a,n)",
    "a top is the owner's write":
        "topped(r,n) and not rejoined(of(r),n) => wrote(n,goal(r),of(r)) and ran(of(r),n)",
    "others wrote before the owner, or above the top":
        "topped(r,n) and not rejoined(of(r),n) and wrote(n,x,b) and b != of(r)"
        " => x < first(of(r),n) or goal(r) < x",
    "what was returned was written": "rbefore(b,r) and n in rpastq(b,r) => wrote(n,rpast(b,r),b)",
    "and before the owner took it":
        "topped(r,n) and not rejoined(of(r),n) and rbefore(b,r) and n in rpastq(b,r) and b != of(r)"
        " => rpast(b,r) < first(of(r),n)",
    "counted: the top is the owner's": "counted(r,n) => wrote(n,goal(r),of(r))",
    "counted: nobody else from token to top":
        "counted(r,n) and wrote(n,x,b) and b != of(r) => x < token(of(r)) or goal(r) < x",
    "counted: what was returned is below":
        "counted(r,n) and rbefore(b,r) and n in rpastq(b,r) and b != of(r)"
        " => rpast(b,r) < token(of(r))",
    "a block's majority was counted": "done(r) and n in counts(r) => counted(r,n)",
}


@dataclass
class Run:
    """A sequence of actions from the initial state, on three nodes, whose parameters z3 is to find.

    without: the rule left out. violates: what is false at its end; with no rule left out, what is
    true there. breaks: a step of the proof, action and invariant, that fails without the rule.
    """

    without: str
    blocks: bool
    steps: str
    violates: str
    breaks: tuple = ()


WIN = "begin acquire acquire choose win"
BLOCK = " reserve top top count count block"
AGAIN = " acquire acquire choose win"

RUNS = [
    # The model can do all that it should. Otherwise everything would be true of it.
    Run("", False, "begin acquire again acquire choose repair win send_rejoin vanish vanish rejoin vanish"
        " tick lose begin acquire acquire choose win", "won(A1) and won(A2)"),
    Run("", True, WIN + BLOCK + " hand acquire repair vanish send_rejoin rejoin vanish vanish vanish "
        "begin acquire acquire choose repair win send_rejoin vanish rejoin_only",
        "won(A1) and won(A2) and done(R1)"),
    Run("", True, WIN + " acquire extend vanish vanish vanish " + WIN, "won(A1) and won(A2)"),
    Run("", False, "begin acquire lose again_missing acquire choose repair win", "won(A1)"),
    Run("", True, WIN + " lose extend vanish vanish " + WIN, "won(A1) and won(A2)"),

    Run("meet", False, "begin begin acquire choose win acquire choose win", "unique",
        ("", "unique")),
    Run("ids", False, "begin begin acquire acquire choose vanish" + AGAIN + " repair win", "unique",
        ("repair", "the holder wrote last")),
    Run("exact", False, "begin " + WIN + " vanish" + AGAIN, "unique",
        ("win", "a majority wrote the token")),
    Run("exact", False, WIN + " vanish begin" + AGAIN, "rising"),
    Run("owner", False, "begin begin acquire acquire choose vanish" + AGAIN + " repair win", "unique",
        ("repair", "so is a repair")),
    Run("raise", True, "begin begin acquire acquire acquire choose win reserve top top repair"
        " count count block vanish vanish" + AGAIN, "unique", ("repair", "F only rises")),
    Run("granter", False, "begin begin acquire again choose win" + AGAIN, "unique",
        ("again", "a grant is the attempt's write")),
    Run("granter", False, "begin acquire again choose win begin" + AGAIN, "rising",
        ("acquire", "a grant is the attempt's write")),
    Run("repairer", False, "begin begin acquire acquire choose repair win vanish" + AGAIN, "unique",
        ("repair", "so is a repair")),
    Run("repairer", False, "begin acquire acquire choose repair win vanish begin" + AGAIN, "rising"),
    Run("reserver", True, "begin " + WIN + BLOCK + " vanish" + AGAIN, "unique",
        ("top", "a top is the owner's write")),
    Run("once", True, "begin " + WIN + " vanish" + AGAIN + " vanish acquire" + BLOCK, "unique",
        ("acquire", "a grant tells what it wrote")),
    Run("majority", True, "begin " + WIN + " vanish" + AGAIN + " reserve count count block", "unique",
        ("count", "counted: the top is the owner's")),
    Run("accepted", True, "begin " + WIN + " vanish" + AGAIN + " vanish acquire" + BLOCK, "unique",
        ("count", "counted: nobody else from token to top")),
    Run("since", True, "begin " + WIN + " vanish" + AGAIN + " vanish send_rejoin rejoin_only" + BLOCK,
        "unique", ("count", "counted: the top is the owner's")),
    Run("counter", True, WIN + BLOCK + " hand hand", "handed out once",
        ("hand", "what was handed out is counted")),
    Run("missing", False, "begin " + WIN + " lose vanish" + AGAIN, "unique",
        ("acquire", "F only rises")),
    Run("missing", False, WIN + " lose vanish begin" + AGAIN, "rising"),
    Run("keep", True, WIN + BLOCK + " lose extend vanish begin" + AGAIN, "rising",
        ("extend", "F only rises")),
    Run("keep", True, WIN + BLOCK + " lose vanish send_rejoin rejoin vanish begin" + AGAIN, "rising",
        ("rejoin", "F only rises")),
    Run("refuse", True, "begin acquire acquire choose acquire win reserve top top lose repair"
        " count count block vanish vanish begin" + AGAIN, "rising", ("repair", "F only rises")),
    Run("behind", False, WIN + " lose vanish begin" + AGAIN, "rising",
        ("lose", "what is missing is behind the clock")),
    Run("forward", False, WIN + " lose vanish tick begin" + AGAIN, "rising",
        ("tick", "what is missing is behind the clock")),
]

package wire

// A Sealed node is a node in the hands of a program. Only the handles that [Seal] returns, and
// types that embed one, have this method.
type Sealed interface{ sealed() }

// A Handle is a node that a program can only pass on and name.
type Handle struct{ node Node }

// Seal returns the handle of a node.
func Seal(n Node) *Handle { return &Handle{n} }

// Addr returns the node's address.
func (h *Handle) Addr() string { return h.node.Addr() }

func (*Handle) sealed() {}

// NodeOf returns the node of the handle n. It returns nil for everything else, such as a type that
// embeds a handle: it may be meant to change what the node does.
func NodeOf(n Sealed) Node {
	if h, ok := n.(*Handle); ok && h != nil {
		return h.node
	}
	return nil
}

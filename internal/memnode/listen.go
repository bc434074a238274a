package memnode

import (
	"context"
	"slices"

	"github.com/go-redlock/redlock/internal/wire"
)

// maxNotices is how many unread notices a listener may have. Further ones are lost.
const maxNotices = 1024

// A subscription is one listener.
type subscription struct {
	notices chan wire.Notice
	fate    func(Message) Fate // of the network that the notices take
}

// Listen implements wire.Node.
func (n *Node) Listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice)) error {
	return n.listen(ctx, inbox, ready, heard, n.fate)
}

func (n *Node) listen(ctx context.Context, inbox string, ready func(), heard func(wire.Notice), fate func(Message) Fate) error {
	s := &subscription{notices: make(chan wire.Notice, maxNotices), fate: fate}
	broken, err := n.subscribe(ctx, inbox, s)
	if err != nil {
		return err
	}
	defer n.unsubscribe(inbox, s)
	ready()
	for {
		select {
		case notice := <-s.notices:
			heard(notice)
		case <-broken:
			return errBroken
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// subscribe waits until the node has accepted the subscription, and returns a channel that is
// closed when the subscription breaks.
func (n *Node) subscribe(ctx context.Context, inbox string, s *subscription) (broken <-chan struct{}, err error) {
	for {
		n.mu.Lock()
		frozen, down := n.frozen, n.down
		if frozen == nil && !down {
			for _, to := range both(inbox) {
				n.subs[to] = append(n.subs[to], s)
			}
			broken = n.epoch
		}
		n.mu.Unlock()
		switch {
		case down:
			return nil, errRefused
		case frozen == nil:
			return broken, nil
		}
		select {
		case <-frozen:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (n *Node) unsubscribe(inbox string, s *subscription) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, to := range both(inbox) {
		n.subs[to] = slices.DeleteFunc(n.subs[to], func(o *subscription) bool { return o == s })
		if len(n.subs[to]) == 0 {
			delete(n.subs, to)
		}
	}
}

// both are the inboxes that a listener subscribes to.
func both(inbox string) [2]string { return [2]string{inbox, wire.ReadersInbox(inbox)} }

// publish sends a notice to the inbox's listeners, and returns how many there are. With mu held.
func (n *Node) publish(inbox string, notice wire.Notice) int {
	notice.Reader = wire.OfReaders(inbox)
	for _, s := range n.subs[inbox] {
		var fate Fate
		if s.fate != nil {
			fate = s.fate(Message{Inbox: inbox})
		}
		if fate.Drop {
			continue
		}
		after(fate.Delay, func() {
			select {
			case s.notices <- notice:
			default:
			}
		})
	}
	return len(n.subs[inbox])
}
